package scenario

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// warnOfDelays warns about delays that the server shortens: of type Delay, and
// durations with the tag bounded, which is "requests" for those that are shortened
// unless the rule breaks TCP connections.
func (d *decoder) warnOfDelays(r *Rule, most time.Duration) {
	if most == 0 {
		return
	}
	d.warnOfDelaysIn(reflect.ValueOf(r).Elem(), "", "", func(field string, x time.Duration, bounded string) {
		if x > most && (bounded != "requests" || r.Match.TCP == "") {
			d.wrong(field, "a delay of %s is above the server's longest, %s (PODINFO_FAULTS_MAX_DELAY), which replaces it", x.Round(time.Millisecond), most)
		}
	})
}

// warnOfDelaysIn calls check for the delays in v, which is at a path and has the tag
// bounded.
func (d *decoder) warnOfDelaysIn(v reflect.Value, field, tag string, check func(field string, x time.Duration, bounded string)) {
	switch x := v.Interface().(type) {
	case *Delay:
		const far = 0.99
		if x != nil {
			check(field, bounded(x.Distribution().Quantile(far), math.MaxInt64), "")
		}
		return
	case Duration:
		if tag != "" {
			check(field, time.Duration(x), tag)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.warnOfDelaysIn(v.Elem(), field, tag, check)
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.warnOfDelaysIn(v.Index(i), fmt.Sprintf("%s[%d]", field, i), "", check)
		}
	case reflect.Struct:
		for f, value := range v.Fields() {
			if key := keyOf(f); key != "" {
				d.warnOfDelaysIn(value, join(field, key), f.Tag.Get("bounded"), check)
			}
		}
	}
}

// percentEncoded matches a character of a URL that is not decoded.
var percentEncoded = lazyregexp.New(`%[0-9A-Fa-f]{2}`)

// warnOfTemplates warns about the syntax of other tools, which is sent or matched
// as it is.
func (d *decoder) warnOfTemplates(r *Rule) {
	if slices.ContainsFunc(strings.Split(r.Match.Path, "/"), func(part string) bool { return strings.HasPrefix(part, ":") && len(part) > 1 }) {
		d.wrong("match.path", "%q: a colon is matched as it is; write a parameter as {name}", r.Match.Path)
	}
	if slices.ContainsFunc(strings.Split(r.Match.Path, "/"), func(part string) bool { return strings.HasPrefix(part, "{") && strings.Contains(part, ":") }) {
		d.wrong("match.path", "%q: {name} is any text of a segment, and what follows a colon in it has no effect; write a regular expression that begins with ~ for the whole path", r.Match.Path)
	}
	if code := percentEncoded().FindString(r.Match.Path); code != "" {
		d.wrong("match.path", "%q: paths are compared after decoding; write the character that %s stands for", r.Match.Path, code)
	}
	if r.Fault == nil {
		return
	}
	texts := []string{r.Fault.Body}
	for _, value := range r.Fault.Headers {
		texts = append(texts, value)
	}
	for _, text := range texts {
		if strings.Contains(text, "{{") || strings.Contains(text, "${") {
			d.wrong("fault", "%q is sent as it is; templates are not supported", text)
		}
	}
}

// warnOfNot warns about match.not that leaves gRPC calls only.
func (d *decoder) warnOfNot(l *live) {
	if l.leavesNone(HTTPRequests, WebSockets) {
		d.wrong("match.not", "excludes all HTTP requests that the rule matches; it hits only gRPC calls")
	}
}

// onlyHead reports whether m matches no requests but HEAD.
func (m *Match) onlyHead() bool {
	return len(m.Methods) > 0 && !slices.ContainsFunc(m.Methods, func(name string) bool { return name != http.MethodHead })
}

// warnOfBodies warns about what does nothing to responses to HEAD.
func (d *decoder) warnOfBodies(l *live) {
	if !l.Match.onlyHead() {
		return
	}
	l.each(func(under string, does *live) {
		if does.delay != nil && does.Delay.At == Chunks {
			d.wrong(under+"delay", "does nothing, as a response to HEAD has no chunks; remove at, or match another method")
		}
		switch f := does.Fault; {
		case f != nil && does.breaksBody():
			d.wrong(under+"fault", "%s does nothing, as a response to HEAD has no body; match another method", does.kinds[HTTPRequests].Name)
		case f != nil && f.Reply != nil && (f.Reply.Append != "" || f.Reply.Corrupt != nil || f.Reply.Repeat > 0):
			d.wrong(under+"fault.reply", "a response to HEAD has no body, which append, corrupt and repeat could change")
		}
	})
}
