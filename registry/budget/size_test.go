package budget_test

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]struct {
		bytes int64
		text  string
	}{
		"0": {0, "0"}, "1": {1, "1"}, "20000000": {20_000_000, "20000000"}, "20M": {20_000_000, "20000000"}, "20MB": {20_000_000, "20000000"},
		"20MiB": {20 << 20, "20MiB"}, "20Mi": {20 << 20, "20MiB"}, "1.5 GiB": {3 << 29, "1536MiB"}, " 2k ": {2000, "2000"}, "2KiB": {2048, "2KiB"},
		"67108864": {64 << 20, "64MiB"}, "1TiB": {1 << 40, "1024GiB"}, "1e3": {1000, "1000"}, "7B": {7, "7"},
	} {
		var s budget.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || int64(s) != want.bytes || s.String() != want.text {
			t.Errorf("%q: %d %v %v, want %d %s", text, s, s, err, want.bytes, want.text)
		}
		var again budget.Size
		if b, _ := s.MarshalText(); again.UnmarshalText(b) != nil || again != s {
			t.Errorf("%q: %d is written as %s and read as %d", text, s, b, again)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "-1MiB", "1XiB", "1MiBs", "NaN", "inf", "1e30", "9TT", "1,5M", "one"} {
		s := budget.Size(7)
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 7 {
			t.Errorf("%q: %v %v", text, s, err)
		}
	}
}
