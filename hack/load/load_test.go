package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestMain lets the test binary be the server that compare starts.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-serve") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestCompare runs podcli against a server that stalls, and reads its reports.
func TestCompare(t *testing.T) {
	c := config{bin: t.TempDir(), root: "../..", temp: t.TempDir(), rate: 100, connections: 2, rounds: 1, duration: 1500 * time.Millisecond}
	if out, err := exec.Command("go", "-C", c.root, "build", "-o", filepath.Join(c.bin, "podcli"), "./cmd/podcli").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stop, err := c.startServer()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	measured := 0
	for _, tool := range tools() {
		if tool.program != "podcli" {
			continue
		}
		measured++
		got, err := c.measure(tool)
		if err != nil {
			t.Errorf("%s: %v", tool.name, err)
			continue
		}
		// Every second the server stalls for 100 ms, which is 10 requests at this rate.
		if got.max < 50*time.Millisecond || got.p50 > got.p99 || got.p99 > got.max || got.cpu <= 0 {
			t.Errorf("%s: %+v", tool.name, got)
		}
	}
	if measured < 3 {
		t.Errorf("podcli is %d of the tools", measured)
	}
}
