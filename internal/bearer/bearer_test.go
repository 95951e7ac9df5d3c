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
			{"exp in capitals", sign(t, hs256, `{"iss":"podinfo","EXP":99999999999}`), "token has no expiry"},
			{"Exp before exp", sign(t, hs256, `{"iss":"podinfo","exp":1,"Exp":99999999999}`), "token is expired by"},
			{"NBF and IAT are not nbf and iat", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"NBF":99999999998,"IAT":"x"}`), ""},
			{"ISS", sign(t, hs256, `{"ISS":"podinfo","exp":99999999999}`), "invalid issuer"},
			{"Iss after iss", sign(t, hs256, `{"iss":"them","Iss":"podinfo","exp":99999999999}`), "invalid issuer"},
			{"iss with a long s", sign(t, hs256, `{"iſs":"podinfo","exp":99999999999}`), "invalid issuer"},
			{"AUD is not aud", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"AUD":"x"}`), ""},
			{"ALG", sign(t, `{"ALG":"HS256"}`, `{"iss":"podinfo","exp":99999999999}`), "invalid signing method"},
			{"kid of a key without one", sign(t, `{"alg":"HS256","kid":"x"}`, `{"iss":"podinfo","exp":99999999999}`), ""},
			{"kid is a number", sign(t, `{"alg":"HS256","kid":1}`, `{"iss":"podinfo","exp":99999999999}`), "token is malformed"},
			{"nbf overflows", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"nbf":1e300}`), "token has a date out of range"},
			{"nbf overflows when it is added to", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"nbf":9223372036854775807}`), "token has a date out of range"},
			{"nbf far below", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"nbf":-1e300}`), "token has a date out of range"},
			{"exp overflows", sign(t, hs256, `{"iss":"podinfo","exp":1e300}`), "token has a date out of range"},
			{"exp is no float64", sign(t, hs256, `{"iss":"podinfo","exp":1e999}`), "token has a date out of range"},
			{"iat overflows", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"iat":1e19}`), "token has a date out of range"},
			{"the last second of 9999", sign(t, hs256, `{"iss":"podinfo","exp":253402300799}`), ""},
			{"the first second of 10000", sign(t, hs256, `{"iss":"podinfo","exp":253402300800}`), "token has a date out of range"},
			{"nbf before 1970", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"nbf":-1}`), ""},
			{"exp is text", sign(t, hs256, `{"iss":"podinfo","exp":"99999999999"}`), "token is malformed"},
			{"aud without a setting", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"aud":"x"}`), "token is for an audience, and this server is configured without one"},
			{"empty aud without a setting", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"aud":""}`), "token is for an audience, and this server is configured without one"},
			{"aud is an empty list", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"aud":[]}`), "token is malformed"},
			{"aud is null", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"aud":null}`), ""},
			{"aud is a number", sign(t, hs256, `{"iss":"podinfo","exp":99999999999,"aud":7}`), "token is malformed"},
			{"crit", sign(t, `{"alg":"HS256","crit":["b64"],"b64":true}`, `{"iss":"podinfo","exp":99999999999}`), "token needs extensions that are not supported"},
		} {
			name, expires, err := bearer.NewVerifier([]bearer.Key{{Method: jwt.SigningMethodHS256, Key: key}}, "podinfo").Verify(c.token)
			if c.want != "" && (err == nil || err.Error() != c.want && (!strings.HasSuffix(c.want, "by") || !strings.HasPrefix(err.Error(), c.want)) || name != "" || !expires.IsZero()) || c.want == "" && err != nil {
				t.Errorf("%s: %q, %v, %v; want %q", c.what, name, expires, err, c.want)
			}
			if c.what == "good" && (name != "ann" || expires.Unix() != now+60) {
				t.Errorf("%s: %q until %v", c.what, name, expires)
			}
		}
	})
}

func TestAudience(t *testing.T) {
	const refused = "invalid audience"
	for _, c := range []struct{ aud, want string }{
		{`"us"`, ""}, {`["us"]`, ""}, {`["them","us"]`, ""}, {`"we"`, ""},
		{`"them"`, refused}, {`["them"]`, refused}, {`"US"`, refused}, {`"us "`, refused}, {`""`, refused}, {`null`, refused}, {"", refused},
		{`[]`, "token is malformed"}, {`7`, "token is malformed"}, {`["us",7]`, "token is malformed"}, {`{"us":true}`, "token is malformed"},
	} {
		claims := `{"iss":"podinfo","exp":99999999999,"aud":` + c.aud + `}`
		if c.aud == "" {
			claims = `{"iss":"podinfo","exp":99999999999,"AUD":"us"}`
		}
		_, _, err := bearer.NewVerifier([]bearer.Key{{Method: jwt.SigningMethodHS256, Key: key}}, "podinfo", "us", "we").Verify(sign(t, hs256, claims))
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("aud %s: %v, want %q", c.aud, err, c.want)
		}
	}
}

// A token names its key; without a name every key of its algorithm is tried.
func TestKeys(t *testing.T) {
	other := []byte("another secret of thirty-two bytes")
	keys := []bearer.Key{{ID: "other", Method: jwt.SigningMethodHS256, Key: other}, {ID: "ours", Method: jwt.SigningMethodHS256, Key: key}, {ID: "long", Method: jwt.SigningMethodHS512, Key: key}}
	const claims = `{"iss":"podinfo","exp":99999999999}`
	for _, c := range []struct{ header, want string }{
		{`{"alg":"HS256","kid":"ours"}`, ""},
		{`{"alg":"HS256"}`, ""},
		{`{"alg":"HS256","kid":""}`, ""},
		{`{"alg":"HS256","kid":null}`, ""},
		{`{"alg":"HS256","kid":"other"}`, "signature is invalid"},
		{`{"alg":"HS256","kid":"Ours"}`, "unknown key (kid)"},
		{`{"alg":"HS256","kid":"long"}`, "unknown key (kid)"},
		{`{"alg":"HS256","KID":"other"}`, ""},
		{`{"alg":"HS384","kid":"ours"}`, "invalid signing method"},
	} {
		_, _, err := bearer.NewVerifier(keys, "podinfo").Verify(sign(t, c.header, claims))
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%s: %v, want %q", c.header, err, c.want)
		}
	}
}

// respell changes an unused bit of the last letter: 43 letters encode 258 bits,
// and the signature has 256.
func respell(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(letters[strings.IndexByte(letters, token[last])^1])
}
