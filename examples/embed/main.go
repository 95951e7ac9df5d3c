// Command embed is a server that serves podinfo below /podinfo.
package main

import (
	"context"
	"io"
	"log"
	"net/http"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// handler returns the server's routes. stop stops podinfo.
func handler(ctx context.Context) (h http.Handler, stop func(context.Context) error, err error) {
	app, err := podinfo.New(registry.Env(map[string]string{
		"PODINFO_PREFIX":  "/podinfo",
		"PODINFO_MODULES": "none,health,status,delay", // only these modules
	}))
	if err != nil {
		return nil, nil, err
	}
	if err := app.Start(ctx); err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the server's own page") })
	mux.Handle("/podinfo/", app)
	return mux, app.Stop, nil
}

func main() {
	h, stop, err := handler(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	err = http.ListenAndServe("localhost:8080", h)
	stop(context.Background())
	log.Fatal(err)
}
