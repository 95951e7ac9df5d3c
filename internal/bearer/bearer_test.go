package bearer_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
)

func TestFromHeader(t *testing.T) {
	const required = "authorization bearer header required"
	for _, c := range []struct {
		values     []string
		token, err string
	}{
		{nil, "", required},
		{[]string{""}, "", required},
		{[]string{"Bearer"}, "", required},
		{[]string{"Bearer x"}, "x", ""},
		{[]string{"bEaReR x"}, "x", ""},
		{[]string{"Bearer "}, "", ""},
		{[]string{"Bearer  x"}, "", required},
		{[]string{" Bearer x"}, "", required},
		{[]string{"Bearer x "}, "", required},
		{[]string{"Bearer\tx"}, "", required},
		{[]string{"Basic x"}, "", required},
		{[]string{"Bearer x", "Bearer x"}, "", required},
		{[]string{"Bearer " + strings.Repeat("x", bearer.MaxLen-7)}, strings.Repeat("x", bearer.MaxLen-7), ""},
		{[]string{"Bearer " + strings.Repeat("x", bearer.MaxLen-6)}, "", "authorization header is longer than 16384 bytes"},
	} {
		token, err := bearer.FromHeader(http.Header{"Authorization": c.values})
		if token != c.token || err == nil && c.err != "" || err != nil && err.Error() != c.err {
			t.Errorf("%.40q: %.40q, %v; want %.40q, %s", c.values, token, err, c.token, c.err)
		}
	}
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		err       error
		challenge string
	}{
		{bearer.ErrMissing, `Bearer realm="podinfo"`},
		{jwt.ErrTokenExpired, `Bearer realm="podinfo", error="invalid_token"`},
	} {
		rec := httptest.NewRecorder()
		bearer.Refuse(rec, c.err)
		want := fmt.Sprintf("{\n  \"code\": 401,\n  \"message\": %q\n}", c.err)
		if got := rec.Result().Header.Get("WWW-Authenticate"); rec.Code != 401 || got != c.challenge || rec.Body.String() != want {
			t.Errorf("%v: %d %s %s", c.err, rec.Code, got, rec.Body)
		}
	}
}

func TestRequire(t *testing.T) {
	next := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }
	for _, c := range []struct {
		want, given string
		code        int
	}{
		{"", "", 204}, {"", "Bearer x", 204}, {"s3cret", "Bearer s3cret", 204}, {"s3cret", "", 401}, {"s3cret", "Bearer wrong", 401}, {"s3cret", "Basic s3cret", 401}, {"s3cret", "Bearer ", 401},
	} {
		rec, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", c.given)
		bearer.Require(c.want, next)(rec, r)
		if rec.Code != c.code || (rec.Header().Get("WWW-Authenticate") != "") != (c.code == 401) {
			t.Errorf("%q for %q: %d %v", c.given, c.want, rec.Code, rec.Header())
		}
	}
}

var key = []byte("a secret of thirty-two bytes, yes")

func sign(t *testing.T, header, claims string) string {
	t.Helper()
	return signBy(t, jwt.SigningMethodHS256, header, claims)
}

func signBy(t *testing.T, method jwt.SigningMethod, header, claims string) string {
	t.Helper()
	text := encode(header) + "." + encode(claims)
	sig, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the fake clock stands still
		now := time.Now().Unix()
		good := sign(t, hs256, fmt.Sprintf(`{"name":"ann","iss":"podinfo","exp":%d}`, now+60))
		dot := strings.LastIndex(good, ".")
		for _, c := range []struct{ what, token, want string }{
			{"good", good, ""},
			{"fraction of a second left", sign(t, hs256, fmt.Sprintf(`{"iss":"podinfo","exp":%d.9}`, now+1)), ""},
			{"empty", "", "token contains an invalid number of segments"},
			{"two segments", "a.b", "token contains an invalid number of segments"},
			{"dots", strings.Repeat(".", 1<<20), "token contains an invalid number of segments"},
			{"not base64", "#.b.c", "illegal base64 data at input byte 0"},
			{"standard base64", "a+/a.b.c", "illegal base64 data at input byte 1"},
			{"not JSON", encode("x") + "." + encode("{}") + ".", "token is malformed"},
			{"header is an array", sign(t, hs256, `[]`), "token is malformed"},
			{"name is a number", sign(t, hs256, `{"name":7,"iss":"podinfo","exp":99999999999}`), "token is malformed"},
			{"null", sign(t, hs256, `null`), "token has no expiry"},
			{"none", sign(t, `{"alg":"none"}`, `{}`), "invalid signing method"},
			{"no alg", sign(t, `{}`, `{}`), "invalid signing method"},
			{"alg is a number", sign(t, `{"alg":256}`, `{}`), "invalid signing method"},
			{"unknown alg", sign(t, `{"alg":"hs256"}`, `{}`), "invalid signing method"},
			{"HS512", signBy(t, jwt.SigningMethodHS512, `{"alg":"HS512"}`, `{"iss":"podinfo","exp":99999999999}`), "invalid signing method"},
			{"RS256", sign(t, `{"alg":"RS256"}`, `{}`), "invalid signing method"},
			{"unsigned", good[:dot+1], "signature is invalid"},
			{"another payload", good[:strings.Index(good, ".")+1] + encode(`{"iss":"podinfo","exp":99999999999}`) + good[dot:], "signature is invalid"},
			{"other spelling of the signature", respell(good), "illegal base64 data at input byte 42"},
			{"line break in the signature", good[:dot+3] + "\n" + good[dot+3:], "token is malformed"},
			{"padded", good + "=", "illegal base64 data at input byte 43"},
			{"no exp", sign(t, hs256, `{"iss":"podinfo"}`), "token has no expiry"},
			{"null exp", sign(t, hs256, `{"iss":"podinfo","exp":null}`), "token has no expiry"},
			{"expired", sign(t, hs256, fmt.Sprintf(`{"iss":"podinfo","exp":%d}`, now-90)), "token is expired by 1m30s"},
			{"expires now", sign(t, hs256, fmt.Sprintf(`{"iss":"podinfo","exp":%d}`, now)), "token is expired by 0s"},
			{"not yet", sign(t, hs256, fmt.Sprintf(`{"iss":"podinfo","exp":%d,"nbf":%d}`, now+60, now+1)), "token is not valid yet"},
			{"wrong issuer", sign(t, hs256, `{"iss":"Podinfo","exp":99999999999}`), "invalid issuer"},
			{"no issuer", sign(t, hs256, `{"exp":99999999999}`), "invalid issuer"},
			{"crit", sign(t, `{"alg":"HS256","crit":["b64"],"b64":true}`, `{"iss":"podinfo","exp":99999999999}`), "token needs extensions that are not supported"},
		} {
			name, expires, err := bearer.NewVerifier(jwt.SigningMethodHS256, key, "podinfo").Verify(c.token)
			if c.want != "" && (err == nil || err.Error() != c.want || name != "" || !expires.IsZero()) || c.want == "" && err != nil {
				t.Errorf("%s: %q, %v, %v; want %q", c.what, name, expires, err, c.want)
			}
			if c.what == "good" && (name != "ann" || expires.Unix() != now+60) {
				t.Errorf("%s: %q until %v", c.what, name, expires)
			}
		}
	})
}

// respell changes an unused bit of the last letter: 43 letters encode 258 bits,
// and the signature has 256.
func respell(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(letters[strings.IndexByte(letters, token[last])^1])
}
