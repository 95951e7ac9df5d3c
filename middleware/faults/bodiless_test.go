package faults_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// bodiless are routes whose responses have no body.
var bodiless = routes{
	{Path: "/204", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
	{Path: "/304", Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(http.StatusNotModified)
		io.WriteString(w, "a body that net/http drops")
	}},
	{Path: "/none", Handler: func(http.ResponseWriter, *http.Request) {}},
}

// pipelined sends requests for "METHOD /path" one after the other on a connection, and
// returns the responses without their bodies.
func pipelined(t *testing.T, addr string, requests ...string) (responses []*http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	in := bufio.NewReader(conn)
	for _, request := range requests {
		first, headers, _ := strings.Cut(request, "\r\n")
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", first, headers)
		method, _, _ := strings.Cut(first, " ")
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		if err != nil {
			t.Errorf("%s: %v", first, err)
			return responses
		}
		responses = append(responses, res)
	}
	return responses
}

// A fault of the body does nothing to a response without one, nor to the next request
// on its connection. It takes no slot, and nothing says that it was applied.
func TestFaultsOfBodiesLeaveOthersAlone(t *testing.T) {
	for _, rule := range []string{
		"fault: {stall: {after: 1, for: 1h}}", "fault: {stall: {hang: true}}", "fault: {bandwidth: 1}", "fault: {reply: {corrupt: 1}}",
		"delay: {fixed: 1h, at: chunks}", "delay: {fixed: 1h, at: chunks}, fault: {stall: 1h}", "match: {reply: {status: [2xx, 304]}}, fault: {stall: 1h}",
		"choose: [{percent: 100, fault: {stall: 1h}}]", "limit: {rate: 0.001}, fault: {bandwidth: 1}",
	} {
		for _, request := range []string{"HEAD /a", "HEAD /three", "GET /204", "GET /304", "GET /none"} {
			if strings.HasPrefix(request, "GET") && (strings.Contains(rule, "corrupt") || strings.Contains(request, "none") && !strings.Contains(rule, "fault")) {
				continue // tested elsewhere
			}
			m, e, set := new(faults.Module), new(endpoint), metrics.NewSet()
			s := registrytest.Serve(t, rules("rules: [{name: r, "+rule+"}]", "MAX_HELD", "1"), m, e, bodiless)
			m.ContributeMetrics(set)
			for _, res := range pipelined(t, s.Listener.Addr().String(), request, request, request) {
				if name := res.Header.Get("X-Podinfo-Fault"); name != "" {
					t.Errorf("%s: %s: the response names %s", rule, request, name)
				}
			}
			seen, outcomes := e.seen(3)
			if text := page(set); len(seen) > 0 || strings.Contains(text, "podinfo_fault_hits_total") || strings.Contains(text, "held_requests 1") {
				t.Errorf("%s: %s: %v observed %v\n%s", rule, request, outcomes, seen, text)
			}
		}
	}
}

// What else a rule does to a response without a body is done and announced.
func TestRestOfFaultsOfBodies(t *testing.T) {
	for _, c := range []struct {
		rule, request string
		named, kinds  string
	}{
		{"delay: 1ms, fault: {stall: 1h}", "HEAD /a", "r", "delay"},
		{"delay: 1ms, fault: {stall: 1h}", "GET /204", "r", "delay"},
		{"delay: {fixed: 1ms, at: both}, fault: {bandwidth: 1}", "HEAD /three", "r", "delay"},
		{"delay: {fixed: 1ms, at: both}", "GET /three", "r", "delay"},
		{"delay: {fixed: 1ms, at: chunks}", "GET /three", "r", "delay"},
		{"delay: 1ms, fault: {stall: 1ms}", "GET /a", "r", "delay stall"},
		{"fault: {bandwidth: 100000}", "GET /a", "r", "bandwidth"},
		{"fault: {status: 503}", "HEAD /a", "r", "status"},
		{"fault: {reply: {corrupt: 1, status: 202}}", "HEAD /a", "r", "reply"},
	} {
		m, e, set := new(faults.Module), new(endpoint), metrics.NewSet()
		s := registrytest.Serve(t, rules("rules: [{name: r, "+c.rule+"}]"), m, e, bodiless)
		m.ContributeMetrics(set)
		for _, res := range pipelined(t, s.Listener.Addr().String(), c.request) {
			if name := res.Header.Get("X-Podinfo-Fault"); name != c.named {
				t.Errorf("%s: %s: the response names %q, want %q", c.rule, c.request, name, c.named)
			}
		}
		seen, _ := e.seen(1)
		var kinds []string
		for line := range strings.Lines(page(set)) {
			if rest, ok := strings.CutPrefix(line, `podinfo_fault_hits_total{rule="r",kind="`); ok {
				kinds = append(kinds, rest[:strings.Index(rest, `"`)])
			}
		}
		if diff := cmp.Diff(c.kinds, strings.Join(kinds, " ")); diff != "" || !cmp.Equal(seen, []string{"faults/r"}) {
			t.Errorf("%s: %s: observed %v %s", c.rule, c.request, seen, diff)
		}
	}
}

// The Content-Length of a response to HEAD is that of a GET after the change.
func TestRepliesToHead(t *testing.T) {
	declared := registry.Route{Path: "/declared", Handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "100") }}
	for _, c := range []struct{ path, reply, want string }{
		{"/a", "content-length: 5", "41"},
		{"/a", "content-length: -5", "31"},
		{"/a", "content-length: 5, append: more", "45"},
		{"/a", "append: more", "40"},
		{"/a", "repeat: 2", "72"},
		{"/a", "body: x, content-length: 5", "6"},
		{"/doc", "content-length: 5", "41"},
		{"/doc", "content-length: -500", "0"},
		{"/doc", "append: more", "40"},
		{"/doc", "repeat: 3, append: '-'", "111"},
		{"/parts", "content-length: 90", "100"}, // of what was flushed, as for a GET
		{"/declared", "content-length: 5", "105"},
		{"/declared", "append: more", "104"},
		{"/declared", "repeat: 2", "200"},
		{"/none", "content-length: 5", "5"},
	} {
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {reply: {"+c.reply+"}}}]"), new(faults.Module), new(endpoint), document{}, append(bodiless[2:], declared))
		for _, res := range pipelined(t, s.Listener.Addr().String(), "HEAD "+c.path, "HEAD "+c.path) {
			if got := res.Header.Get("Content-Length"); got != c.want || res.Header.Get("X-Podinfo-Fault") != "r" {
				t.Errorf("%s: %s: Content-Length %s, want %s; %v", c.path, c.reply, got, c.want, res.Header)
			}
		}
	}
}
