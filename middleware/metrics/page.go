package metrics

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/static"
)

// contentType is the media type of Prometheus's text format. Prometheus rejects a
// page without it.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	page := m.page()
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Vary", "Accept-Encoding")
	if !static.AcceptsGzip(r.Header) {
		w.Write(page)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	z.Write(page)
	z.Close()
}

// page returns the current values of all metrics, sorted by family.
func (m *Module) page() []byte {
	var raw bytes.Buffer
	m.set.WritePrometheus(&raw)
	m.durations.WritePrometheus(&raw)
	metrics.WriteGoMetrics(&raw)
	metrics.WriteProcMetrics(&raw)
	metrics.WriteFDMetrics(&raw)
	return annotate(raw.Bytes(), m.help)
}

// family is a metric with all its samples.
type family struct {
	name, kind string
	samples    []byte
}

// annotate groups samples into families and writes HELP and TYPE before each. The
// library writes them only for all sets of the process together, and without the
// help text.
func annotate(raw []byte, help map[string]string) []byte {
	families := map[string]*family{}
	last := new(family)
	for line := range bytes.Lines(raw) {
		name, kind, ok := familyOf(string(line), last)
		if !ok {
			continue
		}
		if last = families[name]; last == nil {
			last = &family{name: name, kind: kind}
			families[name] = last
		}
		last.samples = append(last.samples, line...)
	}
	var page bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if text := help[name]; text != "" {
			fmt.Fprintf(&page, "# HELP %s %s\n", name, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(text))
		}
		fmt.Fprintf(&page, "# TYPE %s %s\n", name, families[name].kind)
		page.Write(families[name].samples)
	}
	return page.Bytes()
}

// familyOf derives the family of a sample from its form. last is the family of
// the sample before it. ok is false for a line that is not a sample.
func familyOf(line string, last *family) (name, kind string, ok bool) {
	n := strings.IndexAny(line, "{ ")
	if n <= 0 || line[0] == '#' {
		return "", "", false
	}
	name, labels := line[:n], line[n:]
	switch rest, below := strings.CutPrefix(name, last.name); {
	case below && last.kind == "histogram" && (rest == "_bucket" || rest == "_sum" || rest == "_count"),
		below && last.kind == "summary" && (rest == "_sum" || rest == "_count"):
		return last.name, last.kind, true
	}
	base, bucket := strings.CutSuffix(name, "_bucket")
	switch {
	case bucket && hasLabel(labels, "le"):
		return base, "histogram", true
	case hasLabel(labels, "quantile"):
		return name, "summary", true
	case strings.HasSuffix(name, "_total"), name == "go_gc_forced_count", name == "go_cgo_calls_count":
		return name, "counter", true
	}
	return name, "gauge", true
}

func hasLabel(labels, name string) bool {
	return strings.Contains(labels, "{"+name+`="`) || strings.Contains(labels, ","+name+`="`)
}
