package metrics

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/static"
)

// The media types of the two formats. Prometheus rejects a page without one.
const (
	textType        = "text/plain; version=0.0.4; charset=utf-8"
	openMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	m.scraping.Add(1)
	defer m.scraping.Add(-1)
	families, media := m.families(), textType
	var page bytes.Buffer
	if prefersOpenMetrics(r.Header) {
		media = openMetricsType
		m.writeOpenMetrics(&page, families)
	} else {
		m.writeText(&page, families)
	}
	m.scrapes.Inc()
	w.Header().Set("Content-Type", media)
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if !static.AcceptsGzip(r.Header) {
		w.Write(page.Bytes())
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	z.Write(page.Bytes())
	z.Close()
}

// prefersOpenMetrics reports whether a client accepts OpenMetrics 1.0 and does not
// prefer the text format (RFC 9110, section 12.5.1).
func prefersOpenMetrics(h http.Header) bool {
	openMetrics, text, specific := 0., 0., -1
	for _, header := range h["Accept"] {
		for part := range strings.SplitSeq(header, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			weight := 1.
			if q, ok := params["q"]; ok {
				if weight, err = strconv.ParseFloat(q, 64); err != nil {
					continue
				}
			}
			if version := params["version"]; media == "application/openmetrics-text" && (version == "" || version == "1.0.0") {
				openMetrics = max(openMetrics, weight)
			}
			if at := slices.Index([]string{"*/*", "text/*", "text/plain"}, media); at > specific {
				text, specific = weight, at
			}
		}
	}
	return openMetrics > 0 && openMetrics >= text
}

// family is a metric with all its samples.
type family struct {
	name, kind string
	samples    []byte // in the text format
}

// families returns the current values of all metrics by family. The library writes
// HELP and TYPE only for all sets of the process together, so families derives them
// from the samples.
func (m *Module) families() map[string]*family {
	var raw bytes.Buffer
	m.set.WritePrometheus(&raw)
	m.durations.WritePrometheus(&raw)
	metrics.WriteGoMetrics(&raw)
	metrics.WriteProcMetrics(&raw)
	metrics.WriteFDMetrics(&raw)
	writeUpstream(&raw)
	families := map[string]*family{}
	last := new(family)
	for line := range bytes.Lines(raw.Bytes()) {
		line := renamed(string(line))
		name, kind, ok := familyOf(line, last)
		if !ok {
			continue
		}
		if last = families[name]; last == nil {
			last = &family{name: name, kind: kind}
			families[name] = last
		}
		last.samples = append(last.samples, line...)
	}
	return families
}

// renamed returns a sample with the name that Prometheus's conventions require, where
// the library has another one.
func renamed(line string) string {
	for _, r := range [][2]string{{"go_cgo_calls_count ", "go_cgo_calls_total "}, {"go_gc_forced_count ", "go_gc_forced_total "}, {"go_cpu_count ", "go_cpus "}} {
		if rest, ok := strings.CutPrefix(line, r[0]); ok {
			return r[1] + rest
		}
	}
	return line
}

// writeText writes the families in the text format, sorted by name.
func (m *Module) writeText(page *bytes.Buffer, families map[string]*family) {
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if text := m.help[name]; text != "" {
			fmt.Fprintf(page, "# HELP %s %s\n", name, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(text))
		}
		fmt.Fprintf(page, "# TYPE %s %s\n", name, families[name].kind)
		page.Write(families[name].samples)
	}
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
	case strings.HasSuffix(name, "_total"):
		return name, "counter", true
	}
	return name, "gauge", true
}

func hasLabel(labels, name string) bool {
	return strings.Contains(labels, "{"+name+`="`) || strings.Contains(labels, ","+name+`="`)
}
