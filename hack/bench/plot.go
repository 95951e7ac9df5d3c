package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// series is a line of a plot: what n of something take.
type series struct {
	name   string
	points []point
}

// Sizes of a panel, in pixels.
const (
	panelWidth, panelHeight = 470, 330 // of the axes
	marginLeft, marginTop   = 60, 70
	legendLine              = 16
)

var colors = []string{"#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#0a7ea4", "#bc4c00"}

// plots writes docs/performance-memory.svg and docs/performance-cpu.svg, each with a
// panel for what a program is made of and one for connections.
func plots(root string, all []series) error {
	for _, f := range []struct {
		file, title string
		value       func(point) float64
	}{
		{"performance-memory.svg", "Resident memory, MiB", func(p point) float64 { return p.memory / (1 << 20) }},
		{"performance-cpu.svg", "CPU time of a request, message or event, µs", func(p point) float64 { return p.do }},
	} {
		text, err := plot(f.title, all, f.value)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "docs", f.file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// axis maps values to pixels by their logarithm.
type axis struct{ low, high, from, to float64 }

// newAxis returns an axis of whole powers of ten around the values.
func newAxis(values []float64, from, to float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
	}
	low, high = math.Floor(low), math.Ceil(high)
	return axis{low, max(high, low+1), from, to}
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.low)/(a.high-a.low)*(a.to-a.from)
}

// A tick is a line of the grid with its label.
type tick struct {
	At    float64
	Label string
}

func (a axis) ticks() (out []tick) {
	for e := a.low; e <= a.high; e++ {
		v := math.Pow(10, e)
		out = append(out, tick{a.at(v), fmt.Sprint(v)})
	}
	return out
}

type panel struct {
	X, Left, Right, Top, Bottom float64
	Xs, Ys                      []tick
	Lines                       []line
}

type line struct {
	Name, Color, Points string
	Dots                [][2]float64
	LegendX, LegendY    float64
}

var svg = template.Must(template.New("").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" font-family="sans-serif" font-size="12">
<title>{{.Title}}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="{{.Width}}" dx="-12" y="22" text-anchor="end" font-size="15">{{.Title}}</text>
{{range .Panels}}<g transform="translate({{.X}},0)">
{{$p := .}}{{range .Xs}}<path d="M{{printf "%.1f" .At}} {{$p.Top}}V{{$p.Bottom}}" stroke="#d8dee4"/><text x="{{printf "%.1f" .At}}" y="{{$p.Bottom}}" dy="16" text-anchor="middle">{{.Label}}</text>
{{end}}{{range .Ys}}<path d="M{{$p.Left}} {{printf "%.1f" .At}}H{{$p.Right}}" stroke="#d8dee4"/><text x="{{$p.Left}}" dx="-6" y="{{printf "%.1f" .At}}" dy="4" text-anchor="end">{{.Label}}</text>
{{end}}{{range .Lines}}<polyline points="{{.Points}}" fill="none" stroke="{{.Color}}" stroke-width="2"/>
{{$l := .}}{{range .Dots}}<circle cx="{{printf "%.1f" (index . 0)}}" cy="{{printf "%.1f" (index . 1)}}" r="3" fill="{{$l.Color}}"/>
{{end}}<path d="M{{.LegendX}} {{.LegendY}}h18" stroke="{{.Color}}" stroke-width="2"/><text x="{{.LegendX}}" dx="24" y="{{.LegendY}}" dy="4">{{.Name}}</text>
{{end}}</g>
{{end}}</svg>
`))

// plot returns an SVG image of the values, on logarithmic axes.
func plot(title string, all []series, value func(point) float64) (string, error) {
	var parts, conns []series
	for _, s := range all {
		if s.points[0].n == 1 { // only connections begin with one
			conns = append(conns, s)
		} else {
			parts = append(parts, s)
		}
	}
	var panels []panel
	height := 0.0
	for _, group := range [][]series{parts, conns} {
		if len(group) > 0 {
			p := newPanel(group, value)
			p.X = float64(len(panels) * (marginLeft + panelWidth + 20))
			panels = append(panels, p)
			height = max(height, p.Bottom+30+float64(len(group)*legendLine))
		}
	}
	var out strings.Builder
	err := svg.Execute(&out, map[string]any{"Title": html.EscapeString(title), "Panels": panels, "Width": len(panels) * (marginLeft + panelWidth + 20), "Height": height})
	return out.String(), err
}

func newPanel(group []series, value func(point) float64) panel {
	const least = 0.1 // below which the clock of the process tells nothing
	var xs, ys []float64
	for _, s := range group {
		for _, pt := range s.points {
			xs, ys = append(xs, float64(pt.n)), append(ys, max(value(pt), least))
		}
	}
	p := panel{Left: marginLeft, Right: marginLeft + panelWidth, Top: marginTop - 30, Bottom: marginTop - 30 + panelHeight}
	x, y := newAxis(xs, p.Left, p.Right), newAxis(ys, p.Bottom, p.Top)
	p.Xs, p.Ys = x.ticks(), y.ticks()
	for i, s := range group {
		l := line{Name: html.EscapeString(s.name), Color: colors[i%len(colors)], LegendX: p.Left, LegendY: p.Bottom + 36 + float64(i*legendLine)}
		var points []string
		for _, pt := range s.points {
			at := [2]float64{x.at(float64(pt.n)), y.at(max(value(pt), least))}
			l.Dots = append(l.Dots, at)
			points = append(points, fmt.Sprintf("%.1f,%.1f", at[0], at[1]))
		}
		l.Points = strings.Join(points, " ")
		p.Lines = append(p.Lines, l)
	}
	return p
}
