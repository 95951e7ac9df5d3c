// Command embedded serves all stock modules as a handler.
package main

import (
	"log"
	"net/http"

	"github.com/seed-4591fe7d/podinfo"
)

func main() {
	app, err := podinfo.New()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", app))
}
