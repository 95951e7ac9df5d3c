package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// TestMain sets a local time other than UTC, so that the tests find a missing
// conversion.
func TestMain(m *testing.M) {
	time.Local = time.FixedZone("elsewhere", 3600)
	goleak.VerifyTestMain(m)
}

const secret = "0123456789abcdef0123456789abcdef"

var own = map[string]string{"PODINFO_JWT_SECRET": secret}

type reply struct {
	Token     string    `json:"token"`
	TokenName string    `json:"token_name"`
	ExpiresAt time.Time `json:"expires_at"`
	Code      int       `json:"code"`
	Message   string    `json:"message"`
}

func decode(t testing.TB, body string) (r reply) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return r
}

func TestIssuedTokensValidate(t *testing.T) {
	s := registrytest.Serve(t, own, new(token.Module))
	for _, c := range []struct{ body, name string }{
		{"", "anonymous"},
		{"ann", "ann"},
		{"a\xffb", "a\uFFFDb"},
		{"<\"\n&>", "<\"\n&>"},
		{strings.Repeat("n", 10000), strings.Repeat("n", 10000)},
	} {
		before := time.Now().Truncate(time.Second)
		res, body := s.Call(t, "POST", "/token", c.body)
		got := decode(t, body)
		if res.StatusCode != 200 || got.ExpiresAt.Before(before.Add(time.Minute)) || got.ExpiresAt.After(time.Now().Add(time.Minute)) {
			t.Fatalf("%.20q: %d %.99s", c.body, res.StatusCode, body)
		}
		if !regexp.MustCompile(`^\{\n  "token": "[\w-]+\.[\w-]+\.[\w-]{43}",\n  "expires_at": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"\n\}$`).MatchString(body) {
			t.Errorf("%s", body)
		}
		for _, method := range []string{"GET", "POST"} {
			res, body := s.Call(t, method, "/token/validate", "", "Authorization", "bearer "+got.Token)
			want := reply{TokenName: c.name, ExpiresAt: got.ExpiresAt}
			if diff := cmp.Diff(want, decode(t, body)); diff != "" || res.StatusCode != 200 {
				t.Errorf("%s %d: %s", method, res.StatusCode, diff)
			}
		}
	}
}

// TestLongestName checks that the longest name makes a token that is accepted.
func TestLongestName(t *testing.T) {
	s := registrytest.Serve(t, own, new(token.Module))
	name := strings.Repeat("n", 12_000)
	_, body := s.Call(t, "POST", "/token", name)
	if res, body := s.Call(t, "GET", "/token/validate", "", "Authorization", "Bearer "+decode(t, body).Token); res.StatusCode != 200 || decode(t, body).TokenName != name {
		t.Errorf("%d %.99s", res.StatusCode, body)
	}
	if res, body := s.Call(t, "POST", "/token", strings.Repeat("n", 12<<10+1)); res.StatusCode != 413 || decode(t, body).Code != 413 {
		t.Errorf("%d %.99s", res.StatusCode, body)
	}
}

// TestTokenFormat checks that a token has upstream's header and claims and is
// signed with the secret.
func TestTokenFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(token.Module)
		registrytest.New(t, own, m)
		time.Sleep(300 * time.Millisecond)
		got, expires, err := m.Issue("ann")
		if err != nil {
			t.Fatal(err)
		}
		exp := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC) // the 300 ms are truncated
		text := encode(`{"alg":"HS256","typ":"JWT"}`) + "." + encode(fmt.Sprintf(`{"name":"ann","iss":"podinfo","exp":%d}`, exp.Unix()))
		if got != text+"."+encode(string(mac(text))) || !expires.Equal(exp) {
			t.Errorf("%s until %v", got, expires)
		}
	})
}

