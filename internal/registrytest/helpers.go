package registrytest

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Vars returns the variables in a text such as "A=1 B=2". A comma does not end a
// value, even with a space behind it.
func Vars(s string) map[string]string {
	out := map[string]string{}
	for _, kv := range strings.Fields(strings.ReplaceAll(s, ", ", ",")) {
		k, v, _ := strings.Cut(kv, "=")
		out[k] = v
	}
	return out
}

// Environ returns the variables that are not settings, in the form of os.Environ.
func Environ(vars map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !strings.HasPrefix(name, registry.EnvPrefix) {
			out = append(out, name+"="+vars[name])
		}
	}
	return out
}

// FreePort returns a port that nothing listens on. It is below those that the kernel
// gives to outgoing connections.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// Send sends a request on a connection of its own, with name, value pairs as headers,
// and returns the body of the response. It returns "" when the server cuts the
// connection.
func Send(t testing.TB, method, url string, headers ...string) string {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// Rescue is a module that turns panics into http.ErrAbortHandler, which net/http
// does not log.
type Rescue struct{}

// Info returns the module's name and phase.
func (Rescue) Info() registry.Info { return registry.Info{Name: "rescue", Phase: registry.Edge} }

// ServeHTTP serves the request.
func (Rescue) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	defer func() {
		if recover() != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	next(w, r)
}

// Race reports whether the tests were built with -race.
func Race() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
