package jwt_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	lib "github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/reload"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// jwk returns a JSON Web Key with further members, which replace its own.
func jwk(t *testing.T, key any, more map[string]any) map[string]any {
	t.Helper()
	made, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Marshal: jwkset.JWKMarshalOptions{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(made.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		out[name] = value
	}
	return out
}

// jwks returns a JSON Web Key Set.
func jwks(t *testing.T, keys ...map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signAs signs a token whose header names a key, "" for none.
func signAs(t *testing.T, p keyPair, kid string, claims lib.MapClaims) string {
	t.Helper()
	token := lib.NewWithClaims(p.method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(p.private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type members = map[string]any

// TestKeySet checks tokens of several keys and for several audiences, over HTTP and
// over gRPC.
func TestKeySet(t *testing.T) {
	pairs := append(keyPairs(t), keyPairs(t)...)
	rsaKey, ecKey, edKey, other, foreign := pairs[0], pairs[1], pairs[2], pairs[3], pairs[4]
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := file(t, jwks(t,
		jwk(t, rsaKey.private.Public(), members{"kid": "r1", "use": "sig", "alg": "RS256", "unknown": []int{1}}),
		jwk(t, other.private.Public(), members{"kid": "r2", "key_ops": []string{"verify"}}),
		jwk(t, ecKey.private.Public(), members{"kid": "e1", "x5u": "https://127.0.0.1:1/never-fetched"}),
		jwk(t, edKey.private.Public(), members{"kid": "d1"}),
		jwk(t, foreign.private.Public(), members{"kid": "enc", "use": "enc"}),
		jwk(t, p384.Public(), members{"kid": "p384"}),
		members{"kty": "quantum", "kid": "q"},
	))
	more := []string{"PODINFO_JWT_ISSUER=them", "PODINFO_JWT_PUBLIC_KEY_FILE=" + set, "PODINFO_JWT_AUDIENCE=us,we"}
	e := new(endpoint)
	s := registrytest.Serve(t, env("/info", more...), new(jwt.Module), e)
	g := grpctest.Serve(t, env("/grpc.testing.TestService", more...), new(jwt.Module), new(grpctest.Service))
	for _, want := range []string{`"keys":"RS256 r1, RS256 r2, ES256 e1, EdDSA d1"`, "enc: its use is enc; p384: ECDSA key on P-384, want P-256; q: "} {
		if !strings.Contains(s.Log.String(), want) {
			t.Errorf("log: %s, want %s", s.Log, want)
		}
	}
	soon := time.Now().Add(time.Hour).Unix()
	claims := func(more members) lib.MapClaims {
		out := lib.MapClaims{"iss": "them", "exp": soon, "aud": "us"}
		for name, value := range more {
			if out[name] = value; value == nil {
				delete(out, name)
			}
		}
		return out
	}
	good := claims(nil)
	for _, c := range []struct {
		what, token, want string
	}{
		{"RSA", signAs(t, rsaKey, "r1", good), ""},
		{"the other RSA key", signAs(t, other, "r2", good), ""},
		{"the other RSA key, no kid", signAs(t, other, "", good), ""},
		{"ECDSA", signAs(t, ecKey, "e1", good), ""},
		{"Ed25519", signAs(t, edKey, "d1", good), ""},
		{"Ed25519, no kid", signAs(t, edKey, "", good), ""},
		{"kid of another key", signAs(t, rsaKey, "r2", good), "signature is invalid"},
		{"kid of a key of another type", signAs(t, rsaKey, "e1", good), "unknown key (kid)"},
		{"unknown kid", signAs(t, rsaKey, "r3", good), "unknown key (kid)"},
		{"kid in other letters", signAs(t, rsaKey, "R1", good), "unknown key (kid)"},
		{"key for encryption", signAs(t, foreign, "enc", good), "unknown key (kid)"},
		{"key for encryption, no kid", signAs(t, foreign, "", good), "signature is invalid"},
		{"HMAC with the file", sign(t, lib.SigningMethodHS256, []byte("x"), good), "invalid signing method"},
		{"none", sign(t, lib.SigningMethodNone, lib.UnsafeAllowNoneSignatureType, good), "invalid signing method"},

		{"the second audience", signAs(t, ecKey, "e1", claims(members{"aud": "we"})), ""},
		{"a list with an audience", signAs(t, ecKey, "e1", claims(members{"aud": []string{"them", "us"}})), ""},
		{"for someone else", signAs(t, ecKey, "e1", claims(members{"aud": "them"})), "invalid audience"},
		{"for several others", signAs(t, ecKey, "e1", claims(members{"aud": []string{"them", "US"}})), "invalid audience"},
		{"for nobody", signAs(t, ecKey, "e1", claims(members{"aud": []string{}})), "token is malformed"},
		{"no audience", signAs(t, ecKey, "e1", claims(members{"aud": nil})), "invalid audience"},
		{"AUD", signAs(t, ecKey, "e1", claims(members{"aud": nil, "AUD": "us"})), "invalid audience"},

		{"EXP", signAs(t, ecKey, "e1", claims(members{"exp": nil, "EXP": soon})), "token has no expiry"},
		{"ISS", signAs(t, ecKey, "e1", claims(members{"iss": nil, "ISS": "them"})), "invalid issuer"},
		{"expired exp beside EXP", signAs(t, ecKey, "e1", claims(members{"exp": 1, "EXP": soon, "Exp": soon})), "token is expired by"},
		{"nbf overflows", signAs(t, ecKey, "e1", claims(members{"nbf": 1e300})), "token has a date out of range"},
		{"exp overflows", signAs(t, ecKey, "e1", claims(members{"exp": 1e300})), "token has a date out of range"},
		{"nbf in the future", signAs(t, ecKey, "e1", claims(members{"nbf": soon})), "token is not valid yet"},
	} {
		res, body := s.Call(t, "GET", "/info", "", "Authorization", "Bearer "+c.token)
		hits := e.hits.Swap(0)
		if c.want == "" && (res.StatusCode != 200 || hits != 1) || c.want != "" && (res.StatusCode != 401 || hits != 0 || !strings.Contains(body, c.want)) {
			t.Errorf("%s: %d %s, want %q", c.what, res.StatusCode, body, c.want)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.token)
		for _, method := range grpctest.Methods {
			st := status.Convert(g.Call(ctx, method))
			if want := map[bool]codes.Code{true: codes.OK, false: codes.Unauthenticated}[c.want == ""]; st.Code() != want || !strings.Contains(st.Message(), c.want) {
				t.Errorf("%s, %s: %v, want %v %q", c.what, method, st, want, c.want)
			}
		}
	}
}

func TestBadKeySets(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := jwk(t, public, members{"kid": "good"})
	for _, c := range []struct {
		content []byte
		want    string
	}{
		{[]byte("{"), "JSON Web Key Set: "},
		{[]byte("{}"), "JSON Web Key Set without a key to verify tokens with"},
		{[]byte(`{"keys":[]}`), "without a key"},
		{[]byte(`{"keys":{}}`), "JSON Web Key Set: "},
		{[]byte(`{"keys":[]} {}`), "JSON Web Key Set: "},
		{[]byte(`{"keys":[{}]}`), "number 1: "},
		{[]byte(strings.Repeat(" ", 1<<20) + "{}"), "larger than 1048576 bytes"},
		{jwks(t, good, jwk(t, private, members{"kid": "mine"})), "key mine is private or symmetric, want public keys"},
		{jwks(t, good, members{"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}), "key shared is private or symmetric, want public keys"},
		{jwks(t, jwk(t, small.Public(), members{"kid": "small"})), "small: RSA key of 1024 bits, want at least 2048"},
		{jwks(t, jwk(t, public, members{"alg": "RS256"})), "number 1: its alg is RS256, want EdDSA"},
		{jwks(t, jwk(t, public, members{"alg": "HS256"})), "its alg is HS256, want EdDSA"},
		{jwks(t, jwk(t, public, members{"use": "enc"})), "its use is enc"},
		{jwks(t, jwk(t, public, members{"key_ops": []string{"encrypt"}})), "its key_ops have no verify"},
		{jwks(t, jwk(t, public, members{"x": "AAAA"})), "number 1: "},
	} {
		app, err := registry.New([]registry.Module{new(jwt.Module), new(endpoint)}, registry.Env(env("/info", "PODINFO_JWT_PUBLIC_KEY_FILE="+file(t, c.content))))
		if err != nil {
			t.Fatal(err)
		}
		if err = app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v, want %q", c.content, err, c.want)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestKeyRotation replaces the file of a running server, and keeps the old keys
// while the new file cannot be used.
func TestKeyRotation(t *testing.T) {
	pairs := keyPairs(t)
	first, second := pairs[1], pairs[2]
	name := file(t, publicPEM(t, first.private.Public()))
	replace := func(content []byte) {
		t.Helper()
		next := filepath.Join(filepath.Dir(name), "next")
		if err := os.WriteFile(next, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, name); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		app, log := registrytest.New(t, env("/info", "PODINFO_JWT_PUBLIC_KEY_FILE="+name), new(jwt.Module), new(endpoint))
		codes := func() string {
			t.Helper()
			time.Sleep(reload.CheckEvery)
			var out []string
			for _, p := range []keyPair{first, second} {
				rec, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/info", nil)
				r.Header.Set("Authorization", "Bearer "+signAs(t, p, "k", lib.MapClaims{"iss": "podinfo", "exp": time.Now().Add(time.Hour).Unix()}))
				app.ServeHTTP(rec, r)
				out = append(out, fmt.Sprint(rec.Code))
			}
			return strings.Join(out, " ")
		}
		both := jwks(t, jwk(t, first.private.Public(), members{"kid": "k"}), jwk(t, second.private.Public(), members{"kid": "k"}))
		for _, c := range []struct {
			what    string
			content []byte
			want    string
			warned  int
		}{
			{"both keys", both, "200 200", 0},
			{"broken", []byte(`{"keys":[`), "200 200", 1},
			{"the second only", publicPEM(t, second.private.Public()), "401 200", 1},
			{"empty", nil, "401 200", 2},
			{"a set without usable keys", jwks(t, jwk(t, first.private.Public(), members{"use": "enc"})), "401 200", 3},
			{"the first only", jwks(t, jwk(t, first.private.Public(), members{"kid": "k"})), "200 401", 3},
			{"another kid", jwks(t, jwk(t, first.private.Public(), members{"kid": "other"})), "401 401", 3},
		} {
			replace(c.content)
			if got := codes(); got != c.want {
				t.Errorf("%s: %s, want %s", c.what, got, c.want)
			}
			if got := strings.Count(log.String(), "public keys not reloaded; keeping the current ones"); got != c.warned {
				t.Errorf("%s: %d warnings, want %d: %s", c.what, got, c.warned, log)
			}
		}
	})
}
