package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// stock is a module whose responses differ.
type stock struct{}

func (*stock) Info() registry.Info { return registry.Info{Name: "stock"} }

func (s *stock) Routes() []registry.Route {
	return []registry.Route{
		{Method: "GET", Path: "/stock/{item}", Handler: s.get},
		{Method: "GET", Path: "/nothing", Handler: func(http.ResponseWriter, *http.Request) {}},
		{Method: "GET", Path: "/panics", Handler: func(http.ResponseWriter, *http.Request) { panic("oops") }},
	}
}

func (*stock) get(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Stock", "17")
	h.Set("Trailer", "X-Sum")
	if strings.HasSuffix(r.URL.Path, "/unknown") {
		http.Error(w, "no such item", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", "text/plain")
	io.WriteString(w, "0123456789")
	http.NewResponseController(w).Flush()
	io.WriteString(w, "abcdef")
	h.Set("X-Sum", "7")
}

// observed describes what a client sees of a response.
func observed(client *http.Client, url string) string {
	res, err := client.Get(url)
	if errors.Is(err, syscall.ECONNRESET) {
		return "reset"
	} else if errors.Is(err, io.EOF) {
		return "closed"
	} else if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if len(body) > 0 && body[0] == '{' {
		body = []byte("JSON")
	}
	out := fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(body)), " ", strings.Join(res.Header["X-Podinfo-Fault"], ","), " ", res.Header.Get("X-Stock"), " ", res.Trailer.Get("X-Sum"))
	if err != nil {
		out += " cut"
	}
	return out
}

// Rules with match.reply act on responses, of podinfo's own routes and of a service
// behind the proxy, and leave others alone.
func TestMatchReply(t *testing.T) {
	const (
		found   = "200 0123456789abcdef  17 7"
		unknown = "404 no such item  17 "
	)
	for _, c := range []struct{ rule, tea, unknown string }{
		{"match: {reply: {status: 500}}, fault: {reset: true}", found, unknown},
		{"match: {reply: {status: 200}}, fault: {reset: true}", "reset", unknown},
		{"match: {reply: {status: 4xx}}, fault: {empty: true}", found, "closed"},
		{"match: {reply: {status: [200, 404]}}, fault: {status: 503}", "503 JSON r  ", "503 JSON r  "},
		{"match: {reply: {headers: {x-stock: '1*'}}}, fault: {status: 503, body: gone}", "503 gone r  ", "503 gone r  "},
		{"match: {reply: {headers: {x-stock: '2*'}}}, fault: {status: 503}", found, unknown},
		{"match: {reply: {headers: {content-type: text/plain}}}, fault: {truncate: 3}", "200 012 r 17  cut", unknown},
		{"match: {reply: {status: 200}}, fault: {reply: {append: '!'}}", "200 0123456789abcdef! r 17 7", unknown},
		{"match: {reply: {status: 200}}, fault: {reply: {status: 202, headers: {remove: [x-stock]}}}", "202 0123456789abcdef r  7", unknown},
		{"match: {reply: {status: 200}}, fault: {bandwidth: 1000000}", "200 0123456789abcdef r 17 7", unknown},
		{"match: {reply: {status: 200}}, fault: {stall: {after: 3, for: 1ms}}", "200 0123456789abcdef r 17 7", unknown},
		{"match: {reply: {status: 200}}, fault: {goaway: true}", "200 0123456789abcdef r 17 7", unknown},
		{"match: {reply: {status: 200}}, delay: 1ms", "200 0123456789abcdef r 17 7", unknown},
		{"match: {reply: {status: 200}}, at: after, delay: 1ms", "200 0123456789abcdef r 17 7", unknown},
		{"match: {reply: {status: 200}}, delay: {fixed: 1ms, at: chunks}", "200 0123456789abcdef r 17 7", unknown},
		{"match: {reply: {code: OK}}, delay: 1ms", found, unknown},
		{"match: {reply: {status: 200}}, when: {after: 1}, fault: {status: 500}", found, unknown},
		{"match: {reply: {status: 200}}, delay: 1ms, combine: true}, {name: q, match: {reply: {status: 200}}, fault: {status: 500, body: no}", "500 no r,q  ", unknown},
		{"delay: 1ms, combine: true}, {name: q, match: {reply: {status: 200}}, fault: {status: 500, body: no}", "500 no r,q  ", "404 no such item r 17 "},
		{"choose: [{percent: 100, fault: {status: 500, body: no}}], match: {reply: {status: 200}}", "500 no r.1  ", unknown},
		{"match: {reply: {status: 200}}, limit: {concurrency: 5}, fault: {status: 500}", found, unknown},
	} {
		service := registrytest.Serve(t, nil, new(stock))
		env := rules("rules: [{name: r, " + c.rule + "}]")
		m, set := new(faults.Module), metrics.NewSet()
		own := registrytest.Serve(t, env, m, new(stock))
		m.ContributeMetrics(set)
		env["PODINFO_PROXY_URL"] = service.URL
		proxied := registrytest.Serve(t, env, new(faults.Module), new(proxy.Module))
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for at, url := range map[string]string{"own": own.URL, "proxied": proxied.URL} {
			for path, want := range map[string]string{"/stock/tea": c.tea, "/stock/unknown": c.unknown} {
				if got := observed(client, url+path); got != want {
					t.Errorf("%s: %s%s:\n got %q\nwant %q", c.rule, at, path, got, want)
				}
			}
		}
		if hit := c.tea != found || c.unknown != unknown; hit != strings.Contains(page(set), `podinfo_fault_hits_total{rule="r`) {
			t.Errorf("%s: hit %t\n%s", c.rule, hit, page(set))
		}
	}
}

