package redact

import (
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// UserInfo replaces the passwords in the URLs of a text, and the user names that
// look like tokens. Characters that would have to be percent-encoded, such as /,
// ?, #, @ and spaces, do not end a password.
func UserInfo(s string) string {
	switch {
	case strings.Contains(s, "://"):
		return urls(s)
	case strings.IndexByte(s, '@') > 0 && strings.IndexByte(s, ':') >= 0:
		return credentials().ReplaceAllStringFunc(s, func(m string) string {
			if digest().MatchString(m) {
				return m
			}
			return m[:strings.IndexByte(m, ':')+1] + Mark + m[strings.LastIndexByte(m, '@'):]
		})
	}
	return s
}

var (
	credentials = lazyregexp.New(`[^\s:/@"'=,(]*:(\S+@|.*@(tcp|unix)\()(sha\d+:)?`) // user:password@, with no scheme
	digest      = lazyregexp.New(`@sha\d+:$`)                                       // of an image
)

func urls(s string) string {
	var out strings.Builder
	done := 0 // how much of s is in out
	for at := 0; ; {
		i := strings.Index(s[at:], "://")
		if i < 0 {
			break
		}
		from := at + i + len("://")
		at = from
		if cut, end := password(s[from:urlEnd(s, from)]); end > cut {
			out.WriteString(s[done : from+cut])
			out.WriteString(Mark)
			done = from + end
			at = done
		}
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// urlEnd returns where the text after "://" ends that may belong to the URL: at
// the end of the line or, for a URL in quotes, at the closing quote.
func urlEnd(s string, from int) int {
	start := schemeStart(s, from-len("://"))
	quote := byte('\n')
	if start > 0 && strings.IndexByte("\"'`", s[start-1]) >= 0 {
		quote = s[start-1]
	}
	for i := from; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] == quote, s[i] == '\n':
			return i
		}
	}
	return len(s)
}

// schemeStart returns where the scheme that ends at to starts.
func schemeStart(s string, to int) int {
	for to > 0 && (isLetter(s[to-1]) || '0' <= s[to-1] && s[to-1] <= '9' || strings.IndexByte("+.-", s[to-1]) >= 0) {
		to--
	}
	return to
}

// nextURL returns where another URL starts, after a separator.
func nextURL(s string) int {
	for at := 0; ; {
		i := strings.Index(s[at:], "://")
		if i < 0 {
			return len(s)
		}
		at += i
		if start := schemeStart(s, at); start < at && (start == 0 || strings.IndexByte(" \t,;|\"'(<=", s[start-1]) >= 0) {
			return start
		}
		at += len("://")
	}
}

// maxUser is the length up to which the name of a user is shown. Tokens, which
// some servers accept in its place, are longer.
const maxUser = 15

// password finds the secret in the text that follows "://". It returns where the
// secret starts and ends, and the same offset twice without one.
func password(text string) (from, to int) {
	s := text[:nextURL(text)]
	colon := strings.IndexByte(s, ':')
	if host := ipv6().FindString(s); host != "" {
		if colon = -1; len(host) < len(s) && s[len(host)] == ':' {
			colon = len(host)
		}
	}
	delimiter := strings.IndexAny(s, "/?# \t")
	if delimiter < 0 {
		delimiter = len(s)
	}
	at := strings.LastIndexByte(s, '@')
	switch {
	case at < 0 && (colon < 0 || colon > delimiter || port().MatchString(s[colon+1:])):
		return 0, 0 // host:port
	case at < 0: // the text was cut, or the password contains something like a URL
		if at = strings.LastIndexByte(text, '@'); at < 0 {
			at = len(strings.TrimRight(s, " \t"))
		}
		return colon + 1, at
	case delimiter > at && (colon < 0 || colon > at) && at <= maxUser, delimiter < at && (colon < 0 || colon > at):
		return 0, 0 // a user without a password, or an @ after the host
	case colon < 0, colon > min(at, delimiter), colon > maxUser, strings.IndexByte(s[:colon], '@') >= 0, s[colon+1:at] == "", s[colon+1:at] == "x-oauth-basic":
		return 0, at
	}
	return colon + 1, at
}

var (
	ipv6 = lazyregexp.New(`^\[[0-9a-fA-F:.]*\]`)
	port = lazyregexp.New(`^[0-9]*($|[^0-9A-Za-z_$%{!.~-])`)
)
