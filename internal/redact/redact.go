// Package redact replaces secrets in everything that podinfo shows: settings,
// variables, errors, log lines, spans and the page. It knows them by the names of
// variables and parameters (see [Name]) and by their shape: user information in
// URLs, also in malformed ones, name=value with such a name, JSON Web Tokens, PEM
// blocks and the credentials of Authorization headers.
//
// When it cannot tell where a secret ends, it replaces too much.
package redact

import (
	"net/url"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// Mark replaces a secret.
const Mark = "REDACTED"

// Text replaces the secrets in a text, such as an error or the value of a
// variable. It returns texts without secrets as they are.
func Text(s string) string {
	if strings.Contains(s, "eyJ") {
		s = webToken().ReplaceAllString(s, Mark)
	}
	if strings.Contains(s, "-BEGIN ") {
		s = pem().ReplaceAllString(s, Mark)
	}
	s = UserInfo(s)
	if strings.IndexByte(s, '=') >= 0 {
		s = assignments(s)
	}
	if strings.Contains(s, `":`) || strings.Contains(s, `" :`) {
		s = jsonString().ReplaceAllStringFunc(s, member)
	}
	if strings.Contains(s, "earer ") || strings.Contains(s, "asic ") {
		s = authorization().ReplaceAllString(s, "${1}"+Mark)
	}
	return s
}

// Variable returns the value of a variable, redacted if its name says that it is a
// secret. The path of a file or a socket, as in TOKEN_FILE=/run/token, is not a secret.
func Variable(name, value string) string {
	switch {
	case value == "":
		return ""
	case Name(name) && !(strings.HasPrefix(value, "/") && pathName().MatchString(name)):
		return Mark
	}
	return Text(value)
}

// Setting is Text for the value of a setting. It replaces the values of all
// parameters in the queries of URLs, because any of them may be a key.
func Setting(s string) string {
	return Text(queries().ReplaceAllStringFunc(UserInfo(s), func(u string) string {
		return parameter().ReplaceAllString(u, "${1}"+Mark)
	}))
}

// URL is Setting for a parsed URL. It omits the fragment, which is never sent, and
// encodes the path, also one that is opaque so that it is sent as it is.
func URL(u *url.URL) string {
	c := *u
	if u.Host != "" {
		c.Opaque = ""
	}
	if u.User != nil {
		c.User = url.UserPassword(Mark, Mark)
	}
	c.RawQuery, c.Fragment, c.RawFragment = parameter().ReplaceAllString("&"+u.RawQuery, "${1}"+Mark)[1:], "", ""
	return c.String()
}

// Origin returns a URL that was not accepted without its password, and without what
// follows the host: a password may be anywhere in a URL that is wrong. It replaces a
// text that may have been read in another way than it was meant.
func Origin(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || strings.ContainsAny(s, ", ") || strings.Count(s, "@") > 1 || u.User == nil && strings.Contains(s, "@") {
		return Mark
	}
	if rest := u.Path + u.RawQuery + u.Fragment; rest != "" && rest != "/" {
		u.Path, u.RawPath, u.RawQuery, u.Fragment = "/"+Mark, "", "", ""
	}
	if _, secret := u.User.Password(); secret {
		u.User = url.UserPassword(u.User.Username(), Mark)
	} else if u.User != nil {
		u.User = url.User(Mark)
	}
	return u.String()
}

const scheme = `[a-zA-Z][a-zA-Z0-9+.-]*://`

var (
	pathName      = lazyregexp.New(`(?i)_(FILE|PATH|DIR|SOCK)$`)
	webToken      = lazyregexp.New(`eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*)+`)
	pem           = lazyregexp.New(`(?s)-+BEGIN .*?(-END [A-Z0-9 ]*-+|$)`)
	jsonString    = lazyregexp.New(`"[^"\\\s]+"\s*:\s*"([^"\\]|\\.)*("|$)`)
	authorization = lazyregexp.New(`((?:[Bb]earer|[Bb]asic) )[A-Za-z0-9+/_.~=-]*[0-9=][A-Za-z0-9+/_.~=-]*`)
	queries       = lazyregexp.New(`"` + scheme + `([^"\\?#\s]|\\.)*\?([^"\\#\s]|\\.)*|` + scheme + `[^?#\s]*\?[^#\s]*`) // in quotes or not
	parameter     = lazyregexp.New(`([?&;][^=&;,]*=)[^&;]+`)                                                             // a value does not end at a comma, because a key may contain one
)

// member replaces the value of a member of a JSON object if it is a secret.
func member(s string) string {
	name, _, _ := strings.Cut(s[1:], `"`)
	if !Name(name) {
		return s
	}
	return `"` + name + `":"` + Mark + `"`
}

// assignments replaces the values of name=value where the name says that the
// value is a secret, as in password=x, ?token=x and AccountKey=x. A value ends
// where another assignment begins, and at a quote when it is in quotes.
func assignments(s string) string {
	var out strings.Builder
	done := 0 // how much of s is in out
	for at := 0; ; {
		i := strings.IndexByte(s[at:], '=')
		if i < 0 {
			break
		}
		from := at + i + 1
		at = from
		name := s[nameStart(s, done, from-1) : from-1]
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if !Name(name) {
			continue
		}
		if to := valueEnd(s, from); to > from {
			out.WriteString(s[done:from])
			out.WriteString(Mark)
			done, at = to, to
		}
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// nameStart returns where the name that ends at to starts, at from or later.
func nameStart(s string, from, to int) int {
	for to > from && isName(s[to-1]) {
		to--
	}
	return to
}

func isName(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c >= 0x80 || strings.IndexByte("_-.%+[]", c) >= 0
}

// valueEnd returns where the value that starts at from ends.
func valueEnd(s string, from int) int {
	quote := byte(0)
	if from < len(s) && (s[from] == '"' || s[from] == '\'') {
		quote = s[from]
		from++
	} else if before := s[:from]; (strings.Count(before, `"`)-strings.Count(before, `\"`))%2 == 1 {
		quote = '"'
	}
	opened := quote != 0 && s[from-1] == quote
	for i := from; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quote != 0:
			i++
		case quote != 0 && c == quote:
			if opened {
				i++
			}
			return i
		case !opened && strings.IndexByte("&;, \t\r\n", c) >= 0 && assigns(s[i+1:]):
			return i
		}
	}
	return len(s)
}

// assigns reports whether s starts with name=.
func assigns(s string) bool {
	s = strings.TrimLeft(s, " \t\r\n")
	i := 0
	for i < len(s) && isName(s[i]) {
		i++
	}
	return i > 0 && i < len(s) && s[i] == '='
}
