package ci

import (
	"net/http"
	"slices"
	"testing"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

func TestThirdAttemptSucceeds(t *testing.T) {
	testcontainers.SkipIfProviderIsNotHealthy(t) // without Docker
	podinfo, err := testcontainers.Run(t.Context(), "ghcr.io/seed-4591fe7d/podinfo:6.15.0",
		testcontainers.WithExposedPorts("9898/tcp"),
		testcontainers.WithEnv(map[string]string{"PODINFO_FAULTS": `
rules:
- name: first-two-fail
  match: { path: /echo, per: "header:x-request-id" }
  when: { first: 2 }
  fault: { status: 503 }
`}),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/readyz").WithPort("9898/tcp")))
	testcontainers.CleanupContainer(t, podinfo)
	if err != nil {
		t.Fatal(err)
	}
	url, err := podinfo.PortEndpoint(t.Context(), "9898/tcp", "http")
	if err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for range 3 { // your client retries by itself
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Id", "go")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
	if want := []int{503, 503, 202}; !slices.Equal(statuses, want) {
		t.Errorf("statuses %v, want %v", statuses, want)
	}
}
