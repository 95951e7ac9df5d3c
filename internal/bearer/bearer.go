// Package bearer reads bearer tokens (RFC 6750), verifies those that are JSON
// Web Tokens (RFC 7519) and writes the response that refuses a token.
package bearer

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// MaxLen is the longest accepted Authorization header in bytes.
const MaxLen = 16 << 10

// Reasons for refusing a token. The texts are upstream's where it has one.
var (
	ErrMissing    = errors.New("authorization bearer header required")
	errTooLong    = fmt.Errorf("authorization header is longer than %d bytes", MaxLen)
	errWrongToken = errors.New("wrong token")
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
