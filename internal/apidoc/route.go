package apidoc

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
)

var wildcard = regexp.MustCompile(`\{([A-Za-z0-9_]+)(\.\.\.)?\}`)

// Wildcards are the names of what varies in a route's path.
func Wildcards(path string) (names []string) {
	for _, m := range wildcard.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

// Status describes a status code.
func Status(code int) string {
	return cmp.Or(http.StatusText(code), fmt.Sprintf("status %d", code))
}

// Media is the media type of a reply, by its sample: "" for an empty one.
func Media(sample any) string {
	switch sample.(type) {
	case nil:
		return ""
	case []byte:
		return "application/octet-stream"
	case string:
		return "text/plain"
	}
	return "application/json"
}
