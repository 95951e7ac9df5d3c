package bearer

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the claims of a token, in the order in which they are encoded.
type Claims struct {
	Name string `json:"name"`
	jwt.RegisteredClaims
}

// maxDate is the end of the year 9999 in seconds since 1970. Dates that are further
// away from 1970 could overflow a time.
const maxDate = 253402300799

// A date is a NumericDate (RFC 7519, section 2) that does not overflow.
type date struct{ *jwt.NumericDate }

// UnmarshalJSON reads a number of seconds, which may have a fraction.
func (d *date) UnmarshalJSON(b []byte) error {
	var seconds *float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		if len(bytes.TrimLeft(b, "-0123456789.eE+")) == 0 { // a number, such as 1e999
			return errDate
		}
		return err
	}
	if seconds == nil {
		return nil
	}
	if math.Abs(*seconds) > maxDate {
		return errDate
	}
	whole, fraction := math.Modf(*seconds)
	d.NumericDate = &jwt.NumericDate{Time: time.Unix(int64(whole), int64(fraction*1e9)).Truncate(jwt.TimePrecision)}
	return nil
}

// UnmarshalJSON reads the claims of a token. Their names are exact, as RFC 7519,
// section 4 demands; package json on its own would take EXP for exp.
func (c *Claims) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	var expires, notBefore, issued date
	for name, into := range map[string]any{
		"name": &c.Name, "iss": &c.Issuer, "sub": &c.Subject, "aud": &c.Audience, "jti": &c.ID,
		"exp": &expires, "nbf": &notBefore, "iat": &issued,
	} {
		if value, ok := raw[name]; ok {
			if err := json.Unmarshal(value, into); err != nil {
				return err
			}
		}
	}
	c.ExpiresAt, c.NotBefore, c.IssuedAt = expires.NumericDate, notBefore.NumericDate, issued.NumericDate
	if aud, ok := raw["aud"]; ok && c.Audience == nil && string(aud) != "null" { // an empty list is for nobody
		return errMalformed
	}
	return nil
}
