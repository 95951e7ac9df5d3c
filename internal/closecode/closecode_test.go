package closecode_test

import (
	"testing"

	"github.com/gobwas/ws"

	"github.com/seed-4591fe7d/podinfo/internal/closecode"
)

func TestCheck(t *testing.T) {
	valid := func(code int) bool {
		return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	}
	for code := range 1 << 16 {
		if err := closecode.Check(ws.StatusCode(code), "why"); (err == nil) != valid(code) {
			t.Errorf("%d: %v", code, err)
		}
		if err := closecode.Check(ws.StatusCode(code), "\xff"); err == nil {
			t.Errorf("%d with a reason that is not UTF-8 was accepted", code)
		}
	}
}
