package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"golang.org/x/perf/benchmath"
)

// compare measures podinfo of a revision and of the work tree in turn and prints what
// differs, tested as benchstat does.
func compare(ctx context.Context, root, dir, podinfo string, selected *regexp.Regexp) error {
	tree := filepath.Join(dir, "base")
	git := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args[0], err, out)
		}
		return nil
	}
	if err := git("worktree", "add", "--quiet", "--detach", tree, *base); err != nil {
		return err
	}
	defer git("worktree", "remove", "--force", tree)
	old := filepath.Join(dir, "podinfo-base")
	if err := build(ctx, tree, old); err != nil {
		return err
	}
	before, err := startPodinfo(ctx, *base, old)
	if err != nil {
		return err
	}
	defer before.stop()
	after, err := startPodinfo(ctx, "work tree", podinfo)
	if err != nil {
		return err
	}
	defer after.stop()
	got, err := interleave(ctx, []*program{before, after}, selected)
	if err != nil {
		return err
	}
	fmt.Printf("| CPU | %s | work tree | change |\n|---|--:|--:|--:|\n", *base)
	for _, w := range works() {
		if got[w.name] != nil {
			fmt.Println(difference(w.name, got[w.name][before.name], got[w.name][after.name]))
		}
	}
	return nil
}

// difference is a line of the table of compare.
func difference(name string, before, after []sample) string {
	of := func(all []sample) *benchmath.Sample {
		values := make([]float64, len(all))
		for i := range all {
			values[i] = all[i].cpu
		}
		s := benchmath.NewSample(values, &benchmath.DefaultThresholds)
		for _, warning := range s.Warnings {
			fmt.Fprintln(os.Stderr, name, warning)
		}
		return s
	}
	x, y := of(before), of(after)
	sx, sy := benchmath.AssumeNothing.Summary(x, 0.95), benchmath.AssumeNothing.Summary(y, 0.95)
	c := benchmath.AssumeNothing.Compare(x, y)
	return fmt.Sprintf("| %s | %.2f µs ± %s | %.2f µs ± %s | %s (%s) |", name, sx.Center, sx.PctRangeString(), sy.Center, sy.PctRangeString(), c.FormatDelta(sx.Center, sy.Center), c)
}
