// Package bearer reads, checks and refuses bearer tokens (RFC 6750) that are
// JSON Web Tokens (RFC 7519).
package bearer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// MaxLen is the longest Authorization header that is looked at, in bytes.
const MaxLen = 16 << 10

// Why a token is refused. The texts are upstream's, where it has one.
var (
	ErrMissing    = errors.New("authorization bearer header required")
	errTooLong    = fmt.Errorf("authorization header is longer than %d bytes", MaxLen)
	errSegments   = errors.New("token contains an invalid number of segments")
	errMalformed  = errors.New("token is malformed")
	errMethod     = errors.New("invalid signing method")
	errSignature  = errors.New("signature is invalid")
	errNoExpiry   = errors.New("token has no expiry")
	errNotYet     = errors.New("token is not valid yet")
	errIssuer     = errors.New("invalid issuer")
	errWrong      = errors.New("wrong token")
	errExtensions = errors.New("token needs extensions that are not supported")
)

// FromHeader returns the token of a request's only Authorization header. The
// error is [ErrMissing] when there is none.
func FromHeader(h http.Header) (string, error) { return FromValues(h["Authorization"]) }

// FromValues returns the token of the only value of a list. The error is
// [ErrMissing] when there is not exactly one.
func FromValues(values []string) (string, error) {
	if len(values) != 1 { // of two, a proxy may have looked at the other one
		return "", ErrMissing
	}
	return FromValue(values[0])
}

// FromValue returns the token of the value of an Authorization header: the
// scheme in any case, one space and the token.
func FromValue(value string) (string, error) {
	if len(value) > MaxLen {
		return "", errTooLong
	}
	parts := strings.Split(value, " ")
	if len(parts) != 2 || !strings.EqualFold(parts[0], "bearer") {
		return "", ErrMissing
	}
	return parts[1], nil
}

// Refuse replies 401 with the reason and the challenge of RFC 6750, section 3.
func Refuse(w http.ResponseWriter, err error) {
	challenge := `Bearer realm="podinfo"`
	if !errors.Is(err, ErrMissing) {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	reply.Error(w, http.StatusUnauthorized, err.Error())
}

// Require lets only requests through that have token, which is no JSON Web
// Token but an agreed secret. An empty one lets every request through.
func Require(token string, next http.HandlerFunc) http.HandlerFunc {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token)) // of one length, so that comparing takes one time
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := FromHeader(r.Header)
		if got := sha256.Sum256([]byte(token)); err == nil && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			err = errWrong
		}
		if err != nil {
			Refuse(w, err)
			return
		}
		next(w, r)
	}
}

// Claims are what a token says, in the order it is said.
type Claims struct {
	Name string `json:"name"`
	jwt.RegisteredClaims
}

// Verifier checks tokens of one issuer. It may be used concurrently.
type Verifier struct {
	method jwt.SigningMethod
	key    any
	parser *jwt.Parser
}

// NewVerifier accepts what issuer signed by method and nothing else. key is
// what the method verifies with.
func NewVerifier(method jwt.SigningMethod, key any, issuer string) *Verifier {
	return &Verifier{method, key, jwt.NewParser(
		jwt.WithValidMethods([]string{method.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
	)}
}

// Verify returns the name in a valid token and when it expires. The error says
// why a token is refused and may be shown to the one who sent it.
func (v *Verifier) Verify(token string) (name string, expires time.Time, err error) {
	if strings.Count(token, ".") != 2 {
		return "", time.Time{}, errSegments
	}
	if strings.ContainsAny(token, "\r\n") { // encoding/base64 skips them, also when strict
		return "", time.Time{}, errMalformed
	}
	var claims Claims
	t, err := v.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return v.key, nil })
	if err != nil {
		return "", time.Time{}, v.explain(err, t, &claims)
	}
	if _, ok := t.Header["crit"]; ok { // RFC 7515, 4.1.11: refuse what is not understood
		return "", time.Time{}, errExtensions
	}
	return claims.Name, claims.ExpiresAt.Time, nil
}

// explain puts the library's error into one of our words.
func (v *Verifier) explain(err error, t *jwt.Token, c *Claims) error {
	if at, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return at
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return errMalformed
	case errors.Is(err, jwt.ErrTokenUnverifiable), t.Method.Alg() != v.method.Alg():
		return errMethod
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return errSignature
	case c.ExpiresAt == nil:
		return errNoExpiry
	case errors.Is(err, jwt.ErrTokenExpired):
		return fmt.Errorf("token is expired by %v", time.Since(c.ExpiresAt.Time))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errNotYet
	}
	return errIssuer
}
