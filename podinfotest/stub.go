package podinfotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Reply responds in place of the handler, with a status from 200 to 599. As the last
// step it applies to all further attempts, unless [Step.Times] limits it.
func Reply(status int, body string) Step {
	return Step{name: fmt.Sprint(status), times: 1, reply: &canned{status: status, header: http.Header{}, body: body}}
}

// ReplyJSON is like [Reply], with v as JSON.
func ReplyJSON(status int, v any) Step {
	b, err := json.Marshal(v)
	s := Reply(status, string(b)).Header("Content-Type", "application/json")
	if err != nil {
		s.wrong = fmt.Sprintf("ReplyJSON: %v", err)
	}
	return s
}

// ReplyFile is like [Reply], with the content of a file and the type that the file's
// name says.
func ReplyFile(status int, name string) Step {
	b, err := os.ReadFile(name)
	s := Reply(status, string(b))
	if typ := mime.TypeByExtension(filepath.Ext(name)); typ != "" {
		s = s.Header("Content-Type", typ)
	}
	if err != nil {
		s.wrong = fmt.Sprintf("ReplyFile: %v", err)
	}
	return s
}

// ReplyTemplate is like [Reply], with a template (package text/template) of the
// request. The data is the [Request], and the functions are
//
//	{{path "id"}}        the segment that {id} of the script's path stands for
//	{{query "page"}}     a query parameter
//	{{header "X-User"}}  a header
//	{{cookie "session"}} a cookie
//	{{json "$.user.id"}} a value in the JSON body, by path
//	{{body}}             the body
//
// Values are those of the request as they are: they are not escaped.
func ReplyTemplate(status int, text string) Step {
	t, err := template.New("reply").Funcs(new(rendering).functions()).Parse(text)
	s := Reply(status, "")
	s.reply.template = t
	if err != nil {
		s.wrong = fmt.Sprintf("ReplyTemplate: %v", err)
	}
	return s
}

// canned is a response that the script defines.
type canned struct {
	status   int
	header   http.Header
	body     string
	template *template.Template // takes the place of body, nil for none
}

// problem says what is wrong with the response, "" if it is valid.
func (r *canned) problem() string {
	if r.status < 200 || r.status > 599 {
		return fmt.Sprintf("Reply with status %d: want 200 to 599", r.status)
	}
	if (r.body != "" || r.template != nil) && (r.status == http.StatusNoContent || r.status == http.StatusNotModified) {
		return fmt.Sprintf("a response with status %d cannot have a body: remove it", r.status)
	}
	return headerProblem(r.header)
}

// headerProblem says what is wrong with a header, "" if it is valid.
func headerProblem(h http.Header) string {
	for name, values := range h {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Sprintf("header %q: want a valid header name and a value on one line", name)
			}
		}
	}
	return ""
}

// send writes the response to a request for a script's path. It returns an error of
// the template, after a response with status 500.
func (r *canned) send(w http.ResponseWriter, path pattern, rec *Request) error {
	body := r.body
	if r.template != nil {
		var b bytes.Buffer
		t, err := r.template.Clone()
		if err == nil {
			err = t.Funcs(rendering{rec, path}.functions()).Execute(&b, rec)
		}
		if err != nil {
			reply.Error(w, http.StatusInternalServerError, "the template of the reply: "+err.Error())
			return err
		}
		body = b.String()
	}
	for name, values := range r.header {
		w.Header()[name] = append([]string(nil), values...)
	}
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, body) // the client has left, which the record says
	return nil
}

// rendering is what the functions of a template know.
type rendering struct {
	*Request
	pattern
}

func (r rendering) functions() template.FuncMap {
	return template.FuncMap{
		"path":   func(name string) (string, error) { return r.segment(name) },
		"query":  func(name string) string { return first(arrived{r.Request}.Query(name)) },
		"header": func(name string) string { return first(arrived{r.Request}.Header(name)) },
		"cookie": func(name string) string {
			c, err := (&http.Request{Header: r.Request.Header}).Cookie(name)
			if err != nil {
				return ""
			}
			return c.Value
		},
		"json": func(path string) string { return first(scenario.JSONValues(r.Request.Body, path)) },
		"body": func() string { return string(r.Request.Body) },
	}
}

// segment returns the segment of the request's path that {name} stands for.
func (r rendering) segment(name string) (string, error) {
	i, rest, err := r.pattern.wildcard(name)
	have := strings.Split(r.Request.Path, "/")
	switch {
	case err != nil:
		return "", err
	case i >= len(have):
		return "", fmt.Errorf("the path %s has no {%s}", r.Request.Path, name)
	case rest:
		return strings.Join(have[i:], "/"), nil
	}
	return have[i], nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
