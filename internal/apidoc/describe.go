package apidoc

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Describe returns the operations of the routes that have a summary. Where routes
// share a path and a method, it describes the first. types collects the schemas.
func Describe(routes []registry.Route, types *Schemas) Paths {
	out := Paths{}
	for _, rt := range routes {
		if rt.Summary == "" {
			continue
		}
		path := strings.ReplaceAll(rt.Path, "...}", "}")
		if out[path] == nil {
			out[path] = map[string]*Operation{}
		}
		for _, method := range methods(rt) {
			if out[path][method] == nil {
				out[path][method] = describe(rt, method, types)
			}
		}
	}
	identify(out)
	return out
}

// methods returns the methods to document. Of a route for every method, these are
// the common ones.
func methods(rt registry.Route) []string {
	switch {
	case rt.Method != "":
		return []string{strings.ToLower(rt.Method)}
	case rt.Body != "":
		return []string{"get", "post"}
	}
	return []string{"get"}
}

// identify gives each operation an ID that follows from its method and path, so
// that the functions of generated clients keep their names.
func identify(paths Paths) {
	taken := map[string]int{}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path])) {
			id := operationID(method, path)
			if taken[id]++; taken[id] > 1 {
				id += "_" + strconv.Itoa(taken[id])
			}
			paths[path][method].ID = id
		}
	}
}

// operationID returns names such as getTokenValidate and getStoreByHash.
func operationID(method, path string) string {
	words := strings.FieldsFunc(strings.ReplaceAll(path, "{", "by/"), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) == 0 {
		words = []string{"root"}
	}
	for i, w := range words {
		first, size := utf8.DecodeRuneInString(w)
		words[i] = string(unicode.ToUpper(first)) + w[size:]
	}
	return method + strings.Join(words, "")
}

var wildcard = lazyregexp.New(`\{([A-Za-z0-9_]+)(\.\.\.)?\}`)

func describe(rt registry.Route, method string, types *Schemas) *Operation {
	op := &Operation{Parameters: []Parameter{}, Responses: map[string]Response{}, Summary: rt.Summary}
	if rt.Tag != "" {
		op.Tags = []string{rt.Tag}
	}
	if rt.Bearer {
		op.Security = []map[string][]string{{Bearer: {}}}
	}
	for _, m := range wildcard().FindAllStringSubmatch(rt.Path, -1) {
		op.Parameters = append(op.Parameters, Parameter{Name: m[1], In: "path", Description: rt.Params[m[1]], Example: rt.Examples[m[1]], Required: true, Schema: Text})
	}
	if rt.Body != "" && method != "get" {
		op.RequestBody = &Body{Content{"text/plain": {Schema: Text}}, rt.Body, false}
		if rt.Accepts != nil {
			op.RequestBody.Content = content(0, rt.Accepts, types)
		}
	}
	for status, sample := range rt.Returns {
		op.Responses[key(status)] = response(rt, status, sample, types)
	}
	if len(rt.Returns) == 0 { // a document without any response is not valid
		op.Responses[key(0)] = Response{Description: "not documented"}
	} else if _, declared := rt.Returns[0]; !declared { // faults and limits respond with any status
		op.Responses[key(0)] = response(rt, 0, reply.Problem{}, types)
	}
	return op
}

// key returns the key of a status among responses.
func key(status int) string {
	if status == 0 {
		return "default"
	}
	return strconv.Itoa(status)
}

func response(rt registry.Route, status int, sample any, types *Schemas) Response {
	res := Response{Description: cmp.Or(http.StatusText(status), fmt.Sprintf("status %d", status))}
	if status == 0 {
		res.Description = "any other status"
	}
	if sample != nil {
		res.Content = content(status, sample, types)
	}
	header := func(name, meaning string) {
		if res.Headers == nil {
			res.Headers = map[string]Header{}
		}
		res.Headers[name] = Header{Description: meaning, Schema: Text}
	}
	for name, meaning := range rt.Headers {
		header(name, meaning)
	}
	switch _, problem := sample.(reply.Problem); {
	case status == http.StatusUnauthorized:
		header("WWW-Authenticate", "the challenge of RFC 6750, with the reason why a token is refused")
	case status == http.StatusUpgradeRequired:
		header("Upgrade", "the protocol to upgrade to")
	case status == http.StatusServiceUnavailable && problem:
		header("Retry-After", "seconds to wait before another request, if the server knows")
	}
	return res
}

// content returns the body that a sample stands for, with the sample as the example
// if it has values and JSON for them.
func content(status int, sample any, types *Schemas) Content {
	body := Media{Schema: types.Of(sample)}
	if problem, ok := sample.(reply.Problem); ok {
		code := cmp.Or(status, http.StatusInternalServerError)
		body.Example = reply.Problem{Code: code, Message: cmp.Or(problem.Message, strings.ToLower(http.StatusText(code)))}
	} else if _, err := json.Marshal(sample); err == nil && says(sample) {
		body.Example = sample
	}
	return Content{mediaType(sample): body}
}

// says reports whether a sample has values. Bytes cannot be shown in JSON.
func says(sample any) bool {
	v := reflect.ValueOf(sample)
	switch v.Kind() {
	case reflect.Slice:
		return v.Len() > 0 && v.Type().Elem().Kind() != reflect.Uint8
	case reflect.Map:
		return v.Len() > 0
	}
	return !v.IsZero()
}

// mediaType returns the media type of a body with the sample.
func mediaType(sample any) string {
	switch sample.(type) {
	case []byte:
		return "application/octet-stream"
	case string:
		return "text/plain"
	}
	return "application/json"
}
