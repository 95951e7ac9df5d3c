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

// Failures are told at most twice a minute, and nothing dropped goes untold.
func TestTellsNowAndThen(t *testing.T) {
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	var s signal
	s.init("traces", 10, logger.WithField("module", "tracing"))
	defer s.cut()
	now := time.Now()
	lines := func() int { n := strings.Count(log.String(), "\n"); return n }
	for range 5 {
		s.dropped.Add(10)
		s.tell(errors.New("down"), now)
	}
	if lines() != 1 || !strings.Contains(log.String(), "dropped=10") {
		t.Errorf("%s", &log)
	}
	s.tell(nil, now.Add(quiet))
	if lines() != 2 || !strings.Contains(log.String(), "dropped=40") {
		t.Errorf("%s", &log)
	}
	s.tell(nil, now.Add(3*quiet))
	if lines() != 2 {
		t.Errorf("nothing happened, and was told: %s", &log)
	}
	s.waiting.Store(3)
	s.end()
	if lines() != 3 || !strings.Contains(log.String(), "dropped=3") {
		t.Errorf("%s", &log)
	}
}

// What was taken waits, or is lost, at every moment: exports that fail beside
// what looks never leave a gap.
func TestAlwaysAccountedFor(t *testing.T) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	var s signal
	s.init("traces", 1<<30, logger.WithField("module", "tracing"))
	defer s.cut()
	const n, batch = 200_000, 10
	for range n {
		s.take()
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
