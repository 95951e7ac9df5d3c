// Command oci makes an image archive of files, at their own paths, without a
// registry and without root. The image runs the first one, as user 65532.
//
//	node-oci -o pause.tar -name podinfo.test/pause:1 bin/pause
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	out := flag.String("o", "image.tar", "archive to write")
	ref := flag.String("name", "", "name of the image")
	flag.Parse()
	if err := run(*out, *ref, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func run(out, ref string, files []string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("give at least one file")
	}
	body, err := archive(files)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil })
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	first, err := filepath.Abs(files[0])
	if err != nil {
		return err
	}
	config.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{first},
		Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	return tarball.WriteToFile(out, tag, img)
}

// archive packs files and the folders above them. It follows symbolic links,
// because libraries are named by links.
func archive(files []string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	known := map[string]bool{".": true}
	for _, file := range files {
		abs, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		body, err := os.ReadFile(abs)
		if err != nil {
			return nil, err
		}
		at := strings.TrimPrefix(abs, "/")
		if err := folders(w, path.Dir(at), known); err != nil {
			return nil, err
		}
		if known[at] {
			continue
		}
		known[at] = true
		if err := w.WriteHeader(&tar.Header{Name: at, Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// folders adds dir and those above it.
func folders(w *tar.Writer, dir string, known map[string]bool) error {
	if known[dir] {
		return nil
	}
	known[dir] = true
	if err := folders(w, path.Dir(dir), known); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Name: dir + "/", Mode: 0o755, Typeflag: tar.TypeDir})
}
