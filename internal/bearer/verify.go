package bearer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Reasons for refusing a JSON Web Token.
var (
	errSegments   = errors.New("token contains an invalid number of segments")
	errMalformed  = errors.New("token is malformed")
	errDate       = errors.New("token has a date out of range")
	errMethod     = errors.New("invalid signing method")
	errUnknownKey = errors.New("unknown key (kid)")
	errSignature  = errors.New("signature is invalid")
	errNoExpiry   = errors.New("token has no expiry")
	errNotYet     = errors.New("token is not valid yet")
	errIssuer     = errors.New("invalid issuer")
	errAudience   = errors.New("invalid audience")
	errNoAudience = errors.New("token is for an audience, and this server is configured without one")
	errExtensions = errors.New("token needs extensions that are not supported")
)

// A Key is a key that tokens are verified with. A key without an ID verifies tokens
// with any kid, or with none.
type Key struct {
	ID     string
	Method jwt.SigningMethod
	Key    any
}

// candidate reports whether the header of a token allows the key.
func (k Key) candidate(id, alg string) bool {
	return k.Method.Alg() == alg && (id == "" || k.ID == "" || k.ID == id)
}

// Verifier verifies tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	keys     []Key
	methods  []string
	audience []string
	parser   *jwt.Parser
}

// NewVerifier returns a Verifier that accepts only tokens with this issuer, for one
// of the audiences, that one of the keys verifies. Without audiences it accepts
// only tokens without one, because a token with an audience is for someone else
// (RFC 7519, section 4.1.3).
func NewVerifier(keys []Key, issuer string, audience ...string) *Verifier {
	v := &Verifier{keys: keys, audience: audience}
	for _, k := range keys {
		v.methods = append(v.methods, k.Method.Alg())
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(v.methods),
		jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
	}
	if len(audience) > 0 {
		options = append(options, jwt.WithAudience(audience...))
	}
	v.parser = jwt.NewParser(options...)
	return v
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
	t, err := v.parser.ParseWithClaims(token, &claims, v.candidates)
	if err != nil {
		return "", time.Time{}, v.explain(err, t, &claims)
	}
	if _, ok := t.Header["crit"]; ok { // RFC 7515, section 4.1.11: refuse extensions that are not understood
		return "", time.Time{}, errExtensions
	}
	if len(v.audience) == 0 && claims.Audience != nil {
		return "", time.Time{}, errNoAudience
	}
	return claims.Name, claims.ExpiresAt.Time, nil
}

// candidates returns the keys that may have signed the token. The type of a key
// decides its algorithm, whatever the token claims.
func (v *Verifier) candidates(t *jwt.Token) (any, error) {
	id, ok := t.Header["kid"].(string)
	if !ok && t.Header["kid"] != nil {
		return nil, errMalformed
	}
	var set jwt.VerificationKeySet
	for _, k := range v.keys {
		if k.candidate(id, t.Method.Alg()) {
			set.Keys = append(set.Keys, k.Key)
		}
	}
	if set.Keys == nil {
		return nil, errUnknownKey
	}
	return set, nil
}

// explain translates the library's error into one of the reasons above.
func (v *Verifier) explain(err error, t *jwt.Token, c *Claims) error {
	if at, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return at
	}
	for _, own := range []error{errDate, errUnknownKey, errMalformed} {
		if errors.Is(err, own) {
			return own
		}
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return errMalformed
	case errors.Is(err, jwt.ErrTokenUnverifiable), !slices.Contains(v.methods, t.Method.Alg()):
		return errMethod
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return errSignature
	case c.ExpiresAt == nil:
		return errNoExpiry
	case errors.Is(err, jwt.ErrTokenExpired):
		return fmt.Errorf("token is expired by %v", time.Since(c.ExpiresAt.Time))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errNotYet
	case c.Issuer == "" || errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return errIssuer
	}
	return errAudience
}
