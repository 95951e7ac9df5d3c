package token

import (
	"context"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestTokenIsRefreshedOnce(t *testing.T) {
	bugtest.Run(t, tokenIsRefreshedOnce, stampede, shared,
		"6 requests to POST /oauth/token, want 2; 5 of them at the same time")
}

func tokenIsRefreshedOnce(t testing.TB, newClient func(context.Context, *clientcredentials.Config) func(url string) error) {
	srv := podinfotest.StartInMemory(t)
	// Without a delay: oauth2 holds a mutex meanwhile, and the clock of a bubble stands
	// still while a goroutine waits for one.
	srv.Script("POST /oauth/token", podinfotest.ReplyJSON(200, map[string]any{
		"access_token": "t1", "token_type": "Bearer", "expires_in": 60,
	}))
	srv.Script("GET /orders", podinfotest.OK())
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, srv.Client())
	get := newClient(ctx, &clientcredentials.Config{ClientID: "shop", ClientSecret: "s3cr3t", TokenURL: srv.URL + "/oauth/token"})

	if err := get(srv.URL + "/orders"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Minute) // the token expires
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := get(srv.URL + "/orders"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	srv.Requests("POST /oauth/token").WantCount(t, 2)
	srv.Requests("GET /orders").WantHeader(t, "Authorization", "Bearer t1")
}
