package simulate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Request is a simulated request, and what the handler responds.
type Request struct {
	Request  scenario.Request
	Response scenario.Response
	Headers  map[string][]string // by name in lower case
	Token    map[string]string   // claims by path; * stands for the key
	JSON     map[string]string   // values in the body, likewise
	Params   map[string][]string // of the query

	text  string            // body that is given as a whole
	keyed map[string]string // header values by lower-case name and query values by "?name"; * stands for the key
	key   int               // number of the simulated client
}

// NewRequest returns a request without headers, to which the handler responds with 200.
func NewRequest(method, path, host string) *Request {
	s := &Request{Headers: map[string][]string{}, Params: map[string][]string{}, keyed: map[string]string{}, Token: map[string]string{}, JSON: map[string]string{}}
	s.Request = scenario.Request{Method: method, Path: path, Host: host, Route: path, Values: s}
	s.Response = scenario.Response{Status: http.StatusOK, Header: http.Header{}.Values}
	return s
}

// Call turns the request into a gRPC call.
func (s *Request) Call(method string) {
	s.Request.Method, s.Request.Path, s.Request.Route, s.Request.Host = "", "", "", ""
	s.Request.RPC = "/" + strings.TrimPrefix(method, "/")
	s.Request.Internal = rpc.IsInternal(s.Request.RPC)
}

// Header returns the values of a header.
func (s *Request) Header(name string) []string {
	name = strings.ToLower(name)
	return s.valuesOf(name, s.Headers[name])
}

// Query returns the values of a query parameter.
func (s *Request) Query(name string) []string { return s.valuesOf("?"+name, s.Params[name]) }

func (s *Request) valuesOf(name string, fixed []string) []string {
	if text, ok := s.keyed[name]; ok {
		return []string{strings.ReplaceAll(text, "*", fmt.Sprintf("key-%d", s.key))}
	}
	return fixed
}

// Claims returns the claims of the bearer token.
func (s *Request) Claims(bool) []byte { return s.document(s.Token) }

// Body returns the body.
func (s *Request) Body() ([]byte, bool) {
	if s.text != "" {
		return []byte(s.text), true
	}
	return s.document(s.JSON), true
}

// document makes a JSON document of values by path.
func (s *Request) document(values map[string]string) []byte {
	if len(values) == 0 {
		return nil
	}
	doc := map[string]any{}
	for path, text := range values {
		at, names := doc, scenario.PathNames(path)
		for _, name := range names[:len(names)-1] {
			inner, ok := at[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[name] = inner
			}
			at = inner
		}
		at[names[len(names)-1]] = strings.ReplaceAll(text, "*", fmt.Sprintf("key-%d", s.key))
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err) // impossible: maps of strings
	}
	return b
}

// Client returns the client's address, which differs for each key.
func (s *Request) Client() string {
	return fmt.Sprintf("10.%d.%d.%d", s.key>>16&255, s.key>>8&255, s.key&255)
}

// String describes the request.
func (s *Request) String() string {
	switch {
	case s.Request.Connection:
		return "a connection"
	case s.Request.Handshake:
		return "a TLS handshake"
	case s.Request.RPC != "":
		return s.Request.RPC
	}
	if s.Request.TCP != "" {
		return "TCP proxy " + s.Request.TCP
	}
	text := s.Request.Method + " " + s.Request.Path
	if s.Request.WebSocket {
		text += " (WebSocket)"
	}
	return text
}

// Internal returns a function for Options that finds the internal ones of routes.
func Internal(routes []scenario.Route) func(path string) bool {
	return func(path string) bool {
		for _, rt := range routes {
			if p, err := glob.Parse(rt.Path); rt.Internal && err == nil && p.Match(path) {
				return true
			}
		}
		return false
	}
}

