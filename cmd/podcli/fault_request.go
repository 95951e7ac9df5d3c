package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/internal/simulate"
)

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
	f.BoolVar(&s.internal, "internal", false, "simulate requests to an internal route, such as gRPC health; podinfo's own are known")
	f.IntVar(&s.status, "reply-status", http.StatusOK, "status that the handler responds with, for rules with match.reply")
	s.replyHeader = addHeaderFlag(f, "reply-header", "header that the handler responds with as `'Name: value'` (repeatable)")
	f.StringVar(&s.code, "reply-code", "OK", "status code that the handler of a gRPC call ends with")
	return s
}

// request returns the request that the flags describe, or nil when none of the flags
// is given.
func (f *syntheticFlags) request() (*simulate.Request, error) {
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
	s := simulate.NewRequest(f.method, f.path, f.host)
	s.Response.Status, s.Response.Header = f.status, f.replyHeader.Values
	if err := s.Response.Code.UnmarshalText([]byte(f.code)); err != nil || f.status < 200 || f.status > 599 {
		return nil, errors.New("--reply-status must be 200 to 599, and --reply-code the name of a gRPC status code such as UNAVAILABLE")
	}
	if f.grpc != "" {
		s.Call(f.grpc)
	}
	for name, values := range f.header {
		s.Headers[strings.ToLower(name)] = values
	}
	s.Params, s.Token, s.JSON = f.query, f.claims, f.body
	s.Request.WebSocket, s.Request.Internal = f.webSocket, s.Request.Internal || f.internal || simulate.Internal(stockRoutes())(f.path)
	return s, nil
}
