package redact

import (
	"net/url"
	"strings"
)

// Query replaces the values of secrets in a query, which has no question mark. A
// value is a secret if the name of its parameter says so or if it has the shape of
// one. Query does not allocate when there is nothing to replace and nothing that
// has to be decoded.
func Query(q string) string {
	var out strings.Builder
	done := 0 // how much of q is in out
	for from := 0; from < len(q); {
		to := len(q)
		if i := strings.IndexAny(q[from:], "&;"); i >= 0 {
			to = from + i
		}
		if i := strings.IndexByte(q[from:to], '='); i >= 0 {
			if value := from + i + 1; value < to && (Name(decoded(q[from:value-1])) || secretValue(q[value:to])) {
				out.WriteString(q[done:value])
				out.WriteString(Mark)
				done = to
			}
		} else if secretValue(q[from:to]) {
			out.WriteString(q[done:from])
			out.WriteString(Mark)
			done = to
		}
		from = to + 1
	}
	if done == 0 {
		return q
	}
	out.WriteString(q[done:])
	return out.String()
}

// RequestURI is Query for the request URI of a request, a path and a query or a
// URL.
func RequestURI(uri string) string {
	path, query, found := strings.Cut(uri, "?")
	path = Path(path)
	if found {
		query = Query(query)
	}
	if len(path)+1+len(query) == len(uri) && strings.HasPrefix(uri, path) && strings.HasSuffix(uri, query) {
		return uri
	}
	if !found {
		return path
	}
	return path + "?" + query
}

// Path is Query for the path of a request.
func Path(path string) string {
	if !strings.HasPrefix(path, "/") || secretValue(path) {
		return Text(path)
	}
	return path
}

// decoded returns the name of a parameter. A name that cannot be decoded counts as
// the name of a secret.
func decoded(name string) string {
	if strings.IndexByte(name, '%') < 0 {
		return name
	}
	plain, err := url.QueryUnescape(name)
	if err != nil {
		return "secret"
	}
	return plain
}

// secretValue reports whether a value has the shape of a secret.
func secretValue(v string) bool {
	if strings.Contains(v, "eyJ") || strings.Contains(v, "://") || strings.IndexByte(v, '=') >= 0 {
		return Text(v) != v
	}
	if strings.IndexByte(v, '%') < 0 {
		return false
	}
	plain, err := url.QueryUnescape(v)
	return err == nil && Text(plain) != plain
}