// Handlers that write nothing, panic or take the connection over pass.
func TestMatchReplyOfOtherHandlers(t *testing.T) {
	s := registrytest.Serve(t, rules("rules: [{name: r, match: {reply: {status: 200}}, fault: {status: 503, body: no}}]"), new(recovery.Module), new(faults.Module), new(stock))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/nothing": "503 no r  ", "/panics": "500 JSON   ", "/other": "404 JSON   "} {
		if got := observed(client, s.URL+path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// A delay is between the response and its arrival, and ends when the client leaves.
func TestMatchReplyDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := make(chan time.Time, 1)
		service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); handled <- time.Now() })
		env := rules("rules: [{name: r, match: {reply: {status: 200}}, delay: 5s}]")
		env["PODINFO_PROXY_ENABLED"] = "true"
		app, _ := registrytest.New(t, env, new(faults.Module), &proxy.Module{Handler: service})
		began, rec := time.Now(), httptest.NewRecorder()
		app.ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
		if took := time.Since(began); took != 5*time.Second || rec.Code != 200 {
			t.Errorf("%v %d", took, rec.Code)
		}
		<-handled
		r := httptest.NewRequest("GET", "/x", nil)
		ctx, leave := context.WithTimeout(t.Context(), 2*time.Second)
		defer leave()
		app.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		if took := time.Since(began); took != 7*time.Second {
			t.Error(took)
		}
		<-handled // the handler has returned
	})
}

// The status of calls, of podinfo's own and of a service behind the proxy.
func TestMatchCode(t *testing.T) {
	const scenario = `
rules:
- { name: busy, match: { reply: { code: UNAVAILABLE } }, fault: { grpc: { code: RESOURCE_EXHAUSTED, message: busy } } }
- { name: lost, match: { reply: { code: OK }, headers: { x-lose: "1" } }, fault: { grpc: DATA_LOSS } }
- { name: late, match: { reply: { code: [NOT_FOUND, OK] } }, delay: 1ms }
- { name: other, match: { reply: { status: 200 } }, fault: { status: 500 } }
`
	end := func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		n, err := strconv.Atoi(md.Get("x-code")[0])
		if err != nil {
			return err
		}
		return status.Error(codes.Code(n), "")
	}
	own := pb.NewTestServiceClient(grpctest.Serve(t, rules(scenario), new(faults.Module), &grpctest.Service{Do: end}).Conn)
	service := grpctest.Serve(t, nil, &grpctest.Service{Do: end})
	proxied := pb.NewTestServiceClient(proxiedTo(t, service.Addr, rules(scenario)))
	for at, c := range map[string]pb.TestServiceClient{"own": own, "proxied": proxied} {
		for _, x := range []struct {
			ask, lose string
			want      codes.Code
		}{{"0", "", codes.OK}, {"0", "1", codes.DataLoss}, {"14", "", codes.ResourceExhausted}, {"5", "", codes.NotFound}, {"9", "", codes.FailedPrecondition}} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-code", x.ask, "x-lose", x.lose)
			if _, err := c.UnaryCall(ctx, &pb.SimpleRequest{}); status.Code(err) != x.want {
				t.Errorf("%s: unary %s %q: %v, want %s", at, x.ask, x.lose, err, x.want)
			}
			stream, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
			n := -1
			for ; err == nil; n++ {
				_, err = stream.Recv()
			}
			if err == io.EOF {
				err = nil
			}
			if messages := map[string]int{"0": 1}[x.ask]; n != messages || status.Code(err) != x.want {
				t.Errorf("%s: stream %s %q: %d messages, %v, want %s", at, x.ask, x.lose, n, err, x.want)
			}
		}
	}
}

// Rules about the response may look into the body of the request, which the handler
// has read by then, also where another rule comes first.
func TestMatchReplyAndBody(t *testing.T) {
	const miss = "{name: miss, match: {path: /upload, reply: {status: 500}}, fault: {status: 504}}, "
	for _, c := range []struct{ rules, want string }{
		{"{name: r, match: {json: {$.a: x}, reply: {status: 200}}, fault: {status: 503}}", "503"},
		{miss + "{name: r, match: {json: {$.a: x}, reply: {status: 200}}, fault: {status: 503}}", "503"},
		{miss + "{name: r, match: {json: {$.a: y}, reply: {status: 200}}, fault: {status: 503}}", "200"},
		{miss + "{name: r, match: {body: '*x*', reply: {status: 200}}, fault: {status: 503}}", "503"},
		{miss + "{name: r, match: {not: {json: {$.a: x}}, reply: {status: 200}}, fault: {status: 503}}", "200"},
		{miss + "{name: r, match: {per: 'json:$.a', reply: {status: 200}}, fault: {status: 503}}", "503"},
		{miss + "{name: r, match: {headers: {x: y}, json: {$.a: x}, reply: {status: 200}}, fault: {status: 503}}", "200"},
	} {
		s := registrytest.Serve(t, rules("rules: ["+c.rules+"]"), new(faults.Module), new(endpoint))
		res, body := s.Call(t, "POST", "/upload", `{"a":"x"}`)
		if got := fmt.Sprint(res.StatusCode); got != c.want || got == "200" && body != text+`{"a":"x"}` {
			t.Errorf("%s: %s %q, want %s", c.rules, got, body, c.want)
		}
	}
}
