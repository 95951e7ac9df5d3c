package crash_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/crash"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestRefused(t *testing.T) {
	s := registrytest.Serve(t, nil, new(crash.Module))
	res, body := s.Call(t, "GET", "/panic", "")
	want := "{\n  \"code\": 500,\n  \"message\": \"this server does not exit on request\"\n}"
	if diff := cmp.Diff(want, body); diff != "" || res.StatusCode != 500 {
		t.Error(res.StatusCode, diff)
	}
	if log := s.Log.String(); !strings.Contains(log, `"level":"error"`) || !strings.Contains(log, `"code":255`) {
		t.Error(log)
	}
	if res, _ := s.Call(t, "POST", "/panic", ""); res.StatusCode != 405 {
		t.Error(res.StatusCode)
	}
	if s.App.Mounted()[0].Internal {
		t.Error("the route is internal, so fault injection cannot block it")
	}
}

// TestCrossSite checks that an image on a page of another site cannot end the
// process.
func TestCrossSite(t *testing.T) {
	for site, code := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 500, "none": 500} {
		s := registrytest.Serve(t, nil, new(crash.Module))
		if res, _ := s.Call(t, "GET", "/panic", "", "Sec-Fetch-Site", site); res.StatusCode != code {
			t.Errorf("%s: %d, want %d", site, res.StatusCode, code)
		}
		if exiting := strings.Contains(s.Log.String(), "panic requested"); exiting != (code == 500) {
			t.Errorf("%s: %s", site, s.Log)
		}
	}
}

// TestExit runs itself as a child process, which serves /panic.
func TestExit(t *testing.T) {
	const asServer = "PANIC_TEST_SERVER"
	if os.Getenv(asServer) != "" {
		app, err := registry.New([]registry.Module{new(crash.Module)}, registry.Exit(os.Exit))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.Get(httptest.NewServer(app).URL + "/panic")
		t.Fatal("did not exit:", res, err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExit$")
	cmd.Env = append(os.Environ(), asServer+"=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != crash.Code {
		t.Errorf("%v: %s", err, out)
	}
}

// TestNoResponse checks that no response is sent before the process exits.
func TestNoResponse(t *testing.T) {
	exit := func(int) { panic(http.ErrAbortHandler) } // closes the connection, like the exit of the process
	app, err := registry.New([]registry.Module{new(crash.Module)}, registry.Exit(exit))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(app)
	defer s.Close()
	if res, err := http.Get(s.URL + "/panic"); err == nil {
		body, _ := io.ReadAll(res.Body)
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
