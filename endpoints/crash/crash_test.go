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
	want := "{\n  \"code\": 500,\n  \"message\": \"this server does not end its process\"\n}"
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
		t.Error("fault injection does not reach it")
	}
}

// An image on another site's page cannot end the process.
func TestCrossSite(t *testing.T) {
	for site, code := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 500, "none": 500} {
		s := registrytest.Serve(t, nil, new(crash.Module))
		if res, _ := s.Call(t, "GET", "/panic", "", "Sec-Fetch-Site", site); res.StatusCode != code {
			t.Errorf("%s: %d, want %d", site, res.StatusCode, code)
		}
		if asked := strings.Contains(s.Log.String(), "Panic asked for"); asked != (code == 500) {
			t.Errorf("%s: %s", site, s.Log)
		}
	}
}

// The process that ends is this test, run once more.
func TestExit(t *testing.T) {
	const asServer = "PANIC_TEST_SERVER"
	if os.Getenv(asServer) != "" {
		app, err := registry.New([]registry.Module{new(crash.Module)}, registry.Exit(os.Exit))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.Get(httptest.NewServer(app).URL + "/panic")
		t.Fatal("still here:", res, err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExit$")
	cmd.Env = append(os.Environ(), asServer+"=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != crash.Code {
		t.Errorf("%v: %s", err, out)
	}
}

// The client is left with nothing when the process is gone.
func TestNoReply(t *testing.T) {
	end := func(int) { panic(http.ErrAbortHandler) } // cuts the connection, as the end of the process does
	app, err := registry.New([]registry.Module{new(crash.Module)}, registry.Exit(end))
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