// matching returns a request that the rule matches, or nil for a rule about
// readiness, which matches no request. internal reports whether a path is internal.
func matching(r *scenario.Rule, internal func(path string) bool) *Request {
	m := &r.Match
	scopes := slices.DeleteFunc([]scenario.Scope{scenario.HTTPRequests, scenario.WebSockets, scenario.GRPCCalls, scenario.Connections, scenario.Handshakes}, func(s scenario.Scope) bool { return !r.Meets(s) })
	tcp := r.Meets(scenario.TCPConnections) && (m.TCP != "" || len(scopes) == 0)
	if len(scopes) == 0 && !tcp {
		return nil
	}
	if tcp {
		s := NewRequest("", "", "")
		s.Request.TCP = cmp.Or(fill(m.TCP), "any")
		return s
	}
	s := NewRequest(http.MethodGet, cmp.Or(fillPath(m.Path), "/"), cmp.Or(fill(m.Host), "localhost"))
	if len(m.Methods) > 0 {
		s.Request.Method = m.Methods[0]
	}
	if m.GRPC != "" || scopes[0] == scenario.GRPCCalls || m.Reply != nil && len(m.Reply.Code) > 0 {
		method := "echo.EchoService/Echo"
		if m.GRPC != "" && m.GRPC != "*" {
			method = fill(m.GRPC)
		}
		s.Call(method)
	}
	s.Request.WebSocket, s.Request.Internal = scopes[0] == scenario.WebSockets, s.Request.Internal || m.Internal || internal != nil && internal(s.Request.Path)
	s.Request.Connection, s.Request.Handshake = scopes[0] == scenario.Connections, scopes[0] == scenario.Handshakes
	for name, text := range m.Headers {
		s.addCondition(strings.ToLower(name), text)
	}
	for name, text := range m.Query {
		s.addCondition("?"+name, text)
	}
	for name, text := range m.Cookie {
		s.addCookie(name, fill(text))
	}
	for path, text := range m.Claim {
		s.Token[path] = fill(text)
	}
	s.text = fill(m.Body)
	for path, text := range m.JSON {
		s.JSON[path] = fill(text)
	}
	if m.Reply != nil {
		s.respond(m.Reply)
	}
	switch kind, name, _ := strings.Cut(m.Per, ":"); kind {
	case "header":
		s.addKey(strings.ToLower(name))
	case "query":
		s.addKey("?" + name)
	case "cookie":
		if m.Cookie[name] == "" {
			s.addCookie(name, "*")
		}
	case "claim":
		s.Token[name] = cmp.Or(s.Token[name], "*")
	case "json":
		s.JSON[name] = cmp.Or(s.JSON[name], "*")
	}
	if m.Not != nil {
		s.evade(r)
	}
	return s
}

// evade changes the request until it does not meet the conditions of match.not, where
// it may.
func (s *Request) evade(r *scenario.Rule) {
	if s.Request.Scope() != scenario.HTTPRequests && s.Request.Scope() != scenario.WebSockets {
		return
	}
	plain := &scenario.Rule{Name: r.Name, Match: r.Match, At: r.At, Delay: r.Delay, Fault: r.Fault, Choose: r.Choose}
	if r.Limit != nil && plain.Delay == nil && plain.Fault == nil {
		plain.Delay = &scenario.Delay{Fixed: new(scenario.Duration(time.Second))}
	}
	plain.Match.Percent, plain.Match.Sticky, plain.Match.Server, plain.Match.Instance = nil, nil, nil, nil
	e := scenario.NewEngine(0, "", scenario.Limits{Delay: time.Minute, Keys: serverKeys})
	e.Apply(&scenario.Scenario{Rules: []*scenario.Rule{plain}})
	before := s.Request
	paths, methods, hosts := []string{before.Path}, []string{before.Method}, []string{before.Host}
	if r.Match.Path == "" {
		paths = append(paths, "/other")
	}
	if len(r.Match.Methods) == 0 {
		methods = append(methods, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete)
	}
	if r.Match.Host == "" {
		hosts = append(hosts, "other.example")
	}
	for _, path := range paths {
		for _, method := range append(methods, r.Match.Methods...) {
			for _, host := range hosts {
				s.Request.Path, s.Request.Route, s.Request.Method, s.Request.Host = path, path, method, host
				if e.Decide(&s.Request) != nil {
					return
				}
			}
		}
	}
	s.Request = before
}

// respond makes the response meet the conditions of the rule.
func (s *Request) respond(m *scenario.ReplyMatch) {
	if len(m.Status) > 0 {
		s.Response.Status, _ = strconv.Atoi(strings.ReplaceAll(m.Status[0], "x", "0"))
	}
	if len(m.Code) > 0 {
		_ = s.Response.Code.UnmarshalText([]byte(m.Code[0])) // which was checked
	}
	header := http.Header{}
	for name, text := range m.Headers {
		if text != "" {
			header.Set(name, fill(text))
		}
	}
	s.Response.Header = header.Values
}

// addCookie adds a cookie, unless its value is empty.
func (s *Request) addCookie(name, value string) {
	if value != "" {
		s.keyed["cookie"] = strings.TrimPrefix(s.keyed["cookie"]+"; "+name+"="+value, "; ")
	}
}

// addCondition makes the request meet a condition of the rule. An empty text is met
// by a request without the header or parameter.
func (s *Request) addCondition(name, text string) {
	if text != "" {
		s.keyed[name] = fillKeyed(text)
	}
}

// addKey makes the header or parameter, by which the rule counts, depend on the key.
func (s *Request) addKey(name string) {
	if s.keyed[name] == "" {
		s.keyed[name] = "*"
	}
}
