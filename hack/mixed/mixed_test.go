package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRun runs the checks with this podinfo under two names.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", first, "../../cmd/podinfo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Symlink(first, second); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), first, second); err != nil {
		t.Error(err)
	}
}

// TestLossesAreCounted: a server that ends every fifth connection loses requests.
func TestLossesAreCounted(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%5 == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	l := &load{url: server.URL}
	done := l.start(t.Context(), 1)
	if err := l.wait(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	l.stop.Store(true)
	done.Wait()
	if l.lost.Load() < 3 {
		t.Errorf("%d of %d lost", l.lost.Load(), l.sent.Load())
	}
}

// TestChecksFail: a program that does not share the secret or the entries is seen.
func TestChecksFail(t *testing.T) {
	pods := make([]*pod, 2)
	for i := range pods {
		var stored sync.Map
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, found := stored.Load(r.URL.Path)
			switch {
			case r.URL.Path == "/token":
				_, _ = w.Write([]byte(`{"token": "t"}`))
			case r.URL.Path == "/token/validate":
				w.WriteHeader(http.StatusUnauthorized)
			case r.Method == http.MethodPost:
				stored.Store(r.URL.Path, true)
				w.WriteHeader(http.StatusAccepted)
			case found:
			default:
				http.NotFound(w, r)
			}
		}))
		t.Cleanup(server.Close)
		pods[i] = &pod{program: "fake", address: server.Listener.Addr().String()}
	}
	if result, err := token(t.Context(), pods[0], pods[1]); err == nil {
		t.Errorf("token: %s", result)
	}
	if result, err := cache(t.Context(), pods[0], pods[1]); err == nil {
		t.Errorf("cache: %s", result)
	}
	if result, err := page(t.Context(), pods[0], pods[1]); err == nil {
		t.Errorf("page: %s", result)
	}
}
