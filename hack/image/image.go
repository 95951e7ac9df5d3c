package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The user and group of podinfo, as numbers, because runAsNonRoot cannot verify a
// user name.
const uid, gid = 100, 101

// An image is an index with one image per platform.
type image struct {
	build
	index     v1.ImageIndex
	digest    v1.Hash
	platforms []platformImage
}

type platformImage struct {
	platform v1.Platform
	image    v1.Image
	digest   v1.Hash
	unpacked int64 // bytes of all files
	program  []byte
}

// programPath is the path of the program in the image. podcli is a link to it.
const programPath = "home/app/podinfo"

// image compiles the program and assembles the images and the index.
func (b *build) image() (*image, error) {
	base := baseFiles()
	i := &image{build: *b, index: mutate.Annotations(empty.Index, b.labels()).(v1.ImageIndex)}
	wanted := b.only
	if len(wanted) == 0 {
		wanted = platforms
	}
	for _, platform := range wanted {
		p := platformImage{platform: platform}
		var err error
		if p.program, err = b.program(platform); err != nil {
			return nil, err
		}
		programs := []file{
			{path: programPath, mode: 0o755, body: p.program},
			{path: "usr/local/bin/podcli", mode: 0o777, link: "../../../" + programPath},
		}
		if p.image, err = b.assemble(platform, base, programs); err != nil {
			return nil, err
		}
		if p.digest, err = p.image.Digest(); err != nil {
			return nil, err
		}
		for _, f := range append(base, programs...) {
			p.unpacked += int64(len(f.body))
		}
		i.platforms = append(i.platforms, p)
		i.index = mutate.AppendManifests(i.index, mutate.IndexAddendum{Add: p.image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	var err error
	i.digest, err = i.index.Digest()
	return i, err
}

// program compiles the program for a platform and returns it.
func (b *build) program(p v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "podinfo-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "podinfo")
	if err := b.compile(p, path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// assemble builds the image of a platform. The program is the top layer, because
// the others seldom change.
func (b *build) assemble(platform v1.Platform, base, programs []file) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range []struct {
		files []file
		by    string
	}{{base, "certificates, user and directories"}, {programs, "podinfo and podcli"}} {
		body, err := archive(l.files, b.created)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
			tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: b.created}, CreatedBy: l.by}})
		if err != nil {
			return nil, err
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: b.created}
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", uid, gid),
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		WorkingDir: "/home/app",
		Cmd:        []string{"./podinfo"},
		Labels:     b.labels(),
	}
	return mutate.ConfigFile(img, config)
}

// labels are the labels of the images and the annotations of the index.
func (b *build) labels() map[string]string {
	const home = "https://github.com/seed-4591fe7d/podinfo"
	return map[string]string{
		"org.opencontainers.image.title":         "podinfo",
		"org.opencontainers.image.description":   "A small modular Go server for testing clusters, service meshes and pipelines",
		"org.opencontainers.image.url":           home,
		"org.opencontainers.image.source":        home,
		"org.opencontainers.image.documentation": home + "/blob/main/README.md",
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.version":       b.version,
		"org.opencontainers.image.revision":      b.revision,
		"org.opencontainers.image.created":       b.created.Format(time.RFC3339),
	}
}

// A file is an entry of a layer. It belongs to root unless ours is set. A path that
// ends in a slash is a directory, and a file with a link is a symbolic link.
type file struct {
	path string
	mode int64
	ours bool
	link string
	body []byte
}

// baseFiles returns the files besides the programs. Only /data and /tmp are writable.
func baseFiles() []file {
	return []file{
		{path: "data/", mode: 0o755, ours: true},
		{path: "etc/", mode: 0o755},
		{path: "etc/group", mode: 0o644, body: fmt.Appendf(nil, "app:x:%d:\n", gid)},
		{path: "etc/passwd", mode: 0o644, body: fmt.Appendf(nil, "app:x:%d:%d:app:/home/app:/sbin/nologin\n", uid, gid)},
		{path: "etc/ssl/", mode: 0o755},
		{path: "etc/ssl/certs/", mode: 0o755},
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, body: certificates()},
		{path: "home/", mode: 0o755},
		{path: "home/app/", mode: 0o755},
		{path: "tmp/", mode: 0o1777, ours: true},
		{path: "usr/", mode: 0o755},
		{path: "usr/local/", mode: 0o755},
		{path: "usr/local/bin/", mode: 0o755},
	}
}

// certificates returns Mozilla's root store as PEM, from a Go module. It omits roots
// that Mozilla distrusts after a date, because PEM cannot express that.
func certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // writing to a Buffer never fails
		}
	}
	return out.Bytes()
}

func archive(files []file, created time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.path, Mode: f.mode, Size: int64(len(f.body)), ModTime: created, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(f.path, "/"):
			h.Typeflag = tar.TypeDir
		case f.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if f.ours {
			h.Uid, h.Gid = uid, gid
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil { // writes the end of the archive
		return nil, err
	}
	return out.Bytes(), nil
}

// writeLayout replaces the OCI layout in dir.
func (i *image) writeLayout(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
			return fmt.Errorf("%s is not an OCI layout: delete it, or choose another directory", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(i.index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": i.version}))
}
