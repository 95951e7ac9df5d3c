// Command publish pushes the Helm chart, or the kustomization in the format that
// Flux reads, to a registry. It uses the credentials of docker, and plain HTTP on
// this machine. The last line that it prints is the digest.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	var a artifact
	flag.StringVar(&a.dir, "dir", "", "`directory` of the chart or the kustomization")
	flag.StringVar(&a.to, "to", "", "`repository` to push to, such as ghcr.io/OWNER/charts")
	flag.StringVar(&a.version, "version", "", "`version` to publish")
	flag.StringVar(&a.source, "source", "", "`URL` of the repository that the artifact comes from")
	flag.StringVar(&a.commit, "commit", "", "`commit` that the artifact comes from")
	flag.Func("created", "`time` of the commit, in seconds since 1970", func(text string) error {
		var seconds int64
		_, err := fmt.Sscan(text, &seconds)
		a.created = time.Unix(seconds, 0).UTC()
		return err
	})
	flag.BoolVar(&a.latest, "latest", false, "also move the tag latest of the kustomization")
	flag.Parse()
	digest, err := a.push(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

// An artifact is a directory to push, and where it comes from.
type artifact struct {
	dir, to, version, source, commit string
	created                          time.Time
	latest                           bool
}

func (a artifact) push(kind string) (digest string, err error) {
	if a.dir == "" || a.to == "" || a.version == "" {
		return "", fmt.Errorf("-dir, -to and -version are required")
	}
	switch kind {
	case "chart":
		return a.chart()
	case "kustomization":
		return a.kustomization()
	default:
		return "", fmt.Errorf("unknown artifact %q: want chart or kustomization", kind)
	}
}

// plain reports whether the registry is on this machine, where it may have no TLS.
func (a artifact) plain() bool {
	return strings.HasPrefix(a.to, "127.0.0.1:") || strings.HasPrefix(a.to, "localhost:")
}
