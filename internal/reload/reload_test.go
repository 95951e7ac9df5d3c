package reload_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/reload"
)

func TestValue(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "link") // as the kubelet has it: a link to a link to the file
	write := func(t *testing.T, version, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "link"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(dir, "tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..data/link", file); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		reads, reported := 0, 0
		read := func() (string, error) {
			reads++
			b, err := os.ReadFile(file)
			if string(b) == "bad" {
				err = errors.New("bad")
			}
			return string(b), err
		}
		report := func(error) { reported++ }
		if _, err := reload.Load(read, report, file); err == nil {
			t.Error("an absent file was loaded")
		}
		write(t, "v1", "one")
		v, err := reload.Load(read, report, file)
		if err != nil {
			t.Fatal(err)
		}
		reads = 0
		for _, c := range []struct {
			text            string // "" leaves the file as it is, "-" removes it
			want            string
			reads, reported int
		}{
			{"", "one", 0, 0},
			{"two two", "two two", 1, 0},
			{"", "two two", 1, 0},
			{"bad", "two two", 2, 1},
			{"", "two two", 3, 1}, // tries again, and reports once
			{"-", "two two", 4, 2},
			{"three", "three", 5, 2},
			{"bad", "three", 6, 3},
		} {
			if c.text == "-" {
				if err := os.Remove(filepath.Join(dir, "..data")); err != nil {
					t.Fatal(err)
				}
			} else if c.text != "" {
				write(t, c.text, c.text)
			}
			time.Sleep(reload.CheckEvery)
			for range 3 { // within a second it looks once
				if got := v.Get(); got != c.want {
					t.Errorf("%q: %q, want %q", c.text, got, c.want)
				}
			}
			if reads != c.reads || reported != c.reported {
				t.Errorf("%q: %d reads and %d reports, want %d and %d", c.text, reads, reported, c.reads, c.reported)
			}
		}
	})
}
