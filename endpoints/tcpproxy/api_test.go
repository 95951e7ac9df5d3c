package tcpproxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
)

// TestChangesThroughTheAPIAreLogged checks the log line of each request that may
// change something.
func TestChangesThroughTheAPIAreLogged(t *testing.T) {
	m := new(Module)
	env := registrytest.Vars("PODINFO_FAULTS=true PODINFO_TCP_PROXY_TOXIPROXY_API=true PODINFO_HOST=127.0.0.1")
	_, log := registrytest.New(t, env, new(faults.Module), m)
	mux := http.NewServeMux()
	for _, rt := range m.AdminRoutes() {
		mux.HandleFunc(rt.Method+" "+rt.Path, rt.Handler)
	}
	api := httptest.NewServer(mux)
	defer api.Close()
	const changed, failed = `"msg":"proxies changed through the API of toxiproxy"`, `"msg":"change through the API of toxiproxy failed"`
	for _, c := range []struct {
		request, body string
		status        int
		want          string // in the log
	}{
		{"POST /proxies", `{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}`, 201, changed},
		{"POST /proxies", `{"name": "loop", "listen": "127.0.0.1:1", "upstream": "localhost:1"}`, 400, `"error":"bad request body: the upstream is the proxy itself: use another port"`},
		{"POST /proxies/db/toxics", `{"type": "latency", "stream": "UpStream"}`, 200, changed},
		{"POST /proxies/db/toxics", `{"type": "latency", "stream": "sideways"}`, 400, failed},
		{"PATCH /proxies/db/toxics/latency_UpStream", `{"toxicity": 0.5}`, 200, changed},
		{"DELETE /proxies/db/toxics/latency_UpStream", "", 204, changed},
		{"POST /proxies/db", `{"enabled": false}`, 200, changed},
		{"POST /populate", `[{"name": "c", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}, {"name": "b", "listen": "nowhere", "upstream": "127.0.0.1:1"}]`, 500, failed},
		{"POST /reset", "", 204, changed},
		{"DELETE /proxies/db", "", 204, changed},
		{"DELETE /proxies/db", "", 404, failed},
		{"GET /proxies", "", 200, ""},
		{"GET /proxies/db", "", 404, ""},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		before := len(log.String())
		req, _ := http.NewRequestWithContext(t.Context(), method, api.URL+path, strings.NewReader(c.body))
		res, err := api.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		line := log.String()[before:]
		if res.StatusCode != c.status || !strings.Contains(line, c.want) || strings.Contains(line, "toxiproxy") != (c.want != "") || c.want != "" && !strings.Contains(line, `"request":"`+c.request+`"`) {
			t.Errorf("%s: %s %s: %s", c.request, res.Status, body, line)
		}
	}
}
