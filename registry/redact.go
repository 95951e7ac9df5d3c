package registry

import "regexp"

// Redacted stands where a secret is not shown.
const Redacted = "REDACTED"

var userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/?#@\s]*:)[^/?#\s]+@`)

// RedactURL hides the passwords of the URLs in s.
func RedactURL(s string) string { return userinfo.ReplaceAllString(s, "${1}"+Redacted+"@") }

// Shown is the setting's value as people may see it.
func (s Setting) Shown() string {
	if s.Secret && s.Value != "" {
		return Redacted
	}
	return RedactURL(s.Value)
}
