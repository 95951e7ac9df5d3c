// Package registry turns a list of modules into one HTTP application.
//
// A module is a pointer to a struct: exported fields are its settings, methods
// are what it contributes. [New] configures the modules of a list from the
// environment, lets them find each other, and links those that are on into one
// negroni chain for each route. Nothing of an [App] is shared with another.
package registry

import (
	"context"
	"net"
	"net/http"
)

// A Module is one feature. Info must be pure: it is called on a zero value and
// on modules that are off.
type Module interface{ Info() Info }

// Info describes a module to people and to the registry.
type Info struct {
	Name       string // "random-delay": lower case, hyphens, unique in a list
	Doc        string // one sentence: what the module does to a request
	Phase      Phase  // where ServeHTTP joins the chain; required for middleware
	OptIn      bool   // off by default
	EnableVar  string // upstream's variable that also turns the module on: "RANDOM_DELAY" for PODINFO_RANDOM_DELAY
	Unprefixed bool   // env tags are full names ("BACKEND_URL" is PODINFO_BACKEND_URL), not names under the module's
}

// A Phase is a stretch of the chain, outermost first. Within one, list order
// decides.
type Phase int

// The phases. Requests that match no route pass Edge, Observe and Enrich only.
const (
	Edge    Phase = iota + 1 // outermost: sees every request
	Observe                  // measures and records
	Enrich                   // adds to the request or the response
	Guard                    // may refuse
	Fault                    // delays and breaks, on purpose
)

// String is the phase's name in lower case, "" for none.
func (p Phase) String() string {
	if p < Edge || p > Fault {
		return ""
	}
	return [...]string{"edge", "observe", "enrich", "guard", "fault"}[p-Edge]
}

// What a module may contribute. A method that has one of these names and
// another signature is an error from New.
type (
	// Middleware wraps the handlers of routes. It is negroni.Handler.
	Middleware interface {
		ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc)
	}
	// Binder is middleware with a handler of its own for each route, made at
	// assembly, so that what depends on the route is looked up only once. Bind
	// is called again after a Switch.
	Binder interface{ Bind(Route) Middleware }
	// Selective middleware is linked only into the routes it covers. It is
	// asked at assembly, never during a request.
	Selective interface{ Covers(Route) bool }
	// Endpoint serves routes. Routes must be pure, like Info.
	Endpoint interface{ Routes() []Route }

	// Validator checks settings. It sees nothing but its own fields.
	Validator interface{ Validate() error }
	// Provisioner finds its peers and derives values. It does no I/O.
	Provisioner interface{ Provision(*Host) error }
	// Starter does I/O, in list order. ctx ends the attempt to start, not
	// what was started.
	Starter interface {
		Start(ctx context.Context) error
	}
	// Drainer ends its outstanding work: it takes nothing new and waits for
	// what is in flight until ctx is done. All are drained at once, before
	// the first Stop. An error says that work was cut.
	Drainer interface {
		Drain(ctx context.Context) error
	}
	// Stopper releases what Start took, in reverse order.
	Stopper interface {
		Stop(ctx context.Context) error
	}
	// Checker counts into readiness: an error says why the module cannot
	// serve now.
	Checker interface {
		Ready(ctx context.Context) error
	}
	// Listener is a module that opens a port. Listeners start last and stop
	// first. Addr is nil while the port is closed.
	Listener interface{ Addr() net.Addr }
)
