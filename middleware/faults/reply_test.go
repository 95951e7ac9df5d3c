package faults_test

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// page is a module with responses that the kind reply changes.
type document struct{}

func (document) Info() registry.Info { return registry.Info{Name: "document"} }
func (document) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/doc", Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, text)
		}},
		{Path: "/parts", Handler: func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, text[:10])
			http.NewResponseController(w).Flush()
			io.WriteString(w, text[10:])
		}},
		{Path: "/flushed", Handler: func(w http.ResponseWriter, _ *http.Request) { // as a proxy may
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			http.NewResponseController(w).Flush()
			io.WriteString(w, text[:10])
			http.NewResponseController(w).Flush()
			io.WriteString(w, text[10:])
		}},
		{Path: "/204", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
	}
}

// The bytes that a client over HTTP/1.1 receives for each change of a response.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		path, reply string
		status      string
		headers     string // lines that are there, separated by |; those with - are not
		body        string
	}{
		{"/doc", "status: 599", "599", `Etag: "1"|Content-Length: 36`, text},
		{"/doc", "status: 204", "204 No Content", "-Content-Length", ""},
		{"/doc", "status: 200, body: '{\"error\":\"no stock\"}'", "200 OK", "Content-Length: 20", `{"error":"no stock"}`},
		{"/doc", "body: ''", "202 Accepted", "Content-Length: 0", ""},
		{"/parts", "body: other", "200 OK", "Content-Length: 5|-Transfer-Encoding", "other"},
		{"/doc", "append: more", "202 Accepted", "Content-Length: 40", text + "more"},
		{"/parts", "append: more", "200 OK", "Transfer-Encoding: chunked", "a\r\n" + text[:10] + "\r\n1e\r\n" + text[10:] + "more\r\n0\r\n\r\n"},
		{"/doc", "repeat: 3", "202 Accepted", "Content-Length: 108", text + text + text},
		{"/doc", "repeat: 2, append: '-'", "202 Accepted", "Content-Length: 74", text + "-" + text + "-"},
		{"/flushed", "repeat: 2", "200 OK", "Content-Length: 72", text + text},
		{"/flushed", "repeat: 2, append: '-'", "200 OK", "Content-Length: 74", text + "-" + text + "-"},
		{"/flushed", "append: '-'", "200 OK", "Content-Length: 37", text + "-"},
		{"/flushed", "content-length: 5", "200 OK", "Content-Length: 41", text},
		{"/flushed", "body: x", "200 OK", "Content-Length: 1", "x"},
		{"/parts", "repeat: 2", "200 OK", "-Content-Length", "14\r\n" + text[:10] + text[:10] + "\r\n1a\r\n" + text[10:] + "\r\n0\r\n\r\n"}, // what was flushed
		{"/doc", "content-length: 5", "202 Accepted", "Content-Length: 41|Connection: close", text},
		{"/doc", "content-length: -5", "202 Accepted", "Content-Length: 31", text},
		{"/doc", "content-length: -500", "202 Accepted", "Content-Length: 0", text},
		{"/parts", "content-length: 90", "200 OK", "Content-Length: 100|-Transfer-Encoding", text}, // of what was flushed
		{"/doc", "headers: {set: {Cache-Control: no-store, etag: W/2}, remove: [Content-Type, date]}", "202 Accepted", "Cache-Control: no-store|Etag: W/2|-Content-Type|-Date", text},
		{"/doc", "redirect-loop: true", "302 Found", "Location: /doc?q=1", text},
		{"/doc", "redirect-loop: true, status: 308", "308 Permanent Redirect", "Location: /doc?q=1", text},
		{"/doc", "encoding: gzip", "202 Accepted", "Content-Encoding: gzip", text},
		{"/doc", "stale: 48h", "202 Accepted", "Age: 172800|Date: ", text},
		{"/doc", "interim: [103, 102], status: 200", "103 Early Hints", "", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK"},
		{"/doc", "status: 103", "103 Early Hints", "", ""},
		{"/doc", "status: 101, headers: {set: {Upgrade: x}}", "101 Switching Protocols", "Upgrade: x", ""},
		{"/204", "body: text, status: 200", "200 OK", "Content-Length: 4", "text"},
		{"/204", "append: text", "204 No Content", "", ""},
	} {
		e := new(endpoint)
		s := registrytest.Serve(t, rules("rules: [{name: r, fault: {reply: {"+c.reply+"}}}]"), new(faults.Module), e, document{})
		got, err := exchange(t, s.Listener.Addr().String(), "GET "+c.path+"?q=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if strings.Contains(c.reply, "interim") {
			body = varying.ReplaceAllString(strings.ReplaceAll(body, "X-Podinfo-Fault: r\r\n", ""), "")
			body = body[:min(len(body), len(c.body))]
		}
		if !strings.HasPrefix(head, "HTTP/1.1 "+c.status) || body != c.body || err != nil {
			t.Errorf("%s: %s: %q %v", c.path, c.reply, got, err)
		}
		for line := range strings.SplitSeq(c.headers, "|") {
			name, absent := strings.CutPrefix(line, "-")
			if name != "" && strings.Contains(head+"\r\n", "\r\n"+name) == absent {
				t.Errorf("%s: %s: %q in the header: %v\n%s", c.path, c.reply, name, absent, head)
			}
		}
		if strings.Contains(s.Log.String(), "superfluous") || strings.Contains(s.Log.String(), `"error"`) {
			t.Error(s.Log)
		}
		_, outcomes := e.seen(1)
		broken := strings.Contains(c.reply, "content-length") || strings.Contains(c.reply, "status: 10")
		if broken != (outcomes[0].Class != "") {
			t.Errorf("%s: recorded as %v", c.reply, outcomes)
		}
	}
}

