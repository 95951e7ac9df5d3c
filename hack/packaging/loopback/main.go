// Command loopback serves an empty container registry on 127.0.0.1, in memory and
// without TLS, and below /git/ the Git repositories in a directory, to read. It prints
// its address and runs until it is interrupted.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	repositories := flag.String("git", "", "`directory` of bare Git repositories")
	flag.Parse()
	if err := run(*repositories); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		os.Exit(1)
	}
}

func run(repositories string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	mux := http.NewServeMux()
	mux.Handle("/", registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	if repositories != "" {
		handler, err := gitHandler(repositories)
		if err != nil {
			return err
		}
		mux.Handle("/git/", handler)
	}
	server := &http.Server{Handler: mux}
	go func() {
		<-stop
		_ = server.Close() // Serve returns the reason
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// gitHandler serves the repositories in a directory, by Git's own program.
func gitHandler(repositories string) (http.Handler, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	return &cgi.Handler{Path: git, Args: []string{"http-backend"}, Root: "/git", Env: []string{"GIT_PROJECT_ROOT=" + repositories, "GIT_HTTP_EXPORT_ALL=1"}}, nil
}
