package podinfo_test

import (
	"net/http/httptest"
	"testing"
)

// TestAllocations checks what the default modules allocate for a request, beside what
// net/http allocates.
func TestAllocations(t *testing.T) {
	app := start(t, nil)
	for path, most := range map[string]float64{"/version": 0, "/healthz": 0, "/readyz": 0, "/status/200": 1} {
		r, w := httptest.NewRequest("GET", path, nil), &discard{map[string][]string{}}
		if n := testing.AllocsPerRun(1000, func() { app.ServeHTTP(w, r) }); n > most {
			t.Errorf("%s: %v allocations, want at most %v", path, n, most)
		}
	}
}
