package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// synthetic is a request to a server that is not there.
type synthetic struct {
	request scenario.Request
	header  map[string][]string // by name in lower case
	query   map[string][]string
	keyed   map[string]string // headers, in lower case, and query values as "?name", whose * is the key
	key     int               // whose turn it is
}

func newSynthetic(method, path, host string) *synthetic {
	s := &synthetic{header: map[string][]string{}, query: map[string][]string{}, keyed: map[string]string{}}
	s.request = scenario.Request{Method: method, Path: path, Host: host, Route: path, Values: s}
	return s
}

// call makes it a gRPC call.
func (s *synthetic) call(method string) {
	s.request.Method, s.request.Path, s.request.Route, s.request.Host = "", "", "", ""
	s.request.RPC = "/" + strings.TrimPrefix(method, "/")
}

// Header is what the request says of itself.
func (s *synthetic) Header(name string) []string {
	name = strings.ToLower(name)
	return s.valuesOf(name, s.header[name])
}

// Query is a parameter of the request.
func (s *synthetic) Query(name string) []string { return s.valuesOf("?"+name, s.query[name]) }

func (s *synthetic) valuesOf(name string, fixed []string) []string {
	if text, ok := s.keyed[name]; ok {
		return []string{strings.ReplaceAll(text, "*", fmt.Sprintf("key-%d", s.key))}
	}
	return fixed
}

// Client is an address of its own for each key.
func (s *synthetic) Client() string {
	return fmt.Sprintf("10.%d.%d.%d", s.key>>16&255, s.key>>8&255, s.key&255)
}

// String is what people call it.
func (s *synthetic) String() string {
	if s.request.RPC != "" {
		return s.request.RPC
	}
	text := s.request.Method + " " + s.request.Path
	if s.request.WebSocket {
		text += " (WebSocket)"
	}
	return text
}

// syntheticFlags describe a request.
type syntheticFlags struct {
	flags                    *pflag.FlagSet
	method, path, host, grpc string
	webSocket, internal      bool
	header                   http.Header
	query                    map[string][]string
}

var syntheticNames = []string{"path", "method", "header", "query", "host", "grpc", "websocket", "internal"}

func addSynthetic(f *pflag.FlagSet) *syntheticFlags {
	s := &syntheticFlags{flags: f, query: map[string][]string{}}
	f.StringVar(&s.path, "path", "/", "path of the requests, below the server's prefix")
	f.StringVar(&s.method, "method", http.MethodGet, "HTTP method")
	s.header = addHeader(f)
	f.Func("query", "`name=value` of the query, repeatable", func(text string) error {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return errors.New("want name=value")
		}
		s.query[name] = append(s.query[name], value)
		return nil
	})
	f.StringVar(&s.host, "host", "localhost", "host without the port")
	f.StringVar(&s.grpc, "grpc", "", "`service/method` of gRPC calls, instead of requests")
	f.BoolVar(&s.webSocket, "websocket", false, "the requests ask for a WebSocket")
	f.BoolVar(&s.internal, "internal", false, "the route is an internal one, such as /readyz or health over gRPC")
	return s
}

// described is the request that the flags describe, nil when none of them is
// given.
func (f *syntheticFlags) described() (*synthetic, error) {
	given := map[string]bool{}
	f.flags.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	any := false
	for _, name := range syntheticNames {
		any = any || given[name]
	}
	if !any {
		return nil, nil
	}
	if f.grpc != "" && (given["path"] || given["method"] || given["query"] || given["host"] || given["websocket"]) {
		return nil, errors.New("--grpc wants no --path, --method, --query, --host or --websocket beside it")
	}
	if strings.Count(strings.TrimPrefix(f.grpc, "/"), "/") != 1 && f.grpc != "" {
		return nil, fmt.Errorf("--grpc %q: want service/method, such as echo.EchoService/Echo", f.grpc)
	}
	if !strings.HasPrefix(f.path, "/") || strings.Contains(f.path, "?") {
		return nil, fmt.Errorf("--path %q: want a path that begins with /, and --query for what comes after a ?", f.path)
	}
	s := newSynthetic(f.method, f.path, f.host)
	if f.grpc != "" {
		s.call(f.grpc)
	}
	for name, values := range f.header {
		s.header[strings.ToLower(name)] = values
	}
	s.query = f.query
	s.request.WebSocket, s.request.Internal = f.webSocket, f.internal
	return s, nil
}

// matching makes a request that a rule is about, nil when it is about none.
func matching(r *scenario.Rule) *synthetic {
	m := &r.Match
	scopes := slices.DeleteFunc([]scenario.Scope{scenario.HTTPRequests, scenario.WebSockets, scenario.GRPCCalls}, func(s scenario.Scope) bool { return !r.Meets(s) })
	if len(scopes) == 0 {
		return nil
	}
	s := newSynthetic(http.MethodGet, cmp.Or(fillPath(m.Path), "/"), cmp.Or(fill(m.Host), "localhost"))
	if len(m.Methods) > 0 {
		s.request.Method = m.Methods[0]
	}
	if m.GRPC != "" || scopes[0] == scenario.GRPCCalls {
		method := "echo.EchoService/Echo"
		if m.GRPC != "" && m.GRPC != "*" {
			method = fill(m.GRPC)
		}
		s.call(method)
	}
	s.request.WebSocket, s.request.Internal = scopes[0] == scenario.WebSockets, m.Internal
	for name, text := range m.Headers {
		s.wants(strings.ToLower(name), text)
	}
	for name, text := range m.Query {
		s.wants("?"+name, text)
	}
	switch kind, name, _ := strings.Cut(m.Per, ":"); kind {
	case "header":
		s.counts(strings.ToLower(name))
	case "query":
		s.counts("?" + name)
	}
	return s
}

// wants takes a condition of a rule. One without a text is met by nothing.
func (s *synthetic) wants(name, text string) {
	if text != "" {
		s.keyed[name] = text
	}
}

// counts is for what a rule counts per.
func (s *synthetic) counts(name string) {
	if s.keyed[name] == "" {
		s.keyed[name] = "*"
	}
}

// fill puts something in the place of the wildcards.
func fill(pattern string) string { return strings.ReplaceAll(pattern, "*", "any") }

// fillPath is fill for a path, where {name} becomes name.
func fillPath(pattern string) string {
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		pattern = "/*" + rest
	}
	return strings.NewReplacer("{", "", "}", "").Replace(fill(pattern))
}
