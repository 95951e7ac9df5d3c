package cache

import (
	"testing"
	"time"
)

// BeatEvery sets the interval of the heartbeats. Call it before m starts.
func (m *Module) BeatEvery(d time.Duration) { m.beatInterval = d }

func TestExpiration(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for ttl, want := range map[time.Duration]int32{
		0: 0, time.Millisecond: 1, time.Second: 1, 1001 * time.Millisecond: 2, 30 * 24 * time.Hour: 2_592_000,
		30*24*time.Hour + time.Second: 1_802_592_001, 100 * 365 * 24 * time.Hour: 1<<31 - 1,
	} {
		if got := expiration(ttl, now); got != want {
			t.Errorf("%v: %d, want %d", ttl, got, want)
		}
	}
}
