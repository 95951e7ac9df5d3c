package faults

import (
	"bufio"
	"context"
	"maps"
	"net"
	"net/http"
	"sync"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// awaited is a response that rules with match.reply decide about when its header is
// there. The handler runs on a goroutine of its own, so that it can wait in the
// middle of its response: the fault is then applied around the rest of it, by the
// same functions as around a whole handler.
type awaited struct {
	http.ResponseWriter // the client's
	arrived             chan struct{}
	decided             chan struct{}
	done                chan struct{} // the handler has returned

	once     sync.Once
	status   int                 // 0 if the handler has taken the connection over
	to       http.ResponseWriter // set before decided is closed
	open     bool                // to is used
	panicked any
}

// await returns a handler whose response the awaiting rules may break.
func (m *Module) await(next http.HandlerFunc, rules *scenario.Awaited, scope scenario.Scope) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := context.WithCancel(r.Context())
		defer stop()
		before := w.Header().Clone()
		a := &awaited{ResponseWriter: w, arrived: make(chan struct{}), decided: make(chan struct{}), done: make(chan struct{})}
		go a.handle(next, r.WithContext(ctx))
		select {
		case <-a.arrived:
		case <-a.done: // without a response
			a.end()
			return
		}
		var d *scenario.Decision
		if a.status != 0 {
			d = rules.Decide(&scenario.Response{Status: a.status, Header: func(name string) []string { return w.Header()[name] }})
		}
		if d != nil {
			defer d.Done()
		}
		if d == nil || len(d.Strikes) == 0 {
			a.pass(w)
			return
		}
		header := w.Header().Clone()
		clear(w.Header())
		maps.Copy(w.Header(), before.Clone())
		defer a.abandon(stop)
		rest := func(w http.ResponseWriter, r *http.Request) {
			defer context.AfterFunc(r.Context(), stop)()
			m.setResponse(w.Header(), header, before)
			a.pass(w)
		}
		r = r.WithContext(r.Context())           // a copy
		r.Body, r.ContentLength = http.NoBody, 0 // the handler reads the body
		m.strike(w, r, rest, d, scope)
	}
}

// setResponse sets in h what the handler has set since before. The header that names
// rules keeps those of h.
func (m *Module) setResponse(h, header, before http.Header) {
	names := h[m.header]
	for name := range before {
		if _, ok := header[name]; !ok {
			delete(h, name)
		}
	}
	maps.Copy(h, header)
	if m.header != "" && names != nil {
		h[m.header] = append(names[:len(names):len(names)], header[m.header][len(before[m.header]):]...)
	}
}

// handle calls the handler.
func (a *awaited) handle(next http.HandlerFunc, r *http.Request) {
	defer close(a.done)
	defer func() { a.panicked = recover() }()
	next(negroni.NewResponseWriter(a), r)
	if r.Context().Err() == nil {
		a.WriteHeader(http.StatusOK)
	}
}

// pass lets the handler continue with a writer, and waits until it has returned.
func (a *awaited) pass(w http.ResponseWriter) {
	if a.to == nil {
		a.to = w
		close(a.decided)
	}
	<-a.done
	a.end()
}

// end panics if the handler has.
func (a *awaited) end() {
	if a.panicked != nil {
		panic(a.panicked)
	}
}

// abandon drops the rest of the response if the fault did not ask for it.
func (a *awaited) abandon(stop context.CancelFunc) {
	if a.to == nil {
		stop()
		a.to = &lost{a.ResponseWriter, http.Header{}}
		close(a.decided)
	}
	<-a.done
}

// arrive waits for the decision about the response.
func (a *awaited) arrive(status int) {
	a.once.Do(func() {
		a.status = status
		close(a.arrived)
		<-a.decided
		a.open = true
		if status != 0 {
			a.to.WriteHeader(status)
		}
	})
}

// Header implements http.ResponseWriter.
func (a *awaited) Header() http.Header {
	if a.open {
		return a.to.Header()
	}
	return a.ResponseWriter.Header()
}

// WriteHeader implements http.ResponseWriter.
func (a *awaited) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		if !a.open {
			a.ResponseWriter.WriteHeader(status)
		}
		return
	}
	a.arrive(status)
}

// Write implements http.ResponseWriter.
func (a *awaited) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.to.Write(b)
}

// FlushError sends what was written.
func (a *awaited) FlushError() error {
	a.WriteHeader(http.StatusOK)
	return http.NewResponseController(a.to).Flush()
}

// Flush implements http.Flusher.
func (a *awaited) Flush() { _ = a.FlushError() }

// Hijack implements http.Hijacker. No rule decides about a response that the
// handler writes to the connection itself.
func (a *awaited) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.arrive(0)
	return http.NewResponseController(a.to).Hijack()
}

// Unwrap implements the convention of http.ResponseController.
func (a *awaited) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// awaitStatus returns a handler of calls whose status the awaiting rules may change,
// delay or lose.
func (m *Module) awaitStatus(call *rpc.Call, next func(context.Context) error, rules *scenario.Awaited) func(context.Context) error {
	return func(ctx context.Context) error {
		err := next(ctx)
		if ctx.Err() != nil {
			return err
		}
		code := rpc.CodeOf(err)
		if c, ok := call.Client.(interface{ Code() rpc.Code }); ok && err == nil {
			code = c.Code()
		}
		d := rules.Decide(&scenario.Response{Code: code})
		if d == nil {
			return err
		}
		defer d.Done()
		if len(d.Strikes) == 0 {
			return err
		}
		return m.strikeRPC(ctx, call, func(context.Context) error { return err }, d)
	}
}
