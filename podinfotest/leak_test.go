package podinfotest_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// A body that a client leaves open fails the test by name, over TCP and in a bubble,
// where Go would otherwise end the process. The tests after it run.
func TestLeakedBodies(t *testing.T) {
	leak := func(t testing.TB, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("GET /orders", Fail(503, 2), OK())
		own := &http.Transport{DialContext: srv.DialContext}
		for i, client := range []*http.Client{srv.Client(), srv.Client(), srv.Client(), {Transport: srv.Watch(own)}} {
			res, err := client.Get(srv.URL + "/orders")
			if err != nil {
				t.Error(err)
				return
			}
			switch i {
			case 1:
				res.Body.Close()
			case 2:
				io.Copy(io.Discard, res.Body)
			}
		}
		srv.Client().Head(srv.URL + "/orders") // has no body
	}
	check := func(t *testing.T, got string) {
		t.Helper()
		var names []string
		for line := range strings.Lines(got) {
			if m := regexp.MustCompile(`^(GET /orders #\d): body never closed; call Body.Close on every response, also before a retry \(sent at leak_test.go:\d+\)$`).FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				names = append(names, m[1])
			} else {
				t.Errorf("%q", line)
			}
		}
		if strings.Join(names, ", ") != "GET /orders #1, GET /orders #4" {
			t.Error(got)
		}
	}
	t.Run("tcp", func(t *testing.T) { check(t, listen(t, func(tb testing.TB) { leak(tb, Start) })) })
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { check(t, listen(t, func(tb testing.TB) { leak(tb, StartInMemory) })) })
	})
}

// A goroutine that still reads when the test ends, and closes the body then, is no
// leak.
func TestBodiesThatAreClosedAtTheEnd(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		got := listen(t, func(tb testing.TB) {
			srv := Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "first\n")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})}
			s := srv.Start
			if t.Name() == "TestBodiesThatAreClosedAtTheEnd/memory" {
				s = srv.StartInMemory
			}
			server := s(tb)
			res, err := server.Client().Get(server.URL + "/events")
			if err != nil {
				tb.Fatal(err)
			}
			lines := bufio.NewScanner(res.Body)
			lines.Scan()
			go func() {
				defer res.Body.Close()
				for lines.Scan() {
				}
			}()
		})
		if got != "" {
			t.Error(got)
		}
	})
}

// What the clients of a server can do, they can do with watched bodies.
func TestWatchedClients(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		client := srv.Client()
		client.Timeout = time.Hour
		for range 2 {
			if code, _, err := get(client, srv.URL+"/version"); code != 200 {
				t.Error(code, err)
			}
			client.CloseIdleConnections()
		}
		srv.Requests("/version").WantConnections(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		cancel()
	})
}

// leaky makes the test binary leave a body open that the package cannot close.
const leaky = "PODINFOTEST_LEAK"

// A body that a client with its own transport leaves open in a bubble is named before
// Go ends the process.
func TestLeakOfAnotherTransport(t *testing.T) {
	if os.Getenv(leaky) != "" {
		synctest.Test(t, func(t *testing.T) {
			srv := StartInMemory(t)
			client := &http.Client{Transport: &http.Transport{DialContext: srv.DialContext}}
			for _, closes := range []bool{true, false} {
				res, err := client.Get(srv.URL + "/version")
				if err != nil {
					t.Fatal(err)
				}
				if closes {
					res.Body.Close()
				}
			}
		})
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), leaky+"=1")
	out, err := cmd.CombinedOutput()
	if want := "GET /version #2: body never closed; call Body.Close on every response"; err == nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "#1") {
		t.Errorf("%v: %s", err, out)
	}
}
