package registry

import (
	"context"
	"net/http"
)

// Standard turns a standard middleware, a function that wraps a handler, into
// a Middleware. It calls mw once, not once per request, so a middleware that
// keeps state, such as a rate limiter, keeps it. Call Standard in Provision,
// and call the result's ServeHTTP in the module's own.
//
// The next handler of a request travels in the request's context. A middleware
// that gives its handler a request with an unrelated context makes the request
// panic.
func Standard(mw func(http.Handler) http.Handler) Middleware {
	s := new(standard)
	s.handler = mw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next, ok := r.Context().Value(s).(http.HandlerFunc)
		if !ok {
			panic("registry.Standard: the middleware replaced the request's context; derive the new one from r.Context()")
		}
		next(w, r)
	}))
	return s
}

// standard is also the key of the next handler in the context, so that several
// can be nested.
type standard struct{ handler http.Handler }

func (s *standard) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), s, next)))
}
