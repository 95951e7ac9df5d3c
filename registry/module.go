// Package registry turns a list of modules into one HTTP application.
//
// A module is a pointer to a struct: its exported fields are its settings and
// its methods are what it contributes. [New] configures the modules of a list
// from the environment, lets them find each other, and links those that are on
// into one negroni chain per route. Two Apps share nothing.
package registry

import (
	"context"
	"net"
	"net/http"
)

// A Module is one feature. Info must be pure: New calls it before anything
// else, on modules that are off too.
type Module interface{ Info() Info }

// Info describes a module to people and to the registry.
type Info struct {
	Name       string // "random-delay": lower case, hyphens, unique in a list
	Doc        string // one sentence: what the module does to a request
	Phase      Phase  // where ServeHTTP joins the chain; required for middleware
	Before     string // module of the same phase that this one precedes, whatever the list order
	After      string // module of the same phase that this one follows
	Unmatched  bool   // the middleware also covers requests that match no route, as that of Edge, Observe and Enrich does
	OptIn      bool   // off by default
	EnableVar  string // upstream's variable that also turns the module on: "RANDOM_DELAY" for PODINFO_RANDOM_DELAY
	Unprefixed bool   // env tags are full names ("BACKEND_URL" is PODINFO_BACKEND_URL), not names under the module's
}

// A Phase is a stretch of the chain, outermost first. Within one, list order
// decides, then Info.Before and Info.After.
type Phase int

// The phases. Requests that match no route pass Edge, Observe and Enrich, and of
// the others the modules with Info.Unmatched.
const (
	Edge    Phase = iota + 1 // outermost: sees every request
	Observe                  // measures and records
	Enrich                   // adds to the request or the response
	Guard                    // may refuse
	Fault                    // delays and breaks, on purpose
)

// String returns the phase's name in lower case, "" for the zero Phase.
func (p Phase) String() string {
	if p < Edge || p > Fault {
		return ""
	}
	return [...]string{"edge", "observe", "enrich", "guard", "fault"}[p-Edge]
}

// The interfaces that a module may implement for the registry. A method that
// has one of these names and another signature is an error from New.
type (
	// Middleware wraps the handlers of routes. It is negroni.Handler.
	Middleware interface {
		ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc)
	}
	// Binder is middleware with a separate handler for each route, so that
	// whatever depends on the route is looked up once. Bind is called at
	// assembly and again after each Switch; nil leaves the route alone.
	Binder interface{ Bind(Route) Middleware }
	// Selective middleware is linked only into the routes it covers. Covers is
	// called at assembly, never during a request.
	Selective interface{ Covers(Route) bool }
	// Endpoint serves routes. Routes must be pure, like Info, apart from what
	// [Host.Reload] announces.
	Endpoint interface{ Routes() []Route }

	// Describer is middleware that changes what clients have to know about a
	// route, such as that it needs a token. DescribeRoute is called for
	// each route in whose chain the module is, with a copy, when the routes of an
	// assembly are listed for the first time.
	Describer interface{ DescribeRoute(*Route) }

	// ErrorPager shows errors to people. ServeErrorPage responds to a request
	// that a browser sent to show a page, and returns false for any other
	// request. See [Host.Error].
	ErrorPager interface {
		ServeErrorPage(w http.ResponseWriter, r *http.Request, code int, message string) bool
	}

	// Enabler turns the module on when the environment that [Environ] gave to
	// New says so through variables of other programs, as OTEL_* do. Like Info it
	// must be pure.
	Enabler interface {
		EnabledBy(environ []string) bool
	}

	// Validator checks the settings and nothing else.
	Validator interface{ Validate() error }
	// Provisioner finds other modules and derives values. It does no I/O.
	Provisioner interface{ Provision(*Host) error }
	// Starter does I/O. Start is called in list order. ctx bounds the attempt
	// to start, not the life of what was started.
	Starter interface {
		Start(ctx context.Context) error
	}
	// Leaver asks its clients to leave while it still serves. Leave is called at the
	// beginning of the grace, and must not block.
	Leaver interface{ Leave() }
	// Drainer takes no new work and waits for the work in flight until ctx is
	// done. All modules drain at the same time, before the first Stop. An
	// error says what was cut.
	Drainer interface {
		Drain(ctx context.Context) error
	}
	// Stopper releases what Start acquired. Stop is called in reverse order.
	Stopper interface {
		Stop(ctx context.Context) error
	}
	// SettingsChecker checks more of the settings than New does, such as the
	// content of files that Start reads. CheckSettings is called by the command
	// check, after Provision and without Start, and returns everything that is wrong
	// or will not do what it says.
	SettingsChecker interface {
		CheckSettings() []string
	}

	// Checker takes part in readiness: an error says why the module cannot
	// serve now.
	Checker interface {
		Ready(ctx context.Context) error
	}
	// Listener is a module that opens a port. Listeners start last and stop
	// first. Addr returns nil while the port is closed.
	Listener interface{ Addr() net.Addr }
)
