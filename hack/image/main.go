// Command image builds the container image of podinfo without Docker and without a
// registry, as an OCI layout for linux/amd64, linux/arm64 and linux/arm/v7. The
// build is reproducible: anyone can verify the digest of a release.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const repository = "ghcr.io/seed-4591fe7d/podinfo"

func main() {
	var b build
	flag.StringVar(&b.source, "src", "../..", "`directory` of the source")
	flag.StringVar(&b.version, "version", "", "`version` of the image (default: the one in podinfo.go)")
	flag.StringVar(&b.revision, "revision", "", "`commit` that the image is built from (default: HEAD)")
	out := flag.String("o", "dist/image", "`directory` of the OCI layout, relative to -src")
	sbom := flag.String("sbom", "dist/podinfo.spdx.json", "`file` of the SPDX bill of materials, relative to -src")
	archive := flag.String("archive", "dist/podinfo.tar", "`file` with the image for this machine under the name in the manifests, for containerd, kind, k3s and docker, relative to -src; empty for none")
	flag.Func("platform", "build only for this `platform`, such as linux/arm64; repeatable", func(name string) error {
		p, err := platformOf(name)
		b.only = append(b.only, p)
		return err
	})
	var push []string
	flag.Func("push", "also push to this `reference`, with the credentials of docker; repeatable", func(ref string) error {
		push = append(push, ref)
		return nil
	})
	flag.Parse()
	under := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(b.source, path)
	}
	if err := run(b, under(*out), under(*sbom), under(*archive), push); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(b build, out, sbom, archive string, push []string) error {
	if err := b.defaults(); err != nil {
		return err
	}
	img, err := b.image()
	if err != nil {
		return err
	}
	if err := img.writeLayout(out); err != nil {
		return err
	}
	if err := img.writeSBOM(sbom); err != nil {
		return err
	}
	if archive != "" {
		if err := img.writeArchive(archive); err != nil {
			return err
		}
	}
	for _, ref := range push {
		if err := img.push(ref); err != nil {
			return err
		}
	}
	fmt.Printf("version\t%s, revision %s, created %s\n", b.version, b.revision, b.created.Format(time.RFC3339))
	for _, p := range img.platforms {
		fmt.Printf("%s\t%s\t%.1f MB unpacked, /%s %.1f\n", p.platform, p.digest, float64(p.unpacked)/1e6, programPath, float64(len(p.program))/1e6)
	}
	fmt.Printf("index\t%s\n", img.digest)
	return nil
}

// A build is the input of an image. Nothing else affects the digest.
type build struct {
	source            string
	only              []v1.Platform // empty for all
	version, revision string
	created           time.Time
}

var releaseVar = regexp.MustCompile(`(?m)^\s*release\s*=\s*"([^"]+)"`)

// defaults sets the empty fields: the version from the source, the commit from git,
// and the time from SOURCE_DATE_EPOCH or the commit.
func (b *build) defaults() error {
	if b.version == "" {
		text, err := os.ReadFile(filepath.Join(b.source, "podinfo.go"))
		if err != nil {
			return err
		}
		found := releaseVar.FindSubmatch(text)
		if found == nil {
			return fmt.Errorf("no release in podinfo.go")
		}
		b.version = string(found[1])
	}
	if b.revision == "" {
		head, err := b.git("rev-parse", "HEAD")
		if err != nil {
			return err
		}
		changed, err := b.git("status", "--porcelain")
		if err != nil {
			return err
		}
		if b.revision = head; changed != "" {
			b.revision += "-dirty"
		}
	}
	if b.created.IsZero() {
		epoch := os.Getenv("SOURCE_DATE_EPOCH")
		if epoch == "" {
			var err error
			if epoch, err = b.git("log", "-1", "--format=%ct"); err != nil {
				return err
			}
		}
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		b.created = time.Unix(seconds, 0).UTC()
	}
	return nil
}

func (b *build) git(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", b.source}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// writeArchive writes the image of this machine's architecture, which a cluster runs
// without pulling it: its name is the one in the manifests.
func (i *image) writeArchive(path string) error {
	tag, err := name.NewTag(repository + ":" + i.version)
	if err != nil {
		return err
	}
	for _, p := range i.platforms {
		if p.platform.Architecture == runtime.GOARCH {
			return tarball.WriteToFile(path, tag, p.image)
		}
	}
	return fmt.Errorf("no image for %s, the architecture of this machine: add it with -platform, or set -archive to nothing", runtime.GOARCH)
}

// push sends the image to a registry, over plain HTTP only on localhost.
func (i *image) push(to string) error {
	ref, err := name.ParseReference(to, name.StrictValidation)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, i.index, remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithRetryBackoff(
		remote.Backoff{Duration: time.Second, Factor: 3, Steps: 4}))
}

// platforms are the platforms of a release.
var platforms = []v1.Platform{
	{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm", Variant: "v7"},
	{OS: "linux", Architecture: "arm64"},
}

func platformOf(name string) (v1.Platform, error) {
	for _, p := range platforms {
		if p.String() == name {
			return p, nil
		}
	}
	return v1.Platform{}, fmt.Errorf("unknown platform: choose one of %v", platforms)
}

// compile builds the program for a platform. It is podinfo, and podcli under that name:
// see cmd/podcli/podinfo.go.
func (b *build) compile(p v1.Platform, path string) error {
	release := "-X main.release=" + b.version + " -X github.com/seed-4591fe7d/podinfo.release=" + b.version +
		" -X github.com/seed-4591fe7d/podinfo.revision=" + b.revision
	// timetzdata embeds the time zones, so that the image needs no files for them.
	// grpcnotrace leaves out the trace pages of gRPC and the packages they link.
	// -funcalign=16 instead of the linker's 32 on amd64 saves 0.2 MB of padding.
	cmd := exec.Command(cmp.Or(os.Getenv("GO"), "go"), "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-tags", "podinfo,timetzdata,grpcnotrace", "-ldflags", "-s -w -funcalign=16 "+release, "-o", path, "./cmd/podcli")
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture,
		"GOARM="+strings.TrimPrefix(p.Variant, "v"), "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("podinfo for %s: %w\n%s", p, err, out)
	}
	return nil
}
