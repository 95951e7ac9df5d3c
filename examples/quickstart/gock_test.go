package quickstart

import (
	"io"
	"net/http"
	"testing"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// gock: gock.New("https://api.example.com").Get("/users").MatchParam("page", "2").
// Reply(200).JSON(users), then gock.IsDone and gock.HasUnmatchedRequest.
func TestFromGock(t *testing.T) {
	srv := podinfotest.Config{Strict: true}.StartInMemory(t) // checks both at the end
	srv.Script("GET /users",
		podinfotest.MatchQuery("page", "2"),
		podinfotest.ReplyJSON(200, []string{"Ada", "Grace"}))

	// The code under test asks for its own host. No request leaves the process.
	client := &http.Client{Transport: srv.Watch(&http.Transport{DialContext: srv.DialContext})}
	res, err := client.Get("http://api.example.com/users?page=2")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != `["Ada","Grace"]` {
		t.Errorf("%q, %v", b, err)
	}
}
