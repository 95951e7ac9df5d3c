package jwt_test

import (
	"bufio"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	lib "github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "0123456789abcdef0123456789abcdef"

// endpoint has routes of each kind and counts the requests that reach them.
type endpoint struct{ hits atomic.Int64 }

func (*endpoint) Info() registry.Info { return registry.Info{Name: "endpoint"} }
func (e *endpoint) Routes() []registry.Route {
	hit := func(w http.ResponseWriter, r *http.Request) {
		e.hits.Add(1)
		w.Write([]byte(r.Method + " " + r.URL.Path))
	}
	route := func(method, path string) registry.Route {
		return registry.Route{Method: method, Path: path, Handler: hit}
	}
	healthz, readyz := route("GET", "/healthz"), route("GET", "/readyz")
	healthz.Probe, readyz.Probe = true, true
	same := func(paths ...string) (out []registry.Route) {
		for _, path := range paths {
			rt := route("", path)
			rt.SameAs = paths
			out = append(out, rt)
		}
		return out
	}
	return append([]registry.Route{
		route("GET", "/"), route("GET", "/info"), route("GET", "/api/info"),
		route("GET", "/cache/{key}"), route("POST", "/cache/{key}"), route("DELETE", "/cache/{key}"),
		route("GET", "/status/{code}"), route("GET", "/box/{id}"), route("POST", "/box/new"),
		healthz, readyz, route("POST", "/readyz/enable"),
	}, same("/echo", "/echo/{rest...}", "/say/echo", "/say/echo/{rest...}")...)
}

// all lists the routes of endpoint.
var all = []string{
	"GET /", "GET /info", "GET /api/info", "GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}",
	"GET /status/{code}", "GET /box/{id}", "POST /box/new", "GET /healthz", "GET /readyz", "POST /readyz/enable",
	" /echo", " /echo/{rest...}", " /say/echo", " /say/echo/{rest...}",
}

func env(paths string, more ...string) map[string]string {
	out := map[string]string{"PODINFO_JWT_ENABLED": "true", "PODINFO_JWT_PATHS": paths, "PODINFO_JWT_SECRET": secret}
	for _, kv := range more {
		k, v, _ := strings.Cut(kv, "=")
		out[k] = v
	}
	return out
}

func TestPatterns(t *testing.T) {
	without := func(names ...string) (out []string) {
		for _, name := range all {
			if !slices.Contains(names, name) {
				out = append(out, name)
			}
		}
		return out
	}
	cache := []string{"GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}"}
	echo := all[len(all)-4:]
	for _, c := range []struct {
		paths, prefix string
		want          []string
	}{
		// A pattern guards what is below it, and the paths of the same handler.
		{"/echo", "", echo},
		{"/echo/*", "", echo},
		{"/echo/{rest...}", "", echo},
		{"/echo*", "", echo},
		{"/say/echo", "", echo},
		{"/say/echo/*", "", echo},
		{"/say", "", echo},
		{"/foo/echo", "/foo", echo},
		{"/foo/say/echo", "/foo", echo},
		{"/ec*o", "", echo},
		{"/cache", "", cache},
		{"/status", "", []string{"GET /status/{code}"}},
		{"/box", "", []string{"GET /box/{id}", "POST /box/new"}},
		{"/readyz", "", []string{"GET /readyz", "POST /readyz/enable"}},
		{"/api", "", []string{"GET /api/info"}},
		{"/foo/cache", "/foo", cache},
		{"/foo/bar", "/foo/bar", []string{"GET /"}},
		// An exclusion opens the routes that it names and no others.
		{"/*,!/echo", "", without("GET /healthz", "GET /readyz", " /echo")},
		{"/echo,!/echo/*", "", []string{" /echo", " /say/echo", " /say/echo/{rest...}"}},

		{"/cache/*", "", []string{"GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}"}},
		{"/cache/{key}", "", []string{"GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}"}},
		{"/cache/{k}, /status/*", "", []string{"GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}", "GET /status/{code}"}},
		{"/", "", []string{"GET /"}},
		{"/*", "", without("GET /healthz", "GET /readyz")},
		{"/*,/healthz", "", without("GET /readyz")},
		{"/*,!/healthz", "", without("GET /healthz", "GET /readyz")},
		{"!/echo*,/*", "", without("GET /healthz", "GET /readyz", " /echo", " /echo/{rest...}")},
		{"/readyz*", "", []string{"POST /readyz/enable"}},
		{"/box/*,/box/new", "", []string{"GET /box/{id}", "POST /box/new"}},
		{"/api/*", "", []string{"GET /api/info"}},
		{"/*info*,/cache*,/echo*,/status/*,/box*,/say/*", "", without("GET /", "GET /healthz", "GET /readyz", "POST /readyz/enable")},

		{"/cache/*", "/foo", []string{"GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}"}},
		{"/foo/cache/*", "/foo", []string{"GET /cache/{key}", "POST /cache/{key}", "DELETE /cache/{key}"}},
		{"/foo", "/foo", []string{"GET /"}},
		{"/foo/*", "/foo", without("GET /", "GET /healthz", "GET /readyz")},
		{"/foo/healthz", "/foo", []string{"GET /healthz"}},
		// Where a path is a route both with and without the prefix, an inclusion
		// applies to both and an exclusion only to the one without.
		{"/api/info", "/api", []string{"GET /info", "GET /api/info"}},
		{"/*,!/api/info", "/api", without("GET /healthz", "GET /readyz", "GET /api/info")},
		{"/*,!/foo/api/info", "/foo", without("GET /healthz", "GET /readyz", "GET /api/info")},
	} {
		app, err := registry.New([]registry.Module{new(jwt.Module), new(token.Module), new(endpoint)}, registry.Env(env(c.paths, "PODINFO_PREFIX="+c.prefix)))
		if err != nil {
			t.Errorf("%s: %v", c.paths, err)
			continue
		}
		var got []string
		for _, rt := range app.Mounted() {
			if rt.Module == "endpoint" && slices.Contains(rt.Chain, "jwt") {
				got = append(got, rt.Method+" "+rt.Path)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s below %q: %s", c.paths, c.prefix, diff)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{env(""), `PODINFO_JWT_PATHS="": want the routes to guard, such as /cache/*`},
		{env("!/info"), "want the routes to guard"},
		{env("cache/*"), "want patterns that start with /"},
		{env("/cache/*,"), "want patterns that start with /"},
		{env("/cache/*,!/cache/{key"), `want patterns in which {name} is a whole segment, unlike in /cache/{key`},
		{env("/status/500"), `PODINFO_JWT_PATHS="/status/500": want whole routes: /status/500 does not name all of /status/{code}, use /status/*`},
		{env("/status/5*"), "use /status/*"},
		{env("/status/"), "use /status/*"},
		{env("/*,!/status/500"), "want whole routes: /status/500 does not name all of /status/{code}"},
		{env("/foo/status/500", "PODINFO_PREFIX=/foo"), "use /status/*"},
		{env("/*,!/foo/status/500", "PODINFO_PREFIX=/foo"), "use /status/*"},
		{env("/echo/*/c"), "use /echo/*"},
		{env("/cache/a,/echo"), "use /cache/*"},
		{env("/*e/x"), "use /cache/*"},
		{env("/*info"), "/*info does not name all of /cache/{key}"}, // /cache/info
		{env("*/info"), "want patterns that start with /"},
		{env("/box/new"), "/box/new does not name all of /box/{id}, use /box/*"},
		{env("/box/{id}"), "/box/{id} does not name all of /box/new, use /box/new"},
		{env("/cash/*"), "want patterns of existing routes: /cash/* matches none"},
		{env("/cache/a/b"), "/cache/a/b matches none"},
		{env("/CACHE/*"), "/CACHE/* matches none"},
		{env("/cache/*,!/infos"), "/infos matches none"},
		{env("/info/"), "/info/ matches none"},
		{env("/foo/bar/", "PODINFO_PREFIX=/foo/bar"), "/foo/bar/ matches none"},
		{env("/echo,!/say"), "/say matches none"},
		{env("/health*"), "want probes by their full paths, such as /healthz: /health* matches only probes"},
		{env("/info,!/info"), "want patterns that leave something to guard"},
		{env("/info", "PODINFO_JWT_SECRET="), `PODINFO_JWT_SECRET="REDACTED": want a secret of at least 32 bytes that is not the public default`},
		{env("/info", "PODINFO_JWT_SECRET="+secret[1:]), `PODINFO_JWT_SECRET="REDACTED": want a secret of at least 32 bytes`},
		{env("/infos", "PODINFO_JWT_SECRET=short"), "/infos matches none\nPODINFO_JWT_SECRET="},
		{env("/info", "PODINFO_TOKEN_ENABLED=false"), `PODINFO_JWT_PUBLIC_KEY_FILE="": want the public keys of the token issuer, because module token is off; or PODINFO_TOKEN_ENABLED=true`},
		{env("/info", "PODINFO_JWT_AUDIENCE=us"), `PODINFO_JWT_AUDIENCE="us": want PODINFO_JWT_PUBLIC_KEY_FILE as well`},
		{env("/info", "PODINFO_JWT_ISSUER=them"), `PODINFO_JWT_ISSUER="them": want podinfo, unless PODINFO_JWT_PUBLIC_KEY_FILE`},
	} {
		_, err := registry.New([]registry.Module{new(jwt.Module), new(token.Module), new(endpoint)}, registry.Env(c.vars))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "short") {
			t.Errorf("%v: %v, want %q", c.vars, err, c.want)
		}
	}
}

func TestGuard(t *testing.T) {
	e, tokens := new(endpoint), new(token.Module)
	s := registrytest.Serve(t, env("/cache/*"), new(jwt.Module), tokens, e)
	signed, _, err := tokens.Issue("ann")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Log.String(); !strings.Contains(got, `"open":"GET /, GET /info,`) || !strings.Contains(got, `"routes":"GET /cache/{key}, POST /cache/{key}, DELETE /cache/{key}"`) {
		t.Errorf("log: %s", got)
	}
	for _, c := range []struct {
		method, path, header string
		code                 int
		challenge            string
	}{
		{"GET", "/cache/k", "", 401, `Bearer realm="podinfo"`},
		{"GET", "/cache/k", "Basic " + signed, 401, `Bearer realm="podinfo"`},
		{"GET", "/cache/k", "Bearer " + signed + "x", 401, `Bearer realm="podinfo", error="invalid_token"`},
		{"GET", "/cache/k", "bearer " + signed, 200, ""},
		{"POST", "/cache/k", "bearer " + signed, 200, ""},
		{"GET", "/info", "", 200, ""},
		{"POST", "/token", "", 200, ""},
		{"PUT", "/cache/k", "", 405, ""},
		{"OPTIONS", "/cache/k", "", 204, ""},
	} {
		res, body := s.Call(t, c.method, c.path, "", "Authorization", c.header)
		if res.StatusCode != c.code || res.Header.Get("WWW-Authenticate") != c.challenge || c.code == 401 && !strings.Contains(body, `"code": 401`) {
			t.Errorf("%s %s %.20s: %d %s %v, want %d %s", c.method, c.path, c.header, res.StatusCode, body, res.Header, c.code, c.challenge)
		}
	}
}

// TestEvasions spells paths in many ways: without a token no guarded handler runs.
func TestEvasions(t *testing.T) {
	for _, prefix := range []string{"", "/foo"} {
		e, tokens := new(endpoint), new(token.Module)
		s := registrytest.Serve(t, env("/cache/*,/echo*,/", "PODINFO_PREFIX="+prefix), new(jwt.Module), tokens, e)
		addr := s.Listener.Addr().String()
		for _, line := range []string{
			"GET %s/cache/k", "HEAD %s/cache/k", "POST %s/cache/k", "DELETE %s/cache/k", "get %s/cache/k", "BREW %s/cache/k",
			"GET %s/Cache/k", "GET %s/CACHE/k", "GET %s/%%63ache/k", "GET %s/cache%%2fk", "GET %s/cache%%2Fk", "GET %s/cache/%%6b", "GET %s/cache/a%%2fb",
			"GET %s//cache/k", "GET %s/cache//k", "GET /%s/cache/k", "GET %s/./cache/k", "GET %s/cache/./k", "GET %s/cache/../cache/k", "GET %s/info/../cache/k",
			"GET %s/info/..%%2fcache/k", "GET %s/info/%%2e%%2e/cache/k", "GET %s/info%%2f..%%2fcache%%2fk", "GET %s/cache/k/", "GET %s/cache/k/.", "GET %s/cache/", "GET %s/cache",
			"GET %s/cache/k?x=/info", "GET %s/cache/k#/info", "GET %s/cache/k;x=1", "GET %s/cache;x/k", "GET %s/cache\\k", "GET %s/cache/k%%00", "GET %s/cache/%%ff", "GET %s/cache/ſ",
			"GET http://" + addr + "%s/cache/k", "GET http://other%s/cache/k", "OPTIONS *%s", "GET *%s",
			"GET %s/echo", "HEAD %s/echo", "OPTIONS %s/echo", "TRACE %s/echo", "BREW %s/echo/a/b", "GET %s/echo/", "GET %s/echo//", "GET %s/echo/../echo", "CONNECT %s/echo",
			"GET %s", "GET %s/", "HEAD %s/", "GET %s//", "GET %s/.", "GET %s/?", "GET %s/cache/..", "GET ?%s",
		} {
			request := fmt.Sprintf(line, prefix)
			code := raw(t, addr, request)
			if n := e.hits.Swap(0); n != 0 || code >= 500 && code != http.StatusNotImplemented {
				t.Errorf("%q: %d, %d handlers ran", request, code, n)
			}
		}
		signed, _, err := tokens.Issue("ann")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{prefix + "/cache/k", prefix + "/echo/a", prefix + "/"} { // with a token the handlers do run
			if res, _ := s.Call(t, "GET", path, "", "Authorization", "Bearer "+signed); res.StatusCode != 200 || e.hits.Swap(0) != 1 {
				t.Errorf("%s with a token: %d", path, res.StatusCode)
			}
		}
	}
}

// raw sends a request line that http.Client would refuse to send.
func raw(t *testing.T, addr, line string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: GET\r\nX-Original-URL: /info\r\nX-Rewrite-URL: /info\r\nX-Forwarded-Prefix: /info\r\nConnection: close\r\n\r\n", line)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// A keyPair has the private key for an algorithm.
type keyPair struct {
	method  lib.SigningMethod
	private crypto.Signer
}

func keyPairs(t *testing.T) []keyPair {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []keyPair{{lib.SigningMethodRS256, r}, {lib.SigningMethodES256, e}, {lib.SigningMethodEdDSA, d}}
}

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func sign(t *testing.T, method lib.SigningMethod, key any, claims lib.MapClaims) string {
	t.Helper()
	s, err := lib.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPublicKey(t *testing.T) {
	pairs := keyPairs(t)
	soon, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	good := lib.MapClaims{"iss": "them", "exp": soon, "sub": "ann"}
	for i, p := range pairs {
		public := publicPEM(t, p.private.Public())
		e := new(endpoint)
		// Without the token module, its secret does not matter.
		s := registrytest.Serve(t, env("/info", "PODINFO_JWT_ISSUER=them", "PODINFO_JWT_PUBLIC_KEY_FILE="+file(t, public), "PODINFO_JWT_SECRET="), new(jwt.Module), e)
		signed := sign(t, p.method, p.private, good)
		other := pairs[(i+1)%len(pairs)]
		for _, c := range []struct {
			what, token, want string
		}{
			{"good", signed, ""},
			{"none", sign(t, lib.SigningMethodNone, lib.UnsafeAllowNoneSignatureType, good), "invalid signing method"},
			{"HMAC with the public key", sign(t, lib.SigningMethodHS256, public, good), "invalid signing method"},
			{"HMAC with the secret", sign(t, lib.SigningMethodHS256, []byte(secret), good), "invalid signing method"},
			{"another key's method", sign(t, other.method, other.private, good), "invalid signing method"},
			{"the method's name only", swapHeader(sign(t, other.method, other.private, good), signed), "signature is invalid"},
			{"no exp", sign(t, p.method, p.private, lib.MapClaims{"iss": "them"}), "token has no expiry"},
			{"expired", sign(t, p.method, p.private, lib.MapClaims{"iss": "them", "exp": past}), "token is expired by 1h"},
			{"wrong issuer", sign(t, p.method, p.private, lib.MapClaims{"iss": "podinfo", "exp": soon}), "invalid issuer"},
			{"no issuer", sign(t, p.method, p.private, lib.MapClaims{"exp": soon}), "invalid issuer"},
			{"for someone", sign(t, p.method, p.private, lib.MapClaims{"iss": "them", "exp": soon, "aud": "x"}), "token is for an audience, and this server is configured without one"},
			{"date that overflows", sign(t, p.method, p.private, lib.MapClaims{"iss": "them", "exp": soon, "nbf": 1e300}), "token has a date out of range"},
			{"claim in capitals", sign(t, p.method, p.private, lib.MapClaims{"iss": "them", "EXP": soon}), "token has no expiry"},
			{"other claims", swapClaims(signed), "signature is invalid"},
			{"signature spelt otherwise", respell(signed), "illegal base64 data"},
		} {
			res, body := s.Call(t, "GET", "/info", "", "Authorization", "Bearer "+c.token)
			hits := e.hits.Swap(0)
			if c.want == "" && (res.StatusCode != 200 || hits != 1) || c.want != "" && (res.StatusCode != 401 || hits != 0 || !strings.Contains(body, c.want)) {
				t.Errorf("%s, %s: %d %s", p.method.Alg(), c.what, res.StatusCode, body)
			}
		}
	}
	wrong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := registrytest.Serve(t, env("/info", "PODINFO_JWT_PUBLIC_KEY_FILE="+file(t, publicPEM(t, wrong.Public()))), new(jwt.Module), new(endpoint))
	for _, method := range []lib.SigningMethod{lib.SigningMethodRS512, lib.SigningMethodPS256} {
		res, body := s.Call(t, "GET", "/info", "", "Authorization", "Bearer "+sign(t, method, wrong, lib.MapClaims{"iss": "podinfo", "exp": soon}))
		if res.StatusCode != 401 || !strings.Contains(body, "invalid signing method") {
			t.Errorf("%s by an RS256 key: %d %s", method.Alg(), res.StatusCode, body)
		}
	}
}

func swapHeader(token, other string) string {
	header, _, _ := strings.Cut(other, ".")
	_, rest, _ := strings.Cut(token, ".")
	return header + "." + rest
}

func swapClaims(token string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"them","exp":99999999999}`)) + "." + parts[2]
}

// respell changes bits of the last letter that encode nothing: signatures of 64 and
// 256 bytes do not use all of its bits.
func respell(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(letters[strings.IndexByte(letters, token[last])^1])
}

func TestBadKeyFiles(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := publicPEM(t, p256.Public())
	for _, c := range []struct{ file, want string }{
		{filepath.Join(t.TempDir(), "absent.pem"), "no such file"},
		{t.TempDir(), "is a directory"},
		{file(t, nil), "not PEM"},
		{file(t, []byte("ssh-ed25519 AAAA")), "not PEM"},
		{file(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), "PEM block PRIVATE KEY, want PUBLIC KEY"},
		{file(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "asn1"},
		{file(t, append(slices.Clone(good), good...)), "more than one PEM block"},
		{file(t, publicPEM(t, small.Public())), "RSA key of 1024 bits, want at least 2048"},
		{file(t, publicPEM(t, p384.Public())), "ECDSA key on P-384, want P-256"},
		{file(t, publicPEM(t, x.PublicKey())), "key is *ecdh.PublicKey, want RSA, ECDSA on P-256 or Ed25519"},
	} {
		app, err := registry.New([]registry.Module{new(jwt.Module), new(endpoint)}, registry.Env(env("/info", "PODINFO_JWT_PUBLIC_KEY_FILE="+c.file)))
		if err != nil {
			t.Fatal(err)
		}
		err = app.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "PODINFO_JWT_PUBLIC_KEY_FILE: ") {
			t.Errorf("%s: %v, want %q", c.file, err, c.want)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
