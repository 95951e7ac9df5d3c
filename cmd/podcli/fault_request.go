package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// synthetic is a simulated request.
type synthetic struct {
	request scenario.Request
	header  map[string][]string // by name in lower case
	claims  map[string]string   // by path; * stands for the key
	body    map[string]string   // likewise
	text    string              // body that is given as a whole
	query   map[string][]string
	keyed   map[string]string // header values by lower-case name and query values by "?name"; * stands for the key
	key     int               // number of the simulated client

	response scenario.Response
}

func newSynthetic(method, path, host string) *synthetic {
	s := &synthetic{header: map[string][]string{}, query: map[string][]string{}, keyed: map[string]string{}, claims: map[string]string{}, body: map[string]string{}}
	s.request = scenario.Request{Method: method, Path: path, Host: host, Route: path, Values: s, Internal: isInternal(path)}
	s.response = scenario.Response{Status: http.StatusOK, Header: http.Header{}.Values}
	return s
}

// isInternal reports whether a path is one of podinfo's internal routes.
func isInternal(path string) bool {
	for _, rt := range stockRoutes() {
		if p, err := glob.Parse(rt.Path); rt.Internal && err == nil && p.Match(path) {
			return true
		}
	}
	return false
}

// call turns the request into a gRPC call.
func (s *synthetic) call(method string) {
	s.request.Method, s.request.Path, s.request.Route, s.request.Host = "", "", "", ""
	s.request.RPC = "/" + strings.TrimPrefix(method, "/")
}

// Header returns the values of a header.
func (s *synthetic) Header(name string) []string {
	name = strings.ToLower(name)
	return s.valuesOf(name, s.header[name])
}

// Query returns the values of a query parameter.
func (s *synthetic) Query(name string) []string { return s.valuesOf("?"+name, s.query[name]) }

func (s *synthetic) valuesOf(name string, fixed []string) []string {
	if text, ok := s.keyed[name]; ok {
		return []string{strings.ReplaceAll(text, "*", fmt.Sprintf("key-%d", s.key))}
	}
	return fixed
}

// Claims returns the claims of the bearer token.
func (s *synthetic) Claims(bool) []byte { return s.document(s.claims) }

// Body returns the body.
func (s *synthetic) Body() ([]byte, bool) {
	if s.text != "" {
		return []byte(s.text), true
	}
	return s.document(s.body), true
}

// document makes a JSON document of values by path.
func (s *synthetic) document(values map[string]string) []byte {
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
func (s *synthetic) Client() string {
	return fmt.Sprintf("10.%d.%d.%d", s.key>>16&255, s.key>>8&255, s.key&255)
}

// String describes the request.
func (s *synthetic) String() string {
	switch {
	case s.request.Connection:
		return "a connection"
	case s.request.Handshake:
		return "a TLS handshake"
	case s.request.RPC != "":
		return s.request.RPC
	}
	if s.request.TCP != "" {
		return "TCP proxy " + s.request.TCP
	}
	text := s.request.Method + " " + s.request.Path
	if s.request.WebSocket {
		text += " (WebSocket)"
	}
	return text
}

// syntheticFlags are the flags that describe a simulated request.
type syntheticFlags struct {
	flags                    *pflag.FlagSet
	method, path, host, grpc string
	webSocket, internal      bool
	header                   http.Header
	query                    map[string][]string
	claims, body             map[string]string
	status                   int
	replyHeader              http.Header
	code                     string
}

var syntheticNames = []string{"path", "method", "header", "query", "claim", "json", "host", "grpc", "websocket", "internal", "reply-status", "reply-header", "reply-code"}

func addSynthetic(f *pflag.FlagSet) *syntheticFlags {
	s := &syntheticFlags{flags: f, query: map[string][]string{}}
	f.StringVar(&s.path, "path", "/", "path of the requests without the server's prefix")
	f.StringVar(&s.method, "method", http.MethodGet, "HTTP method")
	s.header = addHeader(f)
	f.Func("query", "query parameter as `name=value` (repeatable)", func(text string) error {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return errors.New("want name=value")
		}
		s.query[name] = append(s.query[name], value)
		return nil
	})
	f.StringToStringVar(&s.claims, "claim", nil, "claim of the bearer token as `name=value` (repeatable)")
	f.StringToStringVar(&s.body, "json", nil, "value in the JSON body as `path=value`, such as $.user.id=7 (repeatable)")
	f.StringVar(&s.host, "host", "localhost", "host name without the port")
	f.StringVar(&s.grpc, "grpc", "", "simulate gRPC calls of `service/method` instead of HTTP requests")
	f.BoolVar(&s.webSocket, "websocket", false, "simulate WebSocket requests")
	f.BoolVar(&s.internal, "internal", false, "simulate requests to an internal route, such as gRPC health; podinfo's own paths are known")
	f.IntVar(&s.status, "reply-status", http.StatusOK, "status that the handler responds with, for rules with match.reply")
	s.replyHeader = addHeaderFlag(f, "reply-header", "header that the handler responds with as `'Name: value'` (repeatable)")
	f.StringVar(&s.code, "reply-code", "OK", "status code that the handler of a gRPC call ends with")
	return s
}

