package scenario

import (
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ReplyMatch selects requests by their response. All conditions must hold.
type ReplyMatch struct {
	Status  Texts             `json:"status,omitempty" example:"5xx" doc:"statuses, such as 200, or classes of them, such as 5xx"`
	Headers map[string]string `json:"headers,omitempty" example:"{ Location: /orders/* }" doc:"headers, by name; * is any text, and an empty text means absent"`
	Code    Texts             `json:"code,omitempty" example:"UNAVAILABLE" doc:"status codes of a gRPC call, OK included; messages that came before the status have passed"`
}

// Response is what a handler, or a service behind the proxy, responds.
type Response struct {
	Status int                        // of an HTTP request
	Header func(name string) []string // by canonical name
	Code   rpc.Code                   // of a gRPC call
}

// Awaited is a request that rules with match.reply may hit.
type Awaited struct {
	engine *Engine
	req    *Request
}

// Await returns nil when no rule with match.reply can hit a request, about which
// Decide has decided d.
func (e *Engine) Await(req *Request, d *Decision) *Awaited {
	s := e.set.Load()
	if s == nil || d != nil && (d.final || d.Broken() != nil) {
		return nil
	}
	lists := s.awaiting(req)
	for at := nextIndex(lists, -1); at >= 0; at = nextIndex(lists, at) {
		if s.rules[at].matches(req) {
			if p, ok := req.Values.(Payloads); ok && s.replyBodies {
				p.Body() // which the handler is going to read
			}
			return &Awaited{e, req}
		}
	}
	return nil
}

// Decide returns what happens to the response, nil for nothing.
func (a *Awaited) Decide(res *Response) *Decision {
	s := a.engine.set.Load()
	if s == nil {
		return nil
	}
	req := *a.req
	req.response = res
	return a.engine.hits(s, s.awaiting(&req), &req)
}

func (s *set) awaiting(req *Request) [][]int32 {
	switch {
	case req.RPC != "":
		return s.callReplies.find(req, nil)
	case req.response != nil:
		return s.responses.find(req, nil)
	}
	return s.webReplies.find(req, nil)
}

// meetsResponse reports whether a response meets the conditions of match.reply.
func (l *live) meetsResponse(res *Response) bool {
	m := l.Match.Reply
	if len(m.Code) > 0 {
		return slices.ContainsFunc(m.Code, func(name string) bool {
			var c rpc.Code
			return c.UnmarshalText([]byte(name)) == nil && c == res.Code
		})
	}
	status := strconv.Itoa(res.Status)
	if len(m.Status) > 0 && !slices.ContainsFunc(m.Status, func(want string) bool {
		return want == status || strings.HasSuffix(want, "xx") && want[0] == status[0]
	}) {
		return false
	}
	for i := range l.reply {
		if c := &l.reply[i]; !c.any(res.Header(c.canonical)) {
			return false
		}
	}
	return true
}

// ofCall reports whether the condition is about gRPC calls.
func (m *ReplyMatch) ofCall() bool { return m != nil && len(m.Code) > 0 }

// interim reports whether the condition asks only for statuses that no response
// ends with. A handler that switches protocols, with 101, writes to the connection
// itself.
func (m *ReplyMatch) interim() bool {
	return len(m.Status) > 0 && !slices.ContainsFunc(m.Status, func(s string) bool { return s[0] != '1' })
}

// late reports whether the rule acts when the handler has responded.
func (r *Rule) late() bool { return r.At == AfterHandler || r.Match.Reply != nil }

// onResponse reports whether every kind of the fault acts on a response.
func (k *Kind) onResponse() bool { return k.After || k.edits }

var statusText = lazyregexp.New(`^[1-5]([0-9][0-9]|xx)$`)

// checkReply reports mistakes in match.reply, and what such a rule cannot have.
func (d *decoder) checkReply(r *Rule) {
	m := r.Match.Reply
	if m == nil {
		return
	}
	if len(m.Status)+len(m.Headers)+len(m.Code) == 0 {
		d.wrong("match.reply", "empty; add status, headers or code")
	}
	for _, s := range m.Status {
		if !statusText().MatchString(s) {
			d.wrong("match.reply.status", "%q is not a status; use one such as 200, or a class such as 5xx", s)
		}
	}
	for name := range m.Headers {
		d.checkName("match.reply.headers", name)
		if !token().MatchString(name) {
			d.wrong("match.reply.headers", "%q is not a header name", name)
		}
	}
	for _, name := range m.Code {
		if new(rpc.Code).UnmarshalText([]byte(name)) != nil {
			d.wrong("match.reply.code", "%q is not a gRPC status code; use one such as UNAVAILABLE", name)
		}
	}
	if web := *r; m.ofCall() {
		web.Match.Reply = nil
		if web.Match.web() || len(m.Status)+len(m.Headers) > 0 {
			d.wrong("match.reply.code", "only gRPC calls have it, which path, methods, host, query, json, reply.status and reply.headers do not match; remove them or code")
		}
	}
	if r.At == BeforeHandler {
		d.wrong("at", "match.reply needs the response, which is not there before the handler; remove at")
	}
	faults := []*Fault{r.Fault}
	for _, c := range r.Choose {
		faults = append(faults, c.Fault)
	}
	for _, f := range faults {
		for _, k := range f.Kinds() {
			if !k.onResponse() {
				d.wrong("match.reply", "%s does not act on a response; remove reply, or use another fault", k.Name)
			}
		}
	}
}
