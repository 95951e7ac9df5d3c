package quickstart

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// pay is the client under test: it tries again after 1 s, 2 s, 4 s and 8 s.
func pay(ctx context.Context, client *http.Client, url string) error {
	err := errors.New("no attempt")
	for wait := time.Second; wait <= 16*time.Second; wait *= 2 {
		if err = attempt(ctx, client, url); err == nil {
			return nil
		}
		time.Sleep(wait)
	}
	return err
}

func attempt(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"amount": 42}`))
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", "order-1")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not paid: %s", res.Status)
	}
	return nil
}

func TestPayKeepsTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // with a fake clock that advances by itself
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay",
			podinfotest.Fail(503, 2),         // two attempts fail with 503
			podinfotest.Delay(2*time.Minute), // longer than the client's timeout
			podinfotest.Reset(),              // TCP RST
			podinfotest.OK())

		if err := pay(t.Context(), srv.Client(), srv.URL+"/api/pay"); err != nil {
			t.Fatal(err)
		}

		attempts := srv.Requests("POST /api/pay")
		attempts.WantAnswers(t, "503", "503", "client left", "cut", "200")
		attempts.WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second, 8*time.Second) // exactly
		attempts.WantSame(t, "Idempotency-Key")
	})
}