// request returns the request that the flags describe, or nil when none of the flags
// is given.
func (f *syntheticFlags) request() (*synthetic, error) {
	given := map[string]bool{}
	f.flags.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	any := false
	for _, name := range syntheticNames {
		any = any || given[name]
	}
	if !any {
		return nil, nil
	}
	if f.grpc != "" && (given["path"] || given["method"] || given["query"] || given["json"] || given["host"] || given["websocket"]) {
		return nil, errors.New("--grpc cannot be combined with --path, --method, --query, --json, --host or --websocket")
	}
	if strings.Count(strings.TrimPrefix(f.grpc, "/"), "/") != 1 && f.grpc != "" {
		return nil, fmt.Errorf("--grpc %q: want service/method, such as echo.EchoService/Echo", f.grpc)
	}
	if !strings.HasPrefix(f.path, "/") || strings.Contains(f.path, "?") {
		return nil, fmt.Errorf("--path %q: want a path that begins with /; use --query for the query", f.path)
	}
	s := newSynthetic(f.method, f.path, f.host)
	s.response.Status, s.response.Header = f.status, f.replyHeader.Values
	if err := s.response.Code.UnmarshalText([]byte(f.code)); err != nil || f.status < 200 || f.status > 599 {
		return nil, errors.New("--reply-status must be 200 to 599, and --reply-code the name of a gRPC status code such as UNAVAILABLE")
	}
	if f.grpc != "" {
		s.call(f.grpc)
	}
	for name, values := range f.header {
		s.header[strings.ToLower(name)] = values
	}
	s.query, s.claims, s.body = f.query, f.claims, f.body
	s.request.WebSocket, s.request.Internal = f.webSocket, f.internal || s.request.Internal
	return s, nil
}

// matching returns a request that the rule matches, or nil for a rule about
// readiness, which matches no request.
func matching(r *scenario.Rule) *synthetic {
	m := &r.Match
	scopes := slices.DeleteFunc([]scenario.Scope{scenario.HTTPRequests, scenario.WebSockets, scenario.GRPCCalls, scenario.Connections, scenario.Handshakes}, func(s scenario.Scope) bool { return !r.Meets(s) })
	tcp := r.Meets(scenario.TCPConnections) && (m.TCP != "" || len(scopes) == 0)
	if len(scopes) == 0 && !tcp {
		return nil
	}
	if tcp {
		s := newSynthetic("", "", "")
		s.request.TCP = cmp.Or(fill(m.TCP), "any")
		return s
	}
	s := newSynthetic(http.MethodGet, cmp.Or(fillPath(m.Path), "/"), cmp.Or(fill(m.Host), "localhost"))
	if len(m.Methods) > 0 {
		s.request.Method = m.Methods[0]
	}
	if m.GRPC != "" || scopes[0] == scenario.GRPCCalls || m.Reply != nil && len(m.Reply.Code) > 0 {
		method := "echo.EchoService/Echo"
		if m.GRPC != "" && m.GRPC != "*" {
			method = fill(m.GRPC)
		}
		s.call(method)
	}
	s.request.WebSocket, s.request.Internal = scopes[0] == scenario.WebSockets, m.Internal || s.request.Internal
	s.request.Connection, s.request.Handshake = scopes[0] == scenario.Connections, scopes[0] == scenario.Handshakes
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
		s.claims[path] = fill(text)
	}
	s.text = fill(m.Body)
	for path, text := range m.JSON {
		s.body[path] = fill(text)
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
		s.claims[name] = cmp.Or(s.claims[name], "*")
	case "json":
		s.body[name] = cmp.Or(s.body[name], "*")
	}
	if m.Not != nil {
		s.evade(r)
	}
	return s
}

// evade changes the request until it does not meet the conditions of match.not, where
// it may.
func (s *synthetic) evade(r *scenario.Rule) {
	if s.request.Scope() != scenario.HTTPRequests && s.request.Scope() != scenario.WebSockets {
		return
	}
	plain := &scenario.Rule{Name: r.Name, Match: r.Match, At: r.At, Delay: r.Delay, Fault: r.Fault, Choose: r.Choose}
	if r.Limit != nil && plain.Delay == nil && plain.Fault == nil {
		plain.Delay = &scenario.Delay{Fixed: new(scenario.Duration(time.Second))}
	}
	plain.Match.Percent, plain.Match.Sticky, plain.Match.Server, plain.Match.Instance = nil, nil, nil, nil
	e := scenario.NewEngine(0, "", scenario.Limits{Delay: time.Minute, Keys: serverKeys})
	e.Apply(&scenario.Scenario{Rules: []*scenario.Rule{plain}})
	before := s.request
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
				s.request.Path, s.request.Route, s.request.Method, s.request.Host = path, path, method, host
				if e.Decide(&s.request) != nil {
					return
				}
			}
		}
	}
	s.request = before
}

// respond makes the response meet the conditions of the rule.
func (s *synthetic) respond(m *scenario.ReplyMatch) {
	if len(m.Status) > 0 {
		s.response.Status, _ = strconv.Atoi(strings.ReplaceAll(m.Status[0], "x", "0"))
	}
	if len(m.Code) > 0 {
		_ = s.response.Code.UnmarshalText([]byte(m.Code[0])) // which was checked
	}
	header := http.Header{}
	for name, text := range m.Headers {
		if text != "" {
			header.Set(name, fill(text))
		}
	}
	s.response.Header = header.Values
}

// addCookie adds a cookie, unless its value is empty.
func (s *synthetic) addCookie(name, value string) {
	if value != "" {
		s.keyed["cookie"] = strings.TrimPrefix(s.keyed["cookie"]+"; "+name+"="+value, "; ")
	}
}

// addCondition makes the request meet a condition of the rule. An empty text is met
// by a request without the header or parameter.
func (s *synthetic) addCondition(name, text string) {
	if text != "" {
		s.keyed[name] = fillKeyed(text)
	}
}

// addKey makes the header or parameter, by which the rule counts, depend on the key.
func (s *synthetic) addKey(name string) {
	if s.keyed[name] == "" {
		s.keyed[name] = "*"
	}
}
