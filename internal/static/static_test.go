package static_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/static"
)

var (
	long  = strings.Repeat("body { color: red }\n", 100)
	short = "p{}"
)

func get(f http.Handler, method string, headers ...string) *http.Response {
	rec, r := httptest.NewRecorder(), httptest.NewRequest(method, "/", nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	f.ServeHTTP(rec, r)
	return rec.Result()
}

func TestFile(t *testing.T) {
	f := static.New("style.css", []byte(long))
	plain, zipped := get(f, "GET"), get(f, "GET", "Accept-Encoding", "gzip")
	for _, res := range []*http.Response{plain, zipped} {
		h := res.Header
		if res.StatusCode != 200 || h.Get("Content-Type") != "text/css; charset=utf-8" || h.Get("Vary") != "Accept-Encoding" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d %v", res.StatusCode, h)
		}
	}
	if body, _ := io.ReadAll(plain.Body); string(body) != long || plain.Header.Get("Content-Length") != "2000" || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("%q %v", body, plain.Header)
	}
	packed, _ := io.ReadAll(zipped.Body)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(z); string(body) != long || err != nil || zipped.Header.Get("Content-Encoding") != "gzip" || len(packed) > 200 {
		t.Errorf("%q %v %v", body, err, zipped.Header)
	}
	if plain.Header.Get("ETag") == zipped.Header.Get("ETag") {
		t.Error("the plain and the compressed content share a strong ETag")
	}
	if other := get(static.New("style.css", []byte(long+" ")), "GET"); other.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Error("different content has the same ETag")
	}
}

func TestNotModified(t *testing.T) {
	f := static.New("style.css", []byte(long))
	plain, zipped := get(f, "GET").Header.Get("ETag"), get(f, "GET", "Accept-Encoding", "gzip").Header.Get("ETag")
	for _, c := range []struct {
		accepts, match string
		code           int
	}{
		{"", plain, 304}, {"", "W/" + plain, 304}, {"", `"x", ` + plain, 304}, {"", "*", 304}, {"", zipped, 200}, {"", `"x"`, 200}, {"", "", 200},
		{"gzip", zipped, 304}, {"gzip", plain, 200},
	} {
		res := get(f, "GET", "Accept-Encoding", c.accepts, "If-None-Match", c.match)
		if body, _ := io.ReadAll(res.Body); res.StatusCode != c.code || (c.code == 304) != (len(body) == 0) || res.Header.Get("ETag") == "" {
			t.Errorf("%q %s: %d %v", c.accepts, c.match, res.StatusCode, res.Header)
		}
	}
}

func TestSmallFilesAreNotCompressed(t *testing.T) {
	f := static.New("a.js", []byte(short))
	res := get(f, "GET", "Accept-Encoding", "gzip")
	if body, _ := io.ReadAll(res.Body); string(body) != short || res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") != "" {
		t.Errorf("%q %v", body, res.Header)
	}
}

func TestMediaType(t *testing.T) {
	for name, want := range map[string]string{
		"a.js": "text/javascript; charset=utf-8", "a.css": "text/css; charset=utf-8", "a.html": "text/html; charset=utf-8",
		"a.json": "application/json; charset=utf-8", "a.svg": "image/svg+xml; charset=utf-8", "a.png": "image/png", "a": "application/octet-stream",
	} {
		if got := static.MediaType(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestDigest(t *testing.T) {
	a, b := static.Digest([]byte("a"), []byte("bc")), static.Digest([]byte("ab"), []byte("c"))
	if a == b || len(a) != 16 || a != static.Digest([]byte("a"), []byte("bc")) {
		t.Error(a, b)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "gzip": true, "GZip": true, "br, gzip": true, "gzip;q=0": false, "gzip; q=0.0": false, "gzip ; q = 0.1": true,
		"gzip;q=x": false, "identity": false, "xgzip": false,
	} {
		if got := static.AcceptsGzip(http.Header{"Accept-Encoding": {value}}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
