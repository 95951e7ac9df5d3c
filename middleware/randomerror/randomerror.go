// Package randomerror fails a share of the requests with a random error status.
package randomerror

import (
	"errors"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

const name = "random-error"

// Module is the random-error module.
type Module struct {
	// A zero in a literal means the default. Set PODINFO_RANDOM_ERROR_RATE=0 to say zero.
	Rate      float64    `env:"RATE" envDefault:"0.3333333333333333" doc:"share of requests and calls that fail" accepts:"a number from 0 to 1"`
	Codes     []int      `env:"CODES" envDefault:"500,400,409" doc:"statuses to fail with, equally likely" accepts:"a comma-separated list of statuses from 400 to 599" takes:"CODE,…"`
	GRPCCodes []rpc.Code `env:"GRPC_CODES" envDefault:"Unavailable,Internal,ResourceExhausted" doc:"gRPC statuses to fail with, equally likely" accepts:"a comma-separated list of gRPC status codes, none of them OK" takes:"CODE,…"`

	host      *registry.Host
	random    *registry.Random
	observers fault.Observers
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{
		Name: name, Doc: "Fail a share of the requests with a random error status.",
		Phase: registry.Fault, OptIn: true, EnableVar: "RANDOM_ERROR",
	}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if !(m.Rate >= 0 && m.Rate <= 1) { // not m.Rate < 0 || m.Rate > 1, which NaN passes
		errs = append(errs, registry.Invalid("Rate", "a number from 0 to 1"))
	}
	if !validCodes(m.Codes) {
		errs = append(errs, registry.Invalid("Codes", "a comma-separated list of statuses from 400 to 599"))
	}
	if !validGRPCCodes(m.GRPCCodes) {
		errs = append(errs, registry.Invalid("GRPCCodes", grpcCodes))
	}
	return errors.Join(errs...)
}

func validCodes(codes []int) bool {
	for _, c := range codes {
		if c < 400 || c > 599 {
			return false
		}
	}
	return len(codes) > 0
}

// Provision finds the source of randomness.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.random, m.observers = h, h.Random(), fault.ObserversOf(h)
	return nil
}

// Covers reports whether the route is not internal.
func (*Module) Covers(rt registry.Route) bool { return !rt.Internal }

// ServeHTTP either fails the request or passes it on.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	random := m.random.Next()
	if random.Float64() >= m.Rate {
		next(w, r)
		return
	}
	m.observers.Report(r.Context(), name)
	m.host.Error(w, r, m.Codes[random.IntN(len(m.Codes))], "random error")
}
