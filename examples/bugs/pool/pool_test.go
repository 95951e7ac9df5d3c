package pool

import (
	"net/http"
	"testing"
	"time"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestDeadConnectionsAreNotReused(t *testing.T) {
	bugtest.Run(t, deadConnectionsAreNotReused, forever, limited,
		"request 2: got dead connection, want 200")
}

func deadConnectionsAreNotReused(t testing.TB, transport func(dialer) http.RoundTripper) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("POST /bookings", podinfotest.Stale(), podinfotest.OK())
	client := &http.Client{Transport: srv.Watch(transport(srv.DialContext))}

	first := book(client, srv.URL+"/bookings")
	time.Sleep(50 * time.Second) // longer than the client keeps idle connections, shorter than the server
	second := book(client, srv.URL+"/bookings")

	srv.Attempts().WantAnswers(t, "200", "200")
	if first != nil || second != nil {
		t.Error(first, second)
	}
}
