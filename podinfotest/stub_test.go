package podinfotest_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// A reply as the last step stays, in each of its forms.
func TestStubs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(file, []byte(`{"from":"a file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/text", Fail(503, 1), Reply(200, "stays"))
		srv.Script("/json", ReplyJSON(201, map[string]any{"id": 7}))
		srv.Script("/file", ReplyFile(200, file))
		srv.Script("POST /orders/{id}/items/{rest...}", ReplyTemplate(200,
			`{{.Method}} {{path "id"}} {{path "rest"}} {{query "page"}} {{header "x-user"}} {{cookie "s"}} {{json "$.user.name"}} {{body}}`).Header("X-Kind", "template"))
		srv.Script("/late", Reply(200, "late").Delay(1))
		srv.Script("/version", Reply(202, "twice").Times(2))
		for _, c := range []struct {
			request string
			want    []string
		}{
			{"GET /text", []string{"503 ", "200 text/plain; charset=utf-8 stays", "200 text/plain; charset=utf-8 stays"}},
			{"GET /json", []string{`201 application/json {"id":7}`, `201 application/json {"id":7}`, `201 application/json {"id":7}`}},
			{"GET /file", []string{`200 application/json {"from":"a file"}`, `200 application/json {"from":"a file"}`}},
			{"POST /orders/9/items/a/b?page=2", []string{`200 text/plain; charset=utf-8 POST 9 a/b 2 u1 c1 Ada {"user":{"name":"Ada"}}`}},
			{"GET /late", []string{"200 text/plain; charset=utf-8 late", "200 text/plain; charset=utf-8 late"}},
			{"GET /version", []string{"202 text/plain; charset=utf-8 twice", "202 text/plain; charset=utf-8 twice", "200 application/json"}},
		} {
			for i, want := range c.want {
				method, path, _ := strings.Cut(c.request, " ")
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader(`{"user":{"name":"Ada"}}`)
				}
				r, err := http.NewRequest(method, srv.URL+path, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-User", "u1")
				r.AddCookie(&http.Cookie{Name: "s", Value: "c1"})
				res, err := srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if got := strings.TrimSuffix(res.Status[:4], " ") + " " + res.Header.Get("Content-Type") + " " + string(b); err != nil || !strings.HasPrefix(got, want) {
					t.Errorf("%s, attempt %d: %q, want %q, %v", c.request, i+1, got, want, err)
				}
			}
		}
	})
}

// A header may have several values, also that of a failure.
func TestHeadersWithSeveralValues(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		two := func(s Step) Step { return s.Header("Set-Cookie", "a=1").Header("set-cookie", "b=2") }
		srv.Script("/a", two(Fail(503, 1)), two(Reply(200, "x")).Times(1), two(OK()))
		for i := range 3 {
			res, err := srv.Client().Get(srv.URL + "/a")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if diff := cmp.Diff([]string{"a=1", "b=2"}, res.Header.Values("Set-Cookie")); diff != "" {
				t.Errorf("attempt %d: %s", i+1, diff)
			}
		}
		for _, r := range srv.WaitAnswered(t.Context(), "/a", 3) {
			if len(r.Reply["Set-Cookie"]) != 2 {
				t.Errorf("recorded: %v", r.Reply)
			}
		}
	})
}

// A template that fails is an error of the test, and a response with status 500.
func TestTemplateThatFails(t *testing.T) {
	got := listen(t, func(tb testing.TB) {
		srv := StartInMemory(tb)
		srv.Script("/orders/*", ReplyTemplate(200, `{{path .Method}}`))
		if code := request(t, srv, "GET /orders/1", ""); code != 500 {
			t.Error(code)
		}
	})
	if want := `the path /orders/* has * before {GET}: use {name} throughout`; !strings.Contains(got, want) {
		t.Error(got)
	}
}

// A failure has a body, so that a client that forgets to close it is found.
func TestFailuresHaveABody(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		srv.Script("/a", Fail(400, 1), Fail(599, 1), Fail(503, 1).Header("Retry-After", "1"))
		for range 3 {
			if _, body, err := get(srv.Client(), srv.URL+"/a"); err != nil || !strings.HasPrefix(body, "{") {
				t.Errorf("%q %v", body, err)
			}
		}
	})
}
