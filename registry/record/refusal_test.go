package record_test

import (
	"context"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

func TestRefuse(t *testing.T) {
	record.Refuse(context.Background(), record.RefusedMemory) // nobody is interested
	var r record.Refusal
	if got := r.Reason(); got != "" {
		t.Errorf("%q before", got)
	}
	ctx := context.WithValue(context.Background(), record.RefusalKey{}, &r)
	record.Refuse(context.WithoutCancel(ctx), record.RefusedMemory)
	if got := r.Reason(); got != "memory" {
		t.Errorf("%q", got)
	}
}
