// Command shop serves the shop of the example on port 8080.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/examples/proxy"
)

func main() {
	srv := &http.Server{Addr: "localhost:8080", Handler: new(proxy.Shop), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
