package store_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/store"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// limit is a module that limits bodies.
type limit struct{ bytes int64 }

func (*limit) Info() registry.Info { return registry.Info{Name: "limit", Phase: registry.Guard} }
func (l *limit) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Body = http.MaxBytesReader(w, r.Body, l.bytes)
	next(w, r)
}

func serve(t *testing.T, dir string, quota int) *registrytest.Server {
	t.Helper()
	vars := map[string]string{"PODINFO_DATA_PATH": dir, "PODINFO_STORE_MAX_BYTES": strconv.Itoa(quota)}
	return registrytest.Serve(t, vars, new(store.Module), &limit{1 << 20})
}

func hashOf(content string) string {
	sum := sha1.Sum([]byte(content))
	return hex.EncodeToString(sum[:])
}

// files returns the content of a directory's files by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			b = []byte("!" + err.Error())
		}
		out[e.Name()] = string(b)
	}
	return out
}

func TestWriteAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := serve(t, dir, 1<<20)
	want := map[string]string{}
	for method, content := range map[string]string{"POST": "hello", "PUT": "<b>\x00\xff" + strings.Repeat("x", 200_000), "post": ""} {
		hash := hashOf(content)
		want[hash] = content
		res, body := s.Call(t, strings.ToUpper(method), "/store", content)
		if res.StatusCode != 202 || body != fmt.Sprintf("{\n  \"hash\": %q\n}", hash) {
			t.Errorf("%s: %d %s", method, res.StatusCode, body)
		}
		for _, read := range []string{"GET", "HEAD"} {
			res, body = s.Call(t, read, "/store/"+hash, "")
			length := strconv.Itoa(len(content))
			if read == "HEAD" {
				content = ""
			}
			if res.StatusCode != 200 || body != content || res.Header.Get("Content-Length") != length {
				t.Errorf("%s: %d, %d bytes, %v", read, res.StatusCode, len(body), res.Header)
			}
			for name, value := range map[string]string{"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"} {
				if got := res.Header.Get(name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
		}
	}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, hashOf("directory")), 0o755); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir, 1<<20)
	for hash, want := range map[string]string{
		hashOf("absent"):              "404 file not found",
		hashOf("directory"):           "404 file not found",
		strings.ToUpper(hashOf("up")): "400 invalid hash",
		hashOf("long") + "0":          "400 invalid hash",
		"..%5c..%5cetc":               "400 invalid hash",
	} {
		res, body := s.Call(t, "GET", "/store/"+hash, "")
		code, message, _ := strings.Cut(want, " ")
		if strconv.Itoa(res.StatusCode) != code || body != fmt.Sprintf("{\n  \"code\": %s,\n  \"message\": %q\n}", code, message) {
			t.Errorf("%s: %d %s, want %s", hash, res.StatusCode, body, want)
		}
	}
}

func TestBodyErrorsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, 4<<20)
	if res, body := s.Call(t, "POST", "/store", strings.Repeat("x", 1<<20+1)); res.StatusCode != 413 || !strings.Contains(body, `"code": 413`) {
		t.Errorf("too large: %d %s", res.StatusCode, body)
	}
	if reply := sendHalf(t, s); !strings.HasPrefix(reply, "HTTP/1.1 400 ") || !strings.Contains(reply, "invalid request body") {
		t.Errorf("cut short: %s", reply)
	}
	if diff := cmp.Diff(map[string]string{}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	// The failed writes must not count against the quota.
	for i := range 4 {
		if res, body := s.Call(t, "POST", "/store", strings.Repeat(strconv.Itoa(i), 1<<20)); res.StatusCode != 202 {
			t.Errorf("%d: %d %s", i, res.StatusCode, body)
		}
	}
}

// sendHalf sends half of a body and returns the response.
func sendHalf(t *testing.T, s *registrytest.Server) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /store HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf")
	c.(*net.TCPConn).CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

// TestNoPartialFile checks during an upload that there is no file with the name
// of a hash before the last byte.
func TestNoPartialFile(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, 1<<20)
	body, upload := io.Pipe()
	req, err := http.NewRequest("POST", s.URL+"/store", body)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan []string, 1)
	go func() {
		upload.Write([]byte("first"))
		upload.Write([]byte(strings.Repeat("-", 100_000))) // returns when the client has sent most of it
		var hashes []string
		for name := range files(t, dir) {
			if len(name) == 40 {
				hashes = append(hashes, name)
			}
		}
		seen <- hashes
		upload.Write([]byte("last"))
		upload.Close()
	}()
	res, _ := registrytest.Do(t, req)
	if got := <-seen; res.StatusCode != 202 || got != nil {
		t.Errorf("%d, files during the upload: %v", res.StatusCode, got)
	}
	if _, ok := files(t, dir)[hashOf("first"+strings.Repeat("-", 100_000)+"last")]; !ok {
		t.Error("not stored")
	}
}

// block is what the smallest file that is not empty takes on the disk.
const block = 4096

