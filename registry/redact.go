package registry

import "regexp"

// Redacted replaces secrets.
const Redacted = "REDACTED"

var userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/?#@\s]*:)[^/?#\s]+@`)

// RedactURL replaces the passwords of the URLs in s.
func RedactURL(s string) string { return userinfo.ReplaceAllString(s, "${1}"+Redacted+"@") }

var query = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^?#\s]*\?[^#\s]*`)

var queryValue = regexp.MustCompile(`([?&;][^=&;,]*=)[^&;]+`)

// redactQuery replaces the values in the queries of the URLs in s, which often
// hold API keys. A value does not end at a comma, because a key may contain one.
func redactQuery(s string) string {
	return query.ReplaceAllStringFunc(s, func(u string) string { return queryValue.ReplaceAllString(u, "${1}"+Redacted) })
}

// Shown returns the setting's value with secrets redacted.
func (s Setting) Shown() string {
	if s.Secret && s.Value != "" {
		return Redacted
	}
	return redactQuery(RedactURL(s.Value))
}
