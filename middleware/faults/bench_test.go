package faults_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
)

func BenchmarkNoRules(b *testing.B) {
	m := new(faults.Module)
	registrytest.New(b, rules("true"), m)
	w, r, next := httptest.NewRecorder(), httptest.NewRequest("GET", "/a", nil), func(http.ResponseWriter, *http.Request) {}
	for b.Loop() {
		m.ServeHTTP(w, r, next)
	}
}

func BenchmarkOneRuleForAnotherPath(b *testing.B) {
	m := new(faults.Module)
	registrytest.New(b, rules(fail(500)), m)
	w, r, next := httptest.NewRecorder(), httptest.NewRequest("GET", "/api/info", nil), func(http.ResponseWriter, *http.Request) {}
	for b.Loop() {
		m.ServeHTTP(w, r, next)
	}
}

// The median excess of a delay of 100 ms over TCP, less the time of a request
// without a delay.
func BenchmarkDelayOvershoot(b *testing.B) {
	s := registrytest.Serve(b, rules("rules: [{name: r, match: {path: /a}, delay: 100ms}]"), new(faults.Module), new(endpoint))
	median := func(path string) time.Duration {
		var took []time.Duration
		for range 31 {
			began := time.Now()
			res, err := s.Client().Get(s.URL + path)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	for b.Loop() {
		b.ReportMetric(float64((median("/a") - median("/api/x") - 100*time.Millisecond).Microseconds()), "µs-over")
	}
}