func TestQuota(t *testing.T) {
	dir := t.TempDir()
	existing := hashOf("0123456789")
	for name, content := range map[string]string{existing: "0123456789", "tls.crt": strings.Repeat("x", 10*block)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, dir, 4*block)
	post := func(content string, want int) {
		t.Helper()
		res, body := s.Call(t, "POST", "/store", content)
		if res.StatusCode != want || want == 507 && body != "{\n  \"code\": 507,\n  \"message\": \"the store is full\"\n}" {
			t.Errorf("%d bytes: %d %s, want %d", len(content), res.StatusCode, body, want)
		}
	}
	post(strings.Repeat("a", 3*block+1), 507)
	post("0123456789", 202) // exists
	post("0123456789", 202)
	post(strings.Repeat("a", 2*block+1), 202)
	post("b", 507)
	post("", 202)
	// While the store is full, what exists is accepted.
	post(strings.Repeat("a", 2*block+1), 202)
	post("0123456789", 202)
	post("", 202)
	post(strings.Repeat("a", 2*block+2), 507)
	if got := len(files(t, dir)); got != 4 {
		t.Errorf("%d files, want 4", got)
	}
	if _, body := s.Call(t, "GET", "/store/"+existing, ""); body != "0123456789" {
		t.Errorf("the existing file reads %q", body)
	}
	// A store counts what it finds.
	if err := os.Remove(filepath.Join(dir, existing)); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, 4*block)
	post("b", 202)
	post("c", 507)
}

func TestFileQuota(t *testing.T) {
	dir := t.TempDir()
	s := registrytest.Serve(t, map[string]string{"PODINFO_DATA_PATH": dir, "PODINFO_STORE_MAX_FILES": "2"}, new(store.Module))
	for _, c := range []struct {
		content string
		code    int
	}{{"", 202}, {"a", 202}, {"b", 507}, {"a", 202}, {"", 202}, {"c", 507}} {
		if res, body := s.Call(t, "POST", "/store", c.content); res.StatusCode != c.code {
			t.Errorf("%q: %d %s, want %d", c.content, res.StatusCode, body, c.code)
		}
	}
	if got := len(files(t, dir)); got != 2 {
		t.Errorf("%d files, want 2", got)
	}
}

func TestConcurrentWrites(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, 40*block)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			content := strings.Repeat(strconv.Itoa(i%4), 10)
			if res, body := s.Call(t, "POST", "/store", content); res.StatusCode != 202 {
				t.Errorf("%d %s", res.StatusCode, body)
			}
			if _, body := s.Call(t, "GET", "/store/"+hashOf(content), ""); body != content {
				t.Errorf("read %q, want %q", body, content)
			}
		})
	}
	all.Wait()
	if got := len(files(t, dir)); got != 4 {
		t.Errorf("%d files, want 4", got)
	}
	// The quota counts four blocks, so exactly the rest fits.
	rest := strings.Repeat("r", 36*block)
	for content, code := range map[string]int{rest + "r": 507, rest: 202} {
		if res, _ := s.Call(t, "POST", "/store", content); res.StatusCode != code {
			t.Errorf("%d bytes: %d, want %d", len(content), res.StatusCode, code)
		}
	}
}

func TestDiskErrors(t *testing.T) {
	fails := func(s *registrytest.Server, method, path, message string) {
		t.Helper()
		res, body := s.Call(t, method, path, "x")
		if res.StatusCode != 500 || body != fmt.Sprintf("{\n  \"code\": 500,\n  \"message\": %q\n}", message) || !strings.Contains(s.Log.String(), `"msg":"`+message+`"`) {
			t.Errorf("%s %s: %d %s; log %s", method, path, res.StatusCode, body, s.Log)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := serve(t, file, 1<<20)
	fails(s, "POST", "/store", "writing file failed")
	fails(s, "GET", "/store/"+hashOf("x"), "reading file failed")

	dir := t.TempDir()
	// A file cannot be renamed to the name of a directory.
	if err := os.Mkdir(filepath.Join(dir, hashOf("x")), 0o755); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, 10*block)
	for range 11 { // a block each, one more than the quota
		fails(s, "PUT", "/store", "writing file failed")
	}
	if got := len(files(t, dir)); got != 1 {
		t.Errorf("%d directory entries, want 1", got)
	}
}

func TestStartRemovesTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{".podinfo-store-1": 2 * time.Hour, ".podinfo-store-2": 0, "other": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, dir, 10)
	if diff := cmp.Diff(map[string]string{".podinfo-store-2": "", "other": ""}, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestSettings(t *testing.T) {
	for _, key := range []string{"PODINFO_STORE_MAX_BYTES", "PODINFO_STORE_MAX_FILES"} {
		_, err := registry.New([]registry.Module{new(store.Module)}, registry.Env(map[string]string{key: "0"}))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%v, want an error about %s", err, key)
		}
	}
	app, err := registry.New([]registry.Module{new(store.Module)})
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range app.Mounted() {
		if rt.Label != "store" {
			t.Errorf("%s %s: label %q, want store", rt.Method, rt.Path, rt.Label)
		}
	}
}
