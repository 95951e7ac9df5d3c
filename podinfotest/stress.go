package podinfotest

import (
	"context"

	"github.com/seed-4591fe7d/podinfo/endpoints/stress"
)

// stressed is the stress module, with its settings and without its effect.
type stressed struct{ stress.Module }

// Start does nothing.
func (*stressed) Start(context.Context) error { return nil }
