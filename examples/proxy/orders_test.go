package proxy

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// The shop books an order, but the client does not get the response and orders
// again. With a key there is one booking.
func TestOneBooking(t *testing.T) {
	for _, c := range []struct {
		key  string
		want int
	}{
		{"order-1", 1},
		{"", 2}, // the mistake that the key prevents
	} {
		synctest.Test(t, func(t *testing.T) { // with a fake clock that advances by itself
			shop := new(Shop)
			srv := podinfotest.Proxy(t, shop)
			srv.ScenarioFile("lost-response.yaml")

			booking, err := Order(t.Context(), srv.Client(), srv.URL, "tea", c.key)
			if err != nil {
				t.Fatal(err)
			}

			if got := len(shop.Bookings()); got != c.want {
				t.Errorf("key %q: %d bookings, want %d", c.key, got, c.want)
			}
			if c.key != "" && booking != "booking 1" {
				t.Error(booking)
			}
			attempts := srv.Requests("POST /orders")
			attempts.WantAnswers(t, "cut", "201")
			attempts.WantBackoff(t, 0, time.Second)
			if c.key != "" {
				attempts.WantSame(t, "Idempotency-Key")
			}
		})
	}
}
