package main

import (
	"maps"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	_ "gonum.org/v1/plot/vg/vgsvg" // writes .svg
)

// plots writes docs/performance-memory.svg and docs/performance-cpu.svg.
func plots(root string, all map[string][]point) error {
	for _, f := range []struct {
		file, title string
		value       func(point) float64
	}{
		{"performance-memory.svg", "Resident memory, MiB", func(p point) float64 { return p.memory / (1 << 20) }},
		{"performance-cpu.svg", "CPU time of a request, message, event or idle second, µs", func(p point) float64 { return p.do }},
	} {
		p := plot.New()
		p.Title.Text, p.X.Label.Text = f.title, "Number"
		p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
		p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
		p.Legend.Top, p.Legend.Left = true, true
		var lines []any
		for _, name := range slices.Sorted(maps.Keys(all)) {
			var xys plotter.XYs
			for _, pt := range all[name] {
				xys = append(xys, plotter.XY{X: float64(pt.n), Y: max(f.value(pt), 0.1)})
			}
			lines = append(lines, name, xys)
		}
		if err := plotutil.AddLinePoints(p, lines...); err != nil {
			return err
		}
		p.Y.Max *= 30 // room for the legend
		if err := p.Save(9*vg.Inch, 6*vg.Inch, filepath.Join(root, "docs", f.file)); err != nil {
			return err
		}
	}
	return nil
}
