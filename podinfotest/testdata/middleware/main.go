// Command middleware serves a handler behind one middleware.
package main

import (
	"log"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/middleware/randomdelay"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

type page struct{}

func (*page) Info() registry.Info { return registry.Info{Name: "page"} }

func (*page) Routes() []registry.Route {
	return []registry.Route{{Method: http.MethodGet, Path: "/", Handler: func(w http.ResponseWriter, _ *http.Request) {
		reply.JSON(w, http.StatusOK, "hello")
	}}}
}

func main() {
	app, err := registry.New([]registry.Module{&randomdelay.Module{Max: 300, Unit: "ms"}, new(page)},
		registry.Env(map[string]string{"PODINFO_RANDOM_DELAY": "true"}))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", app))
}
