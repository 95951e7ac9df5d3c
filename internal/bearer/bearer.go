// Package bearer reads bearer tokens (RFC 6750), verifies those that are JSON
// Web Tokens (RFC 7519) and writes the response that refuses a token.
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

// MaxLen is the longest accepted Authorization header in bytes.
const MaxLen = 16 << 10

// Reasons for refusing a token. The texts are upstream's where it has one.
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
	errWrongToken = errors.New("wrong token")
	errExtensions = errors.New("token needs extensions that are not supported")
)

// FromHeader returns the token in a request's Authorization header. It returns
// [ErrMissing] unless there is exactly one such header with a bearer token.
func FromHeader(h http.Header) (string, error) { return FromValues(h["Authorization"]) }

// FromValues returns the token of the only value of a list. The error is
// [ErrMissing] when there is not exactly one.
func FromValues(values []string) (string, error) {
	if len(values) != 1 { // with two, a proxy in front may have checked the other one
		return "", ErrMissing
	}
	return FromValue(values[0])
}

// FromValue returns the token in the value of an Authorization header: the
// scheme "Bearer" in any case, one space and the token.
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

// Require returns a handler that calls next only for requests with the given
// token, which is a shared secret rather than a JSON Web Token. It returns next
// itself when token is empty.
func Require(token string, next http.HandlerFunc) http.HandlerFunc {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token)) // hashes have one length, so comparing them takes constant time
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := FromHeader(r.Header)
		if got := sha256.Sum256([]byte(token)); err == nil && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			err = errWrongToken
		}
		if err != nil {
			Refuse(w, err)
			return
		}
		next(w, r)
	}
}

// Claims are the claims of a token, in the order in which they are encoded.
type Claims struct {
	Name string `json:"name"`
	jwt.RegisteredClaims
}

// Verifier verifies tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	method jwt.SigningMethod
	key    any
	parser *jwt.Parser
}

// NewVerifier returns a Verifier that accepts only tokens with this issuer and
// signing method. key is the key that the method verifies with.
func NewVerifier(method jwt.SigningMethod, key any, issuer string) *Verifier {
	return &Verifier{method, key, jwt.NewParser(
		jwt.WithValidMethods([]string{method.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
	)}
}

// Verify returns the name in a valid token and when the token expires. Its
// error is the reason for refusing the token and may be shown to the client.
func (v *Verifier) Verify(token string) (name string, expires time.Time, err error) {
	if strings.Count(token, ".") != 2 {
		return "", time.Time{}, errSegments
	}
	if strings.ContainsAny(token, "\r\n") { // encoding/base64 skips them, even in strict mode
		return "", time.Time{}, errMalformed
	}
	var claims Claims
	t, err := v.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return v.key, nil })
	if err != nil {
		return "", time.Time{}, v.explain(err, t, &claims)
	}
	if _, ok := t.Header["crit"]; ok { // RFC 7515, section 4.1.11: refuse extensions that are not understood
		return "", time.Time{}, errExtensions
	}
	return claims.Name, claims.ExpiresAt.Time, nil
}

// explain translates the library's error into one of the reasons above.
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
