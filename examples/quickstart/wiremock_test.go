package quickstart

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// WireMock: stubFor(post(urlPathMatching("/orders/.*")).withHeader("X-Tenant", equalTo("acme"))
// .withRequestBody(matchingJsonPath("$.sku", equalTo("7"))).willReturn(created().withBody(…))),
// a scenario of two states, verify(2, …) and findUnmatchedRequests.
func TestFromWireMock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /orders/{id}",
			podinfotest.MatchHeader("X-Tenant", "acme"),
			podinfotest.MatchJSON("$.sku", "7"),
			podinfotest.Fail(503, 1),
			podinfotest.ReplyTemplate(201, `{"id":"{{path "id"}}","sku":"{{json "$.sku"}}"}`).Header("Content-Type", "application/json"))

		for range 2 {
			req, err := http.NewRequest(http.MethodPost, srv.URL+"/orders/9", strings.NewReader(`{"sku":"7"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Tenant", "acme")
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
		srv.Requests("POST /orders/9").WantAnswers(t, "503", "201")
		srv.WantNoOthers(t)
	})
}
