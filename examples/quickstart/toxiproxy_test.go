package quickstart

import (
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// toxiproxy: proxy.AddToxic("slow", "latency", "downstream", 1, Attributes{"latency": 50}),
// then client.Populate and proxy.Disable for the next connection.
func TestFromToxiproxy(t *testing.T) {
	target := podinfotest.Start(t) // in your test the address of a Redis or Postgres
	proxy := podinfotest.TCPProxy(t, target.URL[len("http://"):])
	proxy.Script(
		podinfotest.Delay(50*time.Millisecond), // the first connection is slow
		podinfotest.Reset(),                    // the second one is reset
		podinfotest.OK())

	client := target.Client()
	for _, works := range []bool{true, false, true} {
		client.CloseIdleConnections() // each request has a connection of its own
		res, err := client.Get("http://" + proxy.Addr + "/version")
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != works {
			t.Errorf("%v, want success: %v", err, works)
		}
	}
}