// What a client over HTTP/2 gets.
func TestRepliesOverHTTP2(t *testing.T) {
	for reply, want := range map[string]string{
		"status: 599":               "[] 599 36 <nil>",
		"body: other":               "[] 202 5 <nil>",
		"append: more":              "[] 202 40 <nil>",
		"interim: [103, 110]":       "[103 110] 202 36 <nil>",
		"content-length: 5":         "[] 202 36 unexpected EOF",
		"content-length: -5":        "[] 202 31 <nil>",
		"repeat: 3":                 "[] 202 108 <nil>",
		"status: 103":               "[103] 0 0 stream error: stream ID 1; INTERNAL_ERROR; received from peer",
		"headers: {remove: [etag]}": "[] 202 36 <nil>",
	} {
		app, _ := registrytest.New(t, rules("rules: [{name: r, fault: {reply: {"+reply+"}}}]"), new(faults.Module), document{})
		srv := httptest.NewUnstartedServer(app)
		srv.EnableHTTP2 = true
		srv.StartTLS()
		interim := []int{}
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { interim = append(interim, code); return nil }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", srv.URL+"/doc", nil)
		must(t, err)
		res, err := srv.Client().Do(req)
		status, n := 0, int64(0)
		if err == nil {
			n, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			status = res.StatusCode
		}
		if ue, ok := err.(interface{ Unwrap() error }); ok {
			err = ue.Unwrap()
		}
		if got := fmt.Sprint(interim, status, n, err); got != want {
			t.Errorf("%s: %s, want %s", reply, got, want)
		}
		srv.Close()
	}
}

// Corruption changes as much as the rule says, where the seed says.
func TestCorrupt(t *testing.T) {
	for _, c := range []struct {
		corrupt          string
		bytesOff, bitOff int // changed bytes, and changed bits or 0 for any
	}{
		{"1", 1, 0}, {"{bytes: 5}", 5, 0}, {"{bytes: 36}", 36, 0}, {"{bytes: 500}", 36, 0}, {"{bits: 1}", 1, 1}, {"{bits: 288}", 36, 288},
	} {
		var seen []string
		for range 2 {
			s := registrytest.Serve(t, rules("rules: [{name: r, fault: {reply: {corrupt: "+c.corrupt+"}}}]"), new(faults.Module), document{})
			for range 3 {
				_, body := s.Call(t, "GET", "/doc", "")
				changedBytes, changedBits := 0, 0
				if len(body) != len(text) {
					t.Fatalf("%q", body)
				}
				for i := range text {
					if d := text[i] ^ body[i]; d != 0 {
						changedBytes++
						changedBits += bits.OnesCount8(d)
					}
				}
				if changedBytes != c.bytesOff || c.bitOff > 0 && changedBits != c.bitOff {
					t.Errorf("%s: %d bytes and %d bits: %q", c.corrupt, changedBytes, changedBits, body)
				}
				seen = append(seen, body)
			}
		}
		if diff := cmp.Diff(seen[:3], seen[3:]); diff != "" {
			t.Errorf("%s: another run differs: %s", c.corrupt, diff)
		}
		if c.bytesOff == 5 && seen[0] == seen[1] {
			t.Errorf("%s: each response is corrupted alike", c.corrupt)
		}
	}
}

// Of a body above the bound the beginning changes and all of it arrives.
func TestReplyOfALargeBody(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 3<<20)
	h := registry.Route{Path: "/large", Handler: func(w http.ResponseWriter, _ *http.Request) { w.Write(large[:10]); w.Write(large[10:]) }}
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {reply: {corrupt: 2, append: end}}}]"), new(faults.Module), routes{h})
	_, body := s.Call(t, "GET", "/large", "")
	if len(body) != len(large)+3 || strings.Count(body, "x") != len(large)-2 || !strings.HasSuffix(body, "xend") {
		t.Errorf("%d bytes", len(body))
	}
}

// Of a body above the bound the first 1 MiB is repeated, whatever the handler's
// writes, and Content-Length is right.
func TestRepeatOfALargeBody(t *testing.T) {
	const bound, size = 1 << 20, 3 << 20
	h := registry.Route{Path: "/large", Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Write(bytes.Repeat([]byte("a"), 10))
		w.Write(bytes.Repeat([]byte("b"), size-10))
	}}
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {reply: {repeat: 2, append: end}}}]"), new(faults.Module), routes{h})
	res, body := s.Call(t, "GET", "/large", "")
	if len(body) != size+bound+3 || res.ContentLength != int64(len(body)) || strings.Index(body[10:], "a") != bound-10 || !strings.HasSuffix(body, "bend") {
		t.Errorf("%d bytes, Content-Length %d", len(body), res.ContentLength)
	}
}

// routes is a module with given routes.
type routes []registry.Route

func (routes) Info() registry.Info        { return registry.Info{Name: "routes"} }
func (r routes) Routes() []registry.Route { return r }
