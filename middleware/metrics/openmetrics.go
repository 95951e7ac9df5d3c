package metrics

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// writeOpenMetrics writes the families in OpenMetrics 1.0, sorted by name
// (https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md).
func (m *Module) writeOpenMetrics(page *bytes.Buffer, families map[string]*family) {
	exemplars := m.currentExemplars()
	for _, full := range slices.Sorted(maps.Keys(families)) {
		name, kind := full, families[full].kind
		if kind == "counter" { // the name of a family of counters has no _total
			name = strings.TrimSuffix(full, "_total")
			if families[name] != nil { // go_memstats_alloc_bytes is a gauge too
				name, kind = full, "unknown"
			}
		}
		if text := m.help[full]; text != "" {
			fmt.Fprintf(page, "# HELP %s %s\n", name, escape(text))
		}
		fmt.Fprintf(page, "# TYPE %s %s\n", name, kind)
		for _, unit := range []string{"bytes", "seconds"} {
			if strings.HasSuffix(name, "_"+unit) {
				fmt.Fprintf(page, "# UNIT %s %s\n", name, unit)
			}
		}
		for line := range strings.Lines(string(families[full].samples)) {
			at := strings.LastIndexByte(line, ' ')
			sample, value := line[:at], strings.TrimSpace(line[at:])
			fmt.Fprintf(page, "%s %s", canonical(sample), value)
			if e, ok := exemplars[sample]; ok {
				page.WriteString(e.String())
			}
			page.WriteByte('\n')
		}
	}
	page.WriteString("# EOF\n")
}

// canonical returns the name and the labels of a sample without spaces between the
// labels, and the bounds of buckets and quantiles as OpenMetrics writes them: 1.0,
// not 1.
func canonical(sample string) string {
	name, labels, ok := strings.Cut(sample, "{")
	if !ok {
		return sample
	}
	var out strings.Builder
	out.WriteString(name + "{")
	for label, rest := "", labels; rest != ""; {
		label, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), "=")
		if rest == "" { // the closing brace
			out.WriteString(label)
			break
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil { // a value with an escape that Go does not have
			out.WriteString(label + "=" + rest)
			break
		}
		rest = rest[len(quoted):]
		if n, err := strconv.ParseFloat(strings.Trim(quoted, `"`), 64); err == nil && (label == "le" || label == "quantile") {
			quoted = `"` + float(n) + `"`
		}
		out.WriteString(label + "=" + quoted)
		if after, more := strings.CutPrefix(rest, ","); more {
			out.WriteByte(',')
			rest = after
		}
	}
	return out.String()
}

func float(n float64) string {
	text := strconv.FormatFloat(n, 'g', -1, 64)
	if strings.ContainsAny(text, ".eIN") {
		return text
	}
	return text + ".0"
}
