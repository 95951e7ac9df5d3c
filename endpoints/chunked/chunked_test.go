package chunked_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/chunked"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/wait/waittest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFirstBytesAreSentImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(chunked.Module))
		began := time.Now()
		req, _ := http.NewRequest("PURGE", "http://test/chunked/1.5s", nil)
		res, err := waittest.Serve(t, app, time.Minute).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		first := make([]byte, len("{\n  \"delay\":"))
		if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "{\n  \"delay\":" || time.Since(began) != 0 {
			t.Errorf("%q after %v, %v", first, time.Since(began), err)
		}
		if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "application/json; charset=utf-8" {
			t.Errorf("%d, content type %q", res.StatusCode, got)
		}
		rest, err := io.ReadAll(res.Body)
		if err != nil || string(rest) != " 1.5\n}" || time.Since(began) != 1500*time.Millisecond {
			t.Errorf("%q after %v, %v", rest, time.Since(began), err)
		}
	})
}

func TestInvalidWaits(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_DELAY_MAX": "1m"}, new(chunked.Module))
	for path, code := range map[string]int{"/chunked/61": 400, "/chunked/-1s": 400, "/chunked/99999999999999999999": 400, "/chunked/abc": 404, "/chunked/": 404} {
		if res, body := s.Call(t, "GET", path, ""); res.StatusCode != code {
			t.Errorf("%s: %d %q, want %d", path, res.StatusCode, body, code)
		}
	}
	labels := map[string]string{"/chunked": "chunked", "/chunked/{seconds}": "chunked_wait_0_9"} // upstream's
	for _, rt := range s.App.Mounted() {
		if rt.Label != labels[rt.Path] {
			t.Errorf("%s: label %q", rt.Path, rt.Label)
		}
	}
}

// waits returns the durations of count requests without a given time, in order.
func waits(t *testing.T, env map[string]string, count int) (out []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, env, new(chunked.Module))
		for range count {
			began := time.Now()
			app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/chunked", nil))
			out = append(out, time.Since(began))
		}
	})
	return out
}

func TestRandomWait(t *testing.T) {
	for _, c := range []struct {
		timeout, max string
		want         []time.Duration // all durations that occur
	}{
		{"13s", "1h", []time.Duration{10 * time.Second, 11 * time.Second, 12 * time.Second}},
		{"10500ms", "1h", []time.Duration{10 * time.Second}},
		{"11s", "1h", []time.Duration{10 * time.Second}},
		{"10s", "1h", []time.Duration{5 * time.Second}},
		{"1s", "1h", []time.Duration{500 * time.Millisecond}},
		{"13s", "2s", []time.Duration{2 * time.Second}},
	} {
		got := waits(t, map[string]string{"PODINFO_HTTP_SERVER_TIMEOUT": c.timeout, "PODINFO_DELAY_MAX": c.max, "PODINFO_SEED": "1"}, 60)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, c.want) {
			t.Errorf("timeout %s: %v, want %v", c.timeout, got, c.want)
		}
	}
	again := func(seed string) []time.Duration { return waits(t, map[string]string{"PODINFO_SEED": seed}, 20) }
	if !slices.Equal(again("7"), again("7")) || slices.Equal(again("7"), again("8")) {
		t.Error("waits do not depend on the seed alone")
	}
}

func TestEndsWhenTheClientDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(chunked.Module))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/chunked/60", nil))
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCompletesAfterTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(chunked.Module))
		res, err := waittest.Serve(t, app, 2*time.Second).Get("http://test/chunked/60")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if string(body) != "{\n  \"delay\": 60\n}" || !slices.Equal(res.TransferEncoding, []string{"chunked"}) {
			t.Errorf("%q, %v, %v", body, err, res.TransferEncoding)
		}
	})
}

func TestHTTP10(t *testing.T) {
	s := registrytest.Serve(t, nil, new(chunked.Module))
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /chunked/0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if string(body) != "{\n  \"delay\": 0\n}" || err != nil || len(res.TransferEncoding) > 0 {
		t.Errorf("%q, %v, %v", body, err, res.TransferEncoding)
	}
}

func TestSettings(t *testing.T) {
	for _, key := range []string{"PODINFO_DELAY_MAX", "PODINFO_HTTP_SERVER_TIMEOUT"} {
		_, err := registry.New([]registry.Module{new(chunked.Module)}, registry.Env(map[string]string{key: "-1s"}))
		if bad, ok := errors.AsType[*registry.SettingError](err); !ok || !strings.HasPrefix(bad.Error(), key) {
			t.Error(key, err)
		}
	}
}
