package registry

import "regexp"

// Redacted stands where a secret is not shown.
const Redacted = "REDACTED"

var userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/?#@\s]*:)[^/?#\s]+@`)

// RedactURL hides the passwords of the URLs in s.
func RedactURL(s string) string { return userinfo.ReplaceAllString(s, "${1}"+Redacted+"@") }

var query = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^?#\s]*\?[^#\s]*`)

var queryValue = regexp.MustCompile(`([?&;][^=&;,]*=)[^&;]+`)

// redactQuery hides the values in the queries of the URLs in s: keys of APIs
// are given there. What goes on behind a comma may be one.
func redactQuery(s string) string {
	return query.ReplaceAllStringFunc(s, func(u string) string { return queryValue.ReplaceAllString(u, "${1}"+Redacted) })
}

// Shown is the setting's value as people may see it.
func (s Setting) Shown() string {
	if s.Secret && s.Value != "" {
		return Redacted
	}
	return redactQuery(RedactURL(s.Value))
}