// TestUpstreamsToken verifies a token that upstream 6.14.1 issued with the same
// secret, as it arrives while pods of both serve behind one Service.
func TestUpstreamsToken(t *testing.T) {
	const recorded = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYW1lIjoiYW5uIiwiaXNzIjoicG9kaW5mbyIsImV4cCI6MTc5NTc0MjgxNX0.uMe-I56SVHpU0rffG4ISAXryvv6y7XtublddqTPdnIA"
	expires := time.Date(2026, 11, 27, 1, 26, 55, 0, time.UTC)
	synctest.Test(t, func(t *testing.T) {
		m := new(token.Module)
		registrytest.New(t, own, m)
		time.Sleep(time.Until(expires) - token.Validity) // when it was issued
		name, until, err := m.Verify(recorded)
		if err != nil || name != "ann" || !until.Equal(expires) {
			t.Errorf("%q until %v, %v", name, until, err)
		}
		issued, _, err := m.Issue("ann")
		if err != nil || issued != recorded {
			t.Errorf("issued at the same time: %s, %v; want upstream's bytes", issued, err)
		}
	})
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func mac(text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(token.Module)
		app, _ := registrytest.New(t, own, m)
		signed, _, err := m.Issue("ann")
		if err != nil {
			t.Fatal(err)
		}
		validate := func() *httptest.ResponseRecorder {
			rec, req := httptest.NewRecorder(), httptest.NewRequest("GET", "/token/validate", nil)
			req.Header.Set("Authorization", "Bearer "+signed)
			app.ServeHTTP(rec, req)
			return rec
		}
		time.Sleep(time.Minute - 1)
		if rec := validate(); rec.Code != 200 {
			t.Errorf("a nanosecond before expiry: %d %s", rec.Code, rec.Body)
		}
		time.Sleep(1500*time.Millisecond + 1)
		if rec := validate(); rec.Code != 401 || decode(t, rec.Body.String()).Message != "token is expired by 1.5s" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

func TestRefusals(t *testing.T) {
	s := registrytest.Serve(t, own, new(token.Module))
	for _, c := range []struct{ header, message, challenge string }{
		{"", "authorization bearer header required", `Bearer realm="podinfo"`},
		{"Basic x", "authorization bearer header required", `Bearer realm="podinfo"`},
		{"Bearer x", "token contains an invalid number of segments", `Bearer realm="podinfo", error="invalid_token"`},
		{"Bearer " + forged("not the secret"), "signature is invalid", `Bearer realm="podinfo", error="invalid_token"`},
	} {
		res, body := s.Call(t, "GET", "/token/validate", "", "Authorization", c.header)
		want := reply{Code: 401, Message: c.message}
		if diff := cmp.Diff(want, decode(t, body)); diff != "" || res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%q: %d %v %s", c.header, res.StatusCode, res.Header, diff)
		}
	}
}

// forged returns a token with valid claims, signed with key.
func forged(key string) string {
	text := encode(`{"alg":"HS256"}`) + "." + encode(`{"iss":"podinfo","exp":99999999999}`)
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return text + "." + encode(string(h.Sum(nil)))
}

func TestWarnsOfPublicSecretOnce(t *testing.T) {
	m := new(token.Module)
	s := registrytest.Serve(t, nil, m)
	for range 3 {
		s.Call(t, "POST", "/token", "")
	}
	if got := s.Log.String(); strings.Count(got, "PODINFO_JWT_SECRET") != 1 || !strings.Contains(got, `"level":"warn"`) || !m.WellKnownSecret() {
		t.Errorf("%s", got)
	}
	for _, set := range s.App.Settings() {
		if set.Key == "PODINFO_JWT_SECRET" && set.Shown() != registry.Redacted {
			t.Errorf("shown as %s", set.Shown())
		}
	}
	m = new(token.Module)
	if _, log := registrytest.New(t, own, m); strings.Contains(log.String(), "warn") || m.WellKnownSecret() || m.SecretLen() != len(secret) {
		t.Errorf("%s", log)
	}
}

// FuzzAuthorization compares the endpoint with a second implementation that
// checks the signature only.
func FuzzAuthorization(f *testing.F) {
	app, _ := registrytest.New(f, own, new(token.Module))
	good := forged(secret)
	for _, h := range []string{
		"", "Bearer", "Bearer ", "Bearer a.b.c", "bearer " + good, "BEARER " + good, "Bearer " + good + " ", "Basic " + good,
		"Bearer " + forged("x"), "Bearer " + good + "=", "Bearer ..", "Bearer " + encode(`{"alg":"none"}`) + "." + encode(`{}`) + ".",
		"Bearer " + encode(`{"alg":"HS256"}`) + "." + encode(`{"exp":1e999}`) + "." + encode("x"), "Bearer " + strings.Repeat(".", 20000),
	} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		rec, req := httptest.NewRecorder(), httptest.NewRequest("GET", "/token/validate", nil)
		req.Header["Authorization"] = []string{header}
		app.ServeHTTP(rec, req)
		want := http.StatusUnauthorized
		if acceptable(header) {
			want = http.StatusOK
		}
		if rec.Code != want || (rec.Code == 401) != (rec.Header().Get("WWW-Authenticate") != "") || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%q: %d %v %s", header, rec.Code, rec.Header(), rec.Body)
		}
	})
}

// acceptable reports whether header has a token that is signed with the secret.
// It ignores the claims: the only such token is the one passed to f.Add, and its
// claims are valid.
func acceptable(header string) bool {
	if len(header) < 7 || !strings.EqualFold(header[:7], "bearer ") {
		return false
	}
	signed := header[7:]
	i := strings.LastIndexByte(signed, '.')
	return i >= 0 && signed[i+1:] == encode(string(mac(signed[:i])))
}
