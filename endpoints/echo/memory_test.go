package echo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// meter is a module that knows the budget of its App.
type meter struct{ *budget.Budget }

func (*meter) Info() registry.Info                { return registry.Info{Name: "meter"} }
func (m *meter) Provision(h *registry.Host) error { m.Budget = h.Budget(); return nil }

func TestOverTheMemoryBudget(t *testing.T) {
	b := backend(t, map[string]http.HandlerFunc{
		"/small": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") },
		"/large": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 200<<10)) },
	})
	for _, c := range []struct {
		backends string
		body     int
		code     int
	}{
		{"", 10 << 10, 202}, {"", 200 << 10, 503}, {"", 10 << 10, 202},
		{b.URL + "/small", 10 << 10, 200}, {b.URL + "/small", 200 << 10, 503},
		{b.URL + "/small," + b.URL + "/large", 0, 503}, {b.URL + "/small," + b.URL + "/small", 0, 200},
	} {
		m := new(meter)
		s := registrytest.Serve(t, map[string]string{"PODINFO_MEMORY_BUDGET": "100KiB", "PODINFO_BACKEND_URL": c.backends}, new(Module), m)
		// Not with Connection: close, with which net/http does not read the rest of a
		// body, so that the client may see a reset instead of the response.
		res, err := s.Client().Post(s.URL+"/echo", "", strings.NewReader(strings.Repeat("b", c.body)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.code {
			t.Errorf("%q with %d bytes: %d %.100s, want %d", c.backends, c.body, res.StatusCode, body, c.code)
		}
		if c.code == 503 && (res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), `"code": 503`) || !strings.Contains(string(body), `"message": "`)) {
			t.Errorf("%q with %d bytes: %v %s", c.backends, c.body, res.Header, body)
		}
		s.Close() // waits until the handler has returned
		if m.Used() != 0 {
			t.Errorf("%q with %d bytes: %d bytes are still reserved", c.backends, c.body, m.Used())
		}
	}
}

// late is a module whose transport goes on reading the body after it has
// returned, as that of net/http may.
type late struct{ body io.ReadCloser }

func (*late) Info() registry.Info                                  { return registry.Info{Name: "late"} }
func (l *late) TraceTransport(http.RoundTripper) http.RoundTripper { return l }
func (l *late) RoundTrip(r *http.Request) (res *http.Response, err error) {
	l.body = r.Body
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

func TestBackendsGetNoBytesOfOtherRequests(t *testing.T) {
	l := new(late)
	s := registrytest.Serve(t, map[string]string{"PODINFO_BACKEND_URL": "http://b"}, new(Module), l)
	s.Call(t, "POST", "/echo", "first")
	body := l.body
	s.Call(t, "POST", "/echo", "other")
	if b, err := io.ReadAll(body); err == nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func TestStringsAreEncodedLikeJSON(t *testing.T) {
	for _, text := range []string{
		"", "plain", "<a href=\"x\">&\\\b\f\n\r\t\x00\x7f", "\u2028\u2029", "é€𝄞", "\xff\xfe", "é"[:1], "€"[:2], "𝄞"[:3], "a𝄞"[:4] + "b", "\x80\x80\x80\x80\x80",
		strings.Repeat("€", pieceSize), strings.Repeat("\xf0\x9d", pieceSize), strings.Repeat("x", pieceSize-1) + "𝄞",
	} {
		checkEncoding(t, []byte(text), 1)
		checkEncoding(t, []byte(text), 3)
		checkEncoding(t, []byte(text), 40_000)
	}
}

func FuzzStrings(f *testing.F) {
	f.Add([]byte("a\xe2\x82\xac<\xff"), 2)
	f.Fuzz(func(t *testing.T, text []byte, step int) { checkEncoding(t, text, max(step, 1)) })
}

// checkEncoding compares a string that is written in steps with encoding/json.
func checkEncoding(t *testing.T, text []byte, step int) {
	t.Helper()
	want, err := json.Marshal(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	got.WriteByte('"')
	w := newStringWriter(&got)
	for rest := text; len(rest) > 0; {
		n, err := w.Write(rest[:min(step, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	w.end()
	got.WriteByte('"')
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%.100q in steps of %d: %.100q, want %.100q", text, step, got.Bytes(), want)
	}
}

func TestLargeFanOut(t *testing.T) {
	text := strings.Repeat("€<", 100_000)
	b := backend(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }})
	if got := fanOut(t, nil, []string{b.URL, b.URL}, "POST"); fmt.Sprint(got) != fmt.Sprint([]string{text, text}) {
		t.Error("the responses differ")
	}
}
