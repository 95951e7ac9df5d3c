package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A variant is a way to build one of the programs.
type variant struct {
	name, pkg, tags, ldflags string
}

// variants begins with the plain build and ends with that of the image, in steps.
var variants = []variant{
	{"podinfo, as `go build` makes it", "./cmd/podinfo", "", ""},
	{"podinfo without symbols (`-s -w`)", "./cmd/podinfo", "", "-s -w"},
	{"the same with `grpcnotrace`", "./cmd/podinfo", "grpcnotrace", "-s -w"},
	{"the same with time zones (`timetzdata`)", "./cmd/podinfo", "grpcnotrace,timetzdata", "-s -w"},
	{"podcli without symbols", "./cmd/podcli", "", "-s -w"},
	{"podinfo and podcli in one (`podinfo`)", "./cmd/podcli", "podinfo,grpcnotrace,timetzdata", "-s -w"},
	{"the same with `-funcalign=16`, as in the image", "./cmd/podcli", "podinfo,grpcnotrace,timetzdata", "-s -w -funcalign=16"},
}

// Indexes of the variants that are started.
const (
	podcliAlone = 4
	inImage     = 6
)

// file is the path of the program.
func (v variant) file(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("variant-%d", i))
}

// sizes builds the variants and returns the table of their sizes.
func sizes(ctx context.Context, root, dir string) (string, error) {
	var b strings.Builder
	b.WriteString("| Program | MB |\n|---|--:|\n")
	for i, v := range variants {
		file := v.file(dir, i)
		if err := buildWith(ctx, root, file, v); err != nil {
			return "", err
		}
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| %s | %.1f |\n", v.name, float64(info.Size())/1e6)
		fmt.Fprintln(os.Stderr, "built", v.name)
	}
	return b.String(), nil
}

// A launch is a start of a program, until it is ready or has ended.
type launch struct {
	name    string
	serves  bool
	command func(port string) (file string, args []string)
	env     []string
}

// launched is what a launch took. Memory is 0 for a program that ends.
type launched struct {
	cpu, wall   time.Duration
	total, anon float64 // bytes of resident memory, and of it what is not a part of a file
}

// launches returns what the second table has.
func launches(dir string) []launch {
	image := variants[inImage].file(dir, inImage)
	alone := variants[podcliAlone].file(dir, podcliAlone)
	podinfo := func(more ...string) func(string) (string, []string) {
		return func(port string) (string, []string) {
			return image, append([]string{"--host=127.0.0.1", "--port=" + port, "--level=warn"}, more...)
		}
	}
	return []launch{
		{"podinfo", true, podinfo(), nil},
		{"podinfo with gRPC, fault rules and the access log", true, podinfo("--grpc-port=0", "--access-log-level=info"), []string{"PODINFO_FAULTS_ENABLED=true"}},
		{"podinfo with four modules", true, podinfo(), []string{"PODINFO_MODULES=none,http-server,health,version,info"}},
		{"podcli, a program of its own", false, func(string) (string, []string) { return alone, []string{"version"} }, nil},
		{"podcli of the image", false, func(string) (string, []string) { return filepath.Join(dir, "podcli"), []string{"version"} }, nil},
	}
}

// starts returns a table of what it takes to start the programs and of the memory that
// they have after an idle second.
func starts(ctx context.Context, dir string) (string, error) {
	link := filepath.Join(dir, "podcli")
	if err := os.Symlink(variants[inImage].file(dir, inImage), link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	all := launches(dir)
	got := make([][]launched, len(all))
	for range *rounds + 1 {
		for i, l := range all {
			one, err := l.run(ctx)
			if err != nil {
				return "", fmt.Errorf("%s: %w", l.name, err)
			}
			got[i] = append(got[i], one)
		}
	}
	var b strings.Builder
	b.WriteString("| Program | CPU until ready, ms | time until ready, ms | idle memory, MiB | of it not a part of the program's file |\n|---|--:|--:|--:|--:|\n")
	for i, l := range all {
		of := got[i][1:] // the first one warms up
		value := func(f func(launched) float64) float64 {
			return median(len(of), func(k int) float64 { return f(of[k]) })
		}
		memory := "| |"
		if l.serves {
			memory = fmt.Sprintf("%.1f | %.1f |", value(func(l launched) float64 { return l.total })/(1<<20), value(func(l launched) float64 { return l.anon })/(1<<20))
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %s\n", l.name, value(func(l launched) float64 { return ms(l.cpu) }), value(func(l launched) float64 { return ms(l.wall) }), memory)
	}
	return b.String(), nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// run starts the program once.
func (l launch) run(ctx context.Context) (out launched, err error) {
	addr := address()
	file, args := l.command(addr[strings.LastIndexByte(addr, ':')+1:])
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env, cmd.Dir = append([]string{"PATH=" + os.Getenv("PATH")}, l.env...), os.TempDir()
	began := time.Now()
	if !l.serves {
		err := cmd.Run()
		return launched{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall: time.Since(began)}, err
	}
	if err := cmd.Start(); err != nil {
		return out, err
	}
	p := &program{name: l.name, cmd: cmd}
	defer p.stop()
	if err := ready("http://" + addr + "/readyz"); err != nil {
		return out, err
	}
	out.wall = time.Since(began)
	u, err := p.usage()
	if err != nil {
		return out, err
	}
	out.cpu = u.cpu
	time.Sleep(time.Second)
	out.total, out.anon = p.memory("VmRSS"), p.memory("RssAnon")
	return out, nil
}

// ready waits until the URL returns status 200.
func ready(url string) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 10000 {
		if resp, err := client.Get(url); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New(url + " does not return 200")
}

// start prints the sizes of the programs and what their start takes.
func start(ctx context.Context, root, dir string, selected *regexp.Regexp) error {
	if !selected.MatchString("start") {
		return nil
	}
	table, err := sizes(ctx, root, dir)
	if err != nil {
		return err
	}
	if err := publish(root, "size", table); err != nil {
		return err
	}
	if table, err = starts(ctx, dir); err != nil {
		return err
	}
	return publish(root, "start", table)
}
