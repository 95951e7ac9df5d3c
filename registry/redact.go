package registry

import "github.com/seed-4591fe7d/podinfo/internal/redact"

// Redacted replaces secrets.
const Redacted = "REDACTED"

// RedactURL replaces the secrets in a text: the passwords of URLs, also of
// malformed ones, what follows names such as password= and token=, JSON Web
// Tokens, PEM blocks and the credentials of Authorization headers. Modules call it
// for errors that may contain a URL.
func RedactURL(s string) string { return redact.Text(s) }

// Shown returns the setting's value with secrets redacted.
func (s Setting) Shown() string {
	if s.Secret && s.Value != "" {
		return Redacted
	}
	return redact.Setting(s.Value)
}

// secrecy reads the secret tag of a field. Without one, the name decides.
func secrecy(tag, key string, text bool) (secret, part bool, ok bool) {
	switch tag {
	case "true":
		return true, false, true
	case "part":
		return false, true, true
	case "false":
		return false, false, true
	case "":
		return text && redact.Name(key), false, true
	}
	return false, false, false
}
