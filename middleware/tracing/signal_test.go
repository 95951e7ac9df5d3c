package tracing

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// TestReport checks that failures are logged at most twice a minute and that
// every dropped item is logged in the end.
func TestReport(t *testing.T) {
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	var s signal
	s.init("traces", 10, logger.WithField("module", "tracing"))
	defer s.abort()
	now := time.Now()
	lines := func() int { n := strings.Count(log.String(), "\n"); return n }
	for range 5 {
		s.dropped.Add(10)
		s.report(errors.New("down"), now)
	}
	if lines() != 1 || !strings.Contains(log.String(), "dropped=10") {
		t.Errorf("%s", &log)
	}
	s.report(nil, now.Add(logInterval))
	if lines() != 2 || !strings.Contains(log.String(), "dropped=40") {
		t.Errorf("%s", &log)
	}
	s.report(nil, now.Add(3*logInterval))
	if lines() != 2 {
		t.Errorf("logged although nothing happened: %s", &log)
	}
	s.waiting.Store(3)
	s.end()
	if lines() != 3 || !strings.Contains(log.String(), "dropped=3") {
		t.Errorf("%s", &log)
	}
}

// TestAlwaysAccountedFor checks that every admitted item counts as waiting or as
// dropped at every moment, also while exports fail concurrently.
func TestAlwaysAccountedFor(t *testing.T) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	var s signal
	s.init("traces", 1<<30, logger.WithField("module", "tracing"))
	defer s.abort()
	const n, batch = 200_000, 10
	for range n {
		s.admit()
	}
	down := errors.New("down")
	var export sync.WaitGroup
	export.Go(func() {
		for range n / batch {
			s.sent(batch, down)
		}
	})
	for s.dropped.Load() < n {
		waiting := s.waiting.Load()
		if sum := waiting + s.dropped.Load(); sum < n {
			t.Errorf("%d of %d", sum, n)
			break
		}
	}
	export.Wait()
}
