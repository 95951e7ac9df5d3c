package suggest_test

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
)

func TestWord(t *testing.T) {
	words := []string{"status", "stall", "reset", "grpc"}
	for word, want := range map[string]string{
		"staus":   ` (did you mean "status"?)`,
		"stal":    ` (did you mean "stall"?)`,
		"grcp":    "", // two of four letters differ: too far
		"grp":     ` (did you mean "grpc"?)`,
		"nothing": "",
		"":        "",
	} {
		if got := suggest.Word(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
