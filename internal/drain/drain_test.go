package drain_test

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
)

func TestSignal(t *testing.T) {
	s := drain.New()
	want := func(empty bool) {
		t.Helper()
		got := false
		select {
		case <-s.Empty():
			got = true
		default:
		}
		if got != empty {
			t.Errorf("empty: %v", got)
		}
	}
	s.Left(0) // others may still come
	want(false)
	if s.Started() || !s.Start(2) || s.Start(0) || !s.Started() {
		t.Error("it starts once")
	}
	s.Left(1)
	want(false)
	s.Left(0)
	s.Left(0)
	want(true)
	if s = drain.New(); !s.Start(0) {
		t.Error("not started")
	}
	want(true)
}
