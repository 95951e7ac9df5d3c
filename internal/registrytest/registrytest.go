// Package registrytest runs modules for their own tests.
package registrytest

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Server is an App behind a real listener on loopback.
type Server struct {
	*httptest.Server
	App *registry.App
	Log *Log
}

// Log keeps what an App logs, at every level.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write takes a line.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is everything that was logged, one JSON object a line.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// New assembles and starts mods; the end of the test stops them. env are the
// variables, with their prefix.
func New(t testing.TB, env map[string]string, mods ...registry.Module) (*registry.App, *Log) {
	t.Helper()
	log := new(Log)
	logger := logrus.New()
	logger.SetFormatter(jsonlog.Formatter{})
	logger.SetOutput(log)
	logger.SetLevel(logrus.DebugLevel)
	app, err := registry.New(mods, registry.Env(env), registry.Environ(Environ(env)), registry.Logger(logger), registry.Version(registry.Build{Version: "1.2.3", Revision: "abc"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := app.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return app, log
}

// Serve is New behind a listener.
func Serve(t testing.TB, env map[string]string, mods ...registry.Module) *Server {
	t.Helper()
	app, log := New(t, env, mods...)
	s := &Server{httptest.NewServer(app), app, log}
	t.Cleanup(s.Close)
	return s
}

// Do sends a request and returns the reply with its body read.
func Do(t testing.TB, req *http.Request) (*http.Response, string) {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res, body.String()
}

// Call is Do for a method, a path and a body. headers are name, value pairs.
func (s *Server) Call(t testing.TB, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return Do(t, req)
}
