package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/bradfitz/gomemcache/memcache"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/seed-4591fe7d/podinfo/endpoints/cache"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func serve(t *testing.T, server string, more ...string) *registrytest.Server {
	t.Helper()
	vars := map[string]string{"PODINFO_CACHE_SERVER": server}
	for i := 0; i+1 < len(more); i += 2 {
		vars["PODINFO_CACHE_"+more[i]] = more[i+1]
	}
	return registrytest.Serve(t, vars, new(cache.Module))
}

// expect sends a request and compares the status, and the body unless want is
// "*".
func expect(t *testing.T, s *registrytest.Server, method, key, body string, code int, want string) {
	t.Helper()
	res, got := s.Call(t, method, "/cache/"+key, body)
	if res.StatusCode != code || want != "*" && got != want {
		t.Errorf("%s %.80s: %d %.200q, want %d %.80q", method, key, res.StatusCode, got, code, want)
	}
}

// waitFor waits until condition is true.
func waitFor(t *testing.T, name string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timed out waiting for " + name)
		}
	}
}

const unavailable = "{\n  \"code\": 503,\n  \"message\": \"cache server is unavailable\"\n}"

// stores starts servers and returns a value of PODINFO_CACHE_SERVER for each
// kind of store.
func stores(t *testing.T) map[string]string {
	return map[string]string{
		"embedded":  "",
		"tcp":       "tcp://" + redisServer(t).addr,
		"redis":     "redis://:pass%20word@" + redisServer(t, "--requirepass", "pass word").addr + "/3",
		"memcached": "memcached://" + memcachedServer(t).addr + "," + memcachedServer(t).addr,
	}
}

func TestContract(t *testing.T) {
	for name, server := range stores(t) {
		t.Run(name, func(t *testing.T) {
			s := serve(t, server)
			expect(t, s, "GET", "k", "", 404, "")
			expect(t, s, "DELETE", "k", "", 202, "")
			expect(t, s, "POST", "k", "one", 202, "")
			expect(t, s, "GET", "k", "", 200, "one")
			expect(t, s, "PUT", "k", "<two>\x00\xff\r\n", 202, "")
			expect(t, s, "GET", "k", "", 200, "<two>\x00\xff\r\n")
			expect(t, s, "HEAD", "k", "", 200, "")
			expect(t, s, "DELETE", "k", "", 202, "")
			expect(t, s, "GET", "k", "", 404, "")
			expect(t, s, "PUT", "empty", "", 202, "")
			expect(t, s, "GET", "empty", "", 200, "")
			large := strings.Repeat("v", 1<<20-1000)
			expect(t, s, "PUT", "large", large, 202, "")
			expect(t, s, "GET", "large", "", 200, large)

			s.Call(t, "PUT", "/cache/raw", "x")
			res, _ := s.Call(t, "GET", "/cache/raw", "")
			for name, value := range map[string]string{"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"} {
				if got := res.Header.Get(name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
		})
	}
}

// TestKeys uses keys that a server might misread as protocol syntax or confuse
// with each other.
func TestKeys(t *testing.T) {
	long := strings.Repeat("k", 250)
	keys := []string{"a", "a b", "a\tb", "a\r\nflush_all\r\n", "\x00", "\x7f", "ü", "\xff", "🔑", "k:v", "*", "%2F", "?", long, long + "k", long + "kk", strings.Repeat("ä", 2000)}
	for name, server := range stores(t) {
		t.Run(name, func(t *testing.T) {
			s := serve(t, server)
			for i, key := range keys {
				expect(t, s, "PUT", url.PathEscape(key), fmt.Sprint(i), 202, "")
			}
			for i, key := range keys {
				expect(t, s, "GET", url.PathEscape(key), "", 200, fmt.Sprint(i))
				expect(t, s, "DELETE", url.PathEscape(key), "", 202, "")
				expect(t, s, "GET", url.PathEscape(key), "", 404, "")
			}
		})
	}
}

// TestHashedKeyCannotBeOverwritten writes to the key that memcached stores
// another key under.
func TestHashedKeyCannotBeOverwritten(t *testing.T) {
	server := memcachedServer(t)
	s := serve(t, "memcached://"+server.addr)
	expect(t, s, "PUT", "a%20b", "victim", 202, "")
	client := memcache.New(server.addr)
	t.Cleanup(func() { client.Close() })
	const name = "podinfo-sha256-c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65"
	if item, err := client.Get(name); err != nil || string(item.Value) != "victim" {
		t.Fatalf("not stored under %s: %v", name, err)
	}
	expect(t, s, "PUT", name, "attacker", 202, "")
	expect(t, s, "GET", "a%20b", "", 200, "victim")
	expect(t, s, "GET", name, "", 200, "attacker")
}

func TestTooLarge(t *testing.T) {
	const tooLarge = "{\n  \"code\": 413,\n  \"message\": \"value too large\"\n}"
	t.Run("embedded", func(t *testing.T) {
		s := serve(t, "", "MAX_BYTES", "1000")
		expect(t, s, "PUT", "key", strings.Repeat("x", 1000-128-3+1), 413, tooLarge)
		expect(t, s, "GET", "key", "", 404, "")
		expect(t, s, "PUT", "key", strings.Repeat("x", 1001), 413, "{\n  \"code\": 413,\n  \"message\": \"request body too large\"\n}")
		expect(t, s, "PUT", "key", strings.Repeat("x", 1000-128-3), 202, "")
		expect(t, s, "GET", "key", "", 200, "*")
	})
	t.Run("memcached", func(t *testing.T) {
		s := serve(t, "memcached://"+memcachedServer(t).addr, "REQUIRED", "true")
		expect(t, s, "PUT", "key", strings.Repeat("x", 1<<20+1), 413, tooLarge)
		expect(t, s, "PUT", "key", strings.Repeat("x", 1<<20), 413, tooLarge) // no room for the item's header
		if err := s.App.Ready(t.Context()); err != nil {
			t.Errorf("not ready: %v", err)
		}
		if strings.Contains(s.Log.String(), "unavailable") {
			t.Error(s.Log)
		}
	})
	t.Run("memcached with smaller items", func(t *testing.T) {
		s := serve(t, "memcached://"+memcachedServer(t, "-I", "512k").addr)
		expect(t, s, "PUT", "key", strings.Repeat("x", 600_000), 413, tooLarge)
	})
}

// TestOverTheMemoryBudget writes a value that fits into the store but not, as
// often as it is copied, into the budget.
func TestOverTheMemoryBudget(t *testing.T) {
	server := redisServer(t)
	for _, url := range []string{"", "redis://" + server.addr} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": url, "PODINFO_MEMORY_BUDGET": "100KiB"}, new(cache.Module))
		if res, body := s.Call(t, "PUT", "/cache/large", strings.Repeat("v", 60<<10)); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, `"code": 503`) {
			t.Errorf("%s: %d %v %s", url, res.StatusCode, res.Header, body)
		}
		expect(t, s, "GET", "large", "", 404, "")
		for range 10 { // more than the budget in total
			expect(t, s, "PUT", "small", strings.Repeat("v", 20<<10), 202, "")
			expect(t, s, "GET", "small", "", 200, "*")
		}
		if strings.Contains(s.Log.String(), "unavailable") {
			t.Errorf("logged as an outage: %s", s.Log)
		}
	}
	admin := redis.NewClient(&redis.Options{Addr: server.addr})
	t.Cleanup(func() { admin.Close() })
	if err := admin.Set(t.Context(), "large", strings.Repeat("v", 200<<10), 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": "redis://" + server.addr, "PODINFO_MEMORY_BUDGET": "100KiB"}, new(cache.Module))
	expect(t, s, "GET", "large", "", 503, "*")
}

// TestDerivedSize checks which size limit follows from the memory.
func TestDerivedSize(t *testing.T) {
	for _, c := range []struct {
		memory      int64
		set         string
		value, from string
	}{
		{64 << 20, "", "8MiB", "1/8 of 64MiB (the limit of the cgroup)"},
		{512 << 20, "", "64MiB", "default"},
		{4 << 30, "", "64MiB", "default"},
		{64 << 20, "20000000", "20000000", "environment"},
		{64 << 20, "67108864", "64MiB", "environment"},
	} {
		app, err := registry.New([]registry.Module{new(cache.Module)}, registry.MemoryLimit(c.memory, "the limit of the cgroup"), registry.Env(map[string]string{"PODINFO_CACHE_MAX_BYTES": c.set}))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range app.Settings() {
			if s.Key == "PODINFO_CACHE_MAX_BYTES" && (s.Value != c.value || string(s.Source) != c.from) {
				t.Errorf("%d bytes of memory and %q: %s from %s, want %s from %s", c.memory, c.set, s.Value, s.Source, c.value, c.from)
			}
		}
		if got := app.Get("cache").(*cache.Module).MaxBytes.String(); got != c.value {
			t.Errorf("%d bytes of memory and %q: %s, want %s", c.memory, c.set, got, c.value)
		}
	}
}

// TestReadYourWrite fills the cache with values that are read often and then
// reads each new value right after writing it.
func TestReadYourWrite(t *testing.T) {
	const limit = 1 << 20
	s := serve(t, "", "MAX_BYTES", fmt.Sprint(limit))
	for i := range 10 {
		key := fmt.Sprint("hot", i)
		expect(t, s, "PUT", key, strings.Repeat("h", 100_000), 202, "")
		for range 5 {
			expect(t, s, "GET", key, "", 200, "*")
		}
	}
	for i, size := range []int{1, 1000, 100_000, 600_000, 600_000, limit - 128 - 2, 500_000, 500_000, 500_000, 10} {
		value := strings.Repeat(fmt.Sprint(i), size)
		expect(t, s, "PUT", fmt.Sprint("k", i), value, 202, "")
		expect(t, s, "GET", fmt.Sprint("k", i), "", 200, value)
	}
	expect(t, s, "PUT", "k9", strings.Repeat("r", 400_000), 202, "") // grows in place
	expect(t, s, "GET", "k9", "", 200, strings.Repeat("r", 400_000))
}

// TestMemoryIsBounded writes twice as much as fits, from several clients,
// and measures the heap.
func TestMemoryIsBounded(t *testing.T) {
	const limit, workers = 2 << 20, 8
	for _, size := range []int{1, 100, 1000, 33_000} {
		before := heap()
		call := embedded(t, limit, "0s")
		writes := 2 * limit / (size + 128) / workers
		var all sync.WaitGroup
		for worker := range workers {
			all.Go(func() {
				for i := range writes {
					call("PUT", fmt.Sprintf("%d-%d?%0200d", worker, i, 0), make([]byte, size), 202)
				}
			})
		}
		all.Wait()
		// The map of the entries takes more or less than entryCost assumes.
		if got := heap() - before; got < limit*8/10 || got > limit*12/10 {
			t.Errorf("%d writes of %d bytes took %d bytes, the limit is %d", workers*writes, size, got, limit)
		}
		call("PUT", "last", nil, 202)
		call("GET", "last", nil, 200)
	}
}

// heap returns the size of all live objects, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // a sync.Pool releases its objects in the second collection
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestLeastRecentlyUsedIsEvicted(t *testing.T) {
	call := embedded(t, 10_000, "0s")
	for _, key := range []string{"a", "b", "c", "d"} {
		call("PUT", key, make([]byte, 2000), 202)
	}
	call("GET", "a", nil, 200)
	call("PUT", "b", make([]byte, 2000), 202)
	call("PUT", "new", make([]byte, 4000), 202) // fits when c and d are evicted
	for key, want := range map[string]int{"a": 200, "b": 200, "c": 404, "d": 404, "new": 200} {
		call("GET", key, nil, want)
	}
}

// TestExpiryFreesMemory leaves a full cache alone until its values expire.
func TestExpiryFreesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 << 20
		before := heap()
		call := embedded(t, limit, "1h")
		for i := range limit / 256 {
			call("PUT", fmt.Sprint(i), make([]byte, 100), 202)
			time.Sleep(time.Millisecond)
		}
		full := heap() - before
		time.Sleep(time.Hour)
		synctest.Wait()
		if left := heap() - before; full < limit*8/10 || left > limit/10 {
			t.Errorf("%d bytes when full, %d when all has expired", full, left)
		}
		call("GET", "0", nil, 404)
	})
}

func TestEmbeddedTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := embedded(t, 10_000, "1m")
		call("PUT", "a", nil, 202)
		time.Sleep(40 * time.Second)
		call("GET", "a", nil, 200) // must not extend the lifetime
		call("PUT", "b", nil, 202)
		time.Sleep(21 * time.Second)
		call("GET", "a", nil, 404)
		call("GET", "b", nil, 200)
		call("PUT", "b", nil, 202)
		time.Sleep(59 * time.Second)
		call("GET", "b", nil, 200)
	})
}

// TestExpiredValuesMakeRoom fills a cache and writes a large value as soon as
// the others have expired.
func TestExpiredValuesMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := embedded(t, 10_000, "100ms")
		for i := range 10 {
			call("PUT", fmt.Sprint("full", i), make([]byte, 800), 202)
			for range 8 {
				call("GET", fmt.Sprint("full", i), nil, 200)
			}
		}
		time.Sleep(101 * time.Millisecond)
		call("PUT", "large", make([]byte, 9000), 202)
		call("GET", "large", nil, 200)
	})
}

// embedded starts a cache in memory and returns a function that calls it.
func embedded(t *testing.T, maxBytes int, ttl string) func(method, key string, body []byte, want int) {
	app, _ := registrytest.New(t, map[string]string{"PODINFO_CACHE_TTL": ttl, "PODINFO_CACHE_MAX_BYTES": fmt.Sprint(maxBytes)}, new(cache.Module))
	return func(method, key string, body []byte, want int) {
		t.Helper()
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, httptest.NewRequest(method, "/cache/"+key, bytes.NewReader(body)))
		if rec.Code != want {
			t.Errorf("%s %s: %d, want %d", method, key, rec.Code, want)
		}
	}
}

func TestServerTTL(t *testing.T) {
	r, m := redisServer(t), memcachedServer(t)
	for _, server := range []string{"redis://" + r.addr, "memcached://" + m.addr} {
		s := serve(t, server, "TTL", "1s")
		expect(t, s, "PUT", "k", "v", 202, "")
		waitFor(t, "expiry on "+server, func() bool {
			res, _ := s.Call(t, "GET", "/cache/k", "")
			return res.StatusCode == 404
		})
		s = serve(t, server)
		expect(t, s, "PUT", "stays", "v", 202, "")
	}
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	t.Cleanup(func() { client.Close() })
	if ttl, err := client.TTL(t.Context(), "stays").Result(); err != nil || ttl != -1 {
		t.Errorf("without a TTL: %v %v", ttl, err)
	}
}

func TestHeartbeat(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	r, m := redisServer(t), memcachedServer(t)
	for _, server := range []string{"redis://" + r.addr + "/2", "memcached://" + m.addr} {
		mod := new(cache.Module)
		mod.BeatEvery(10 * time.Millisecond)
		s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": server}, mod)
		for range 3 { // each round deletes the heartbeat and waits for the next one
			waitFor(t, "heartbeat on "+server, func() bool {
				res, body := s.Call(t, "GET", "/cache/"+host, "")
				return res.StatusCode == 200 && body == "1.2.3"
			})
			expect(t, s, "DELETE", host, "", 202, "")
		}
	}
	client := redis.NewClient(&redis.Options{Addr: r.addr, DB: 2})
	t.Cleanup(func() { client.Close() })
	waitFor(t, "a heartbeat that expires", func() bool {
		ttl, err := client.TTL(t.Context(), host).Result()
		return err == nil && ttl > 30*time.Second && ttl <= time.Minute
	})
	s := serve(t, "")
	expect(t, s, "GET", host, "", 404, "")
}

// TestOutages kills, restarts and hangs real servers.
func TestOutages(t *testing.T) {
	for scheme, server := range map[string]*child{"redis": redisServer(t), "memcached": memcachedServer(t)} {
		t.Run(scheme, func(t *testing.T) {
			s := serve(t, scheme+"://"+server.addr, "REQUIRED", "true", "TIMEOUT", "200ms")
			down := func(when string) {
				t.Helper()
				for _, method := range []string{"PUT", "GET", "DELETE"} {
					expect(t, s, method, "k", "v", 503, unavailable)
				}
				if err := s.App.Ready(t.Context()); err == nil {
					t.Errorf("%s: ready", when)
				}
			}
			works := func(when string) {
				t.Helper()
				waitFor(t, "the server "+when, func() bool { return s.App.Ready(t.Context()) == nil })
				// Each connection from before the outage may fail once.
				waitFor(t, "the server "+when, func() bool {
					res, _ := s.Call(t, "PUT", "/cache/k", "v")
					return res.StatusCode == 202
				})
				expect(t, s, "GET", "k", "", 200, "v")
			}
			works("at start")
			server.kill()
			down("killed")
			server.start(t)
			works("restarted")
			server.hang(t)
			down("hanging")
			server.resume(t)
			works("resumed")
		})
	}
}

// TestTimeLimit checks that operations on a server that hangs end within the
// time limit. The clients' default limits are far longer.
func TestTimeLimit(t *testing.T) {
	for scheme, server := range map[string]*child{"redis": redisServer(t), "memcached": memcachedServer(t)} {
		s := serve(t, scheme+"://"+server.addr, "TIMEOUT", "100ms")
		server.hang(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 10 { // would take a minute with the clients' defaults
					req := httptest.NewRequestWithContext(ctx, "GET", "/cache/k", nil)
					rec := httptest.NewRecorder()
					s.App.ServeHTTP(rec, req)
					if rec.Code != 503 {
						t.Errorf("%d %s", rec.Code, rec.Body)
					}
				}
			})
		}
		all.Wait()
		if ctx.Err() != nil {
			t.Errorf("%s: 10 sequential operations took more than 20 s", scheme)
		}
		server.resume(t)
	}
}

func TestServerUnavailableAtStart(t *testing.T) {
	for _, scheme := range []string{"redis", "rediss", "memcached"} {
		server := newChild(t) // nothing listens
		s := serve(t, scheme+"://"+server.addr)
		expect(t, s, "GET", "k", "", 503, unavailable)
		if err := s.App.Ready(t.Context()); err != nil {
			t.Errorf("not ready, although no server is required: %v", err)
		}
		waitFor(t, "log", func() bool { return strings.Contains(s.Log.String(), "cache server is unavailable") })
	}
	// A name that does not resolve yet must not prevent the start.
	s := serve(t, "memcached://no-such-host.invalid")
	expect(t, s, "GET", "k", "", 503, unavailable)
}

func TestWrongPassword(t *testing.T) {
	server := redisServer(t, "--requirepass", "right")
	for _, user := range []string{":wr0ng-s3cret@", ":a,b:wr0ng-s3cret@", "someone:wr0ng-s3cret@", ""} {
		s := serve(t, "redis://"+user+server.addr, "REQUIRED", "true")
		expect(t, s, "GET", "k", "", 503, unavailable)
		err := s.App.Ready(t.Context())
		if err == nil || strings.Contains(err.Error(), "wr0ng-s3cret") {
			t.Errorf("%q: %v", user, err)
		}
		waitFor(t, "log", func() bool { return strings.Contains(s.Log.String(), "cache server is unavailable") })
		if strings.Contains(s.Log.String(), "wr0ng-s3cret") {
			t.Error(s.Log)
		}
	}
}

func TestUserAndDatabase(t *testing.T) {
	server := redisServer(t)
	admin := redis.NewClient(&redis.Options{Addr: server.addr, DB: 5})
	t.Cleanup(func() { admin.Close() })
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "alice", "on", ">s3:cr@t", "~*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "tcp://alice:s3%3Acr%40t@"+server.addr+"/5")
	expect(t, s, "PUT", "k", "v", 202, "")
	if got, err := admin.Get(t.Context(), "k").Result(); got != "v" {
		t.Errorf("in database 5: %q %v", got, err)
	}
}

// TestCluster uses a cluster of one node.
func TestCluster(t *testing.T) {
	server := redisServer(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	admin := redis.NewClient(&redis.Options{Addr: server.addr})
	t.Cleanup(func() { admin.Close() })
	if err := admin.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", "0", "16383").Err(); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"redis://" + server.addr + "?cluster=true", "redis://" + server.addr + ",127.0.0.1:1"} {
		s := serve(t, url)
		waitFor(t, "the cluster", func() bool { res, _ := s.Call(t, "PUT", "/cache/k", url); return res.StatusCode == 202 })
		expect(t, s, "GET", "k", "", 200, url)
		expect(t, s, "DELETE", "k", "", 202, "")
	}
}

// TestSentinel finds the master through two Sentinels, of which one is
// unavailable.
func TestSentinel(t *testing.T) {
	master := redisServer(t)
	host, port, _ := net.SplitHostPort(master.addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor mymaster "+host+" "+port+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := newChild(t)
	_, sentinelPort, _ := net.SplitHostPort(sentinel.addr)
	sentinel.args = []string{"redis-server", conf, "--sentinel", "--port", sentinelPort, "--bind", "127.0.0.1"}
	sentinel.start(t)
	s := serve(t, "redis://127.0.0.1:1,"+sentinel.addr+"/2?master_name=mymaster")
	waitFor(t, "the master", func() bool { res, _ := s.Call(t, "PUT", "/cache/k", "v"); return res.StatusCode == 202 })
	admin := redis.NewClient(&redis.Options{Addr: master.addr, DB: 2})
	t.Cleanup(func() { admin.Close() })
	if got, err := admin.Get(t.Context(), "k").Result(); got != "v" {
		t.Errorf("in database 2 of the master: %q %v", got, err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "redis")
	addr := newChild(t).addr
	_, port, _ := net.SplitHostPort(addr)
	redisServer(t, "--tls-port", port, "--tls-auth-clients", "no", "--tls-cert-file", dir+"/tls.crt", "--tls-key-file", dir+"/tls.key", "--tls-ca-cert-file", dir+"/tls.crt")
	s := serve(t, "rediss://"+addr+"?skip_verify=true")
	expect(t, s, "PUT", "k", "v", 202, "")
	expect(t, s, "GET", "k", "", 200, "v")
	s = serve(t, "rediss://"+addr) // the certificate is self-signed
	expect(t, s, "GET", "k", "", 503, unavailable)
	s = serve(t, "redis://"+addr)
	expect(t, s, "GET", "k", "", 503, unavailable)
}

func TestForeignType(t *testing.T) {
	server := redisServer(t)
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	t.Cleanup(func() { client.Close() })
	if err := client.RPush(t.Context(), "list", "x").Err(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "redis://"+server.addr, "REQUIRED", "true")
	expect(t, s, "GET", "list", "", 500, "{\n  \"code\": 500,\n  \"message\": \"cache get failed: the key holds a Redis type other than string\"\n}")
	if strings.Contains(s.Log.String(), "unavailable") {
		t.Errorf("logged as an outage: %s", s.Log)
	}
}

// limit is a module that limits bodies to 10 bytes.
type limit struct{}

func (limit) Info() registry.Info { return registry.Info{Name: "limit", Phase: registry.Guard} }
func (limit) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Body = http.MaxBytesReader(w, r.Body, 10)
	next(w, r)
}

func TestBodyLimit(t *testing.T) {
	s := registrytest.Serve(t, nil, new(limit), new(cache.Module))
	expect(t, s, "PUT", "k", "12345678901", 413, "{\n  \"code\": 413,\n  \"message\": \"request body too large\"\n}")
	expect(t, s, "GET", "k", "", 404, "")
}

func TestMetrics(t *testing.T) {
	read := func(set *metrics.Set) map[string]string {
		var b bytes.Buffer
		set.WritePrometheus(&b)
		out := map[string]string{}
		for line := range strings.Lines(b.String()) {
			if i := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") && i > 0 && strings.TrimSpace(line[i:]) != "0" {
				out[line[:i]] = strings.TrimSpace(line[i:])
			}
		}
		return out
	}
	count := func(op, result string) string {
		return fmt.Sprintf("podinfo_cache_operations_total{operation=%q,result=%q}", op, result)
	}
	set, m := metrics.NewSet(), new(cache.Module)
	m.ContributeMetrics(set)
	s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_MAX_BYTES": "1000"}, m)
	s.Call(t, "GET", "/cache/k", "")
	s.Call(t, "PUT", "/cache/k", "v")
	s.Call(t, "POST", "/cache/k", strings.Repeat("v", 1000))
	s.Call(t, "GET", "/cache/k", "")
	s.Call(t, "GET", "/cache/k", "")
	s.Call(t, "DELETE", "/cache/k", "")
	want := map[string]string{
		"podinfo_cache_up": "1", count("get", "hit"): "2", count("get", "miss"): "1",
		count("set", "ok"): "1", count("set", "too_large"): "1", count("delete", "ok"): "1",
	}
	if diff := cmp.Diff(want, read(set)); diff != "" {
		t.Error(diff)
	}

	server := redisServer(t)
	set, m = metrics.NewSet(), new(cache.Module)
	m.ContributeMetrics(set)
	s = registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": "redis://" + server.addr}, m)
	waitFor(t, "podinfo_cache_up", func() bool { return maps.Equal(read(set), map[string]string{"podinfo_cache_up": "1"}) })
	server.kill()
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		s.Call(t, method, "/cache/k", "v")
	}
	want = map[string]string{count("get", "error"): "1", count("set", "error"): "1", count("delete", "error"): "1"}
	if diff := cmp.Diff(want, read(set)); diff != "" {
		t.Error(diff)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ key, value string }{
		{"SERVER", "localhost:6379"}, {"SERVER", "localhost"}, {"SERVER", "http://localhost"}, {"SERVER", "redis://"}, {"SERVER", "redis://:6379"},
		{"SERVER", "tcp://host:port"}, {"SERVER", "redis://host/one"}, {"SERVER", "redis://host/1/2"}, {"SERVER", "redis://host?nonsense=1"},
		{"SERVER", "memcached://"}, {"SERVER", "memcached://a,,b"}, {"SERVER", "memcached://user:pw@a:1"}, {"SERVER", "memcached://a/1"}, {"SERVER", "://"},
		{"TIMEOUT", "0s"}, {"TIMEOUT", "-1s"}, {"TTL", "-1s"}, {"TTL", "1us"}, {"MAX_BYTES", "0"}, {"MAX_BYTES", "-1"},
	} {
		_, err := registry.New([]registry.Module{new(cache.Module)}, registry.Env(map[string]string{"PODINFO_CACHE_" + c.key: c.value}))
		if err == nil || !strings.Contains(err.Error(), "PODINFO_CACHE_"+c.key) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v, want an error of one line that names the variable", c.key, c.value, err)
		}
	}
	for _, server := range []string{
		"tcp://host", "redis://host", "rediss://user:pw@host:1/2", "redis://host?read_timeout=1s", "redis://[::1]:6379",
		"memcached://host", "memcached://a,b:1", "memcached://[::1],[::1]:2", "memcached://a/",
	} {
		if _, err := registry.New([]registry.Module{new(cache.Module)}, registry.Env(map[string]string{"PODINFO_CACHE_SERVER": server})); err != nil {
			t.Errorf("%s: %v", server, err)
		}
	}
	app, err := registry.New([]registry.Module{new(cache.Module)})
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range app.Mounted() {
		want := "cache_key" // as upstream labels the requests
		if rt.Method == http.MethodGet {
			want = "cache"
		}
		if rt.Label != want {
			t.Errorf("%s %s: label %q, want %s", rt.Method, rt.Path, rt.Label, want)
		}
	}
}

// TestRefusedServerIsNotShown gives servers with a password that is not
// percent-encoded, or not where it belongs.
func TestRefusedServerIsNotShown(t *testing.T) {
	const secret = "hush"
	for _, c := range []struct{ server, want string }{
		{"redis://:hu#hush@h", "%23 for #"}, {"redis://:12#hush@h:1", "%23 for #"}, {"redis://u:12#hush@h:1", "%23 for #"},
		{"redis://:hu/hush@h", "%2F for /"}, {"redis://u:12/hush@h", "%2F for /"}, {"redis://u:12/3@hush", "%2F for /"},
		{"redis://:hu?hush@h", "%3F for ?"}, {"redis://u:12?hush=1@h", "%3F for ?"}, {"redis://u:12?db=1@hush", "%3F for ?"},
		{"redis://:hu@hush @h", "%40 for @"}, {"redis://:hu hush@h", "percent-encode"}, {"redis://:hu%hush@h", "percent-encode"},
		{"redis://h:6379?password=hush", "percent-encode"}, {"redis://h/hush", "percent-encode"}, {"redis://h#hush", "percent-encode"},
		{"h.redis.cache.windows.net:6380,password=hush=,ssl=True,abortConnect=False", "rediss://:password@host:port"},
		{"tcp://h:6380,password=hush=,ssl=True", "rediss://:password@host:port"}, {"rediss://h:6380,Password=hush", "rediss://:password@host:port"},
		{"memcached://h:1,password=hush", "memcached://"}, {"memcached://u:hush@h", "memcached://"}, {"hush", "redis://"},
	} {
		_, err := registry.New([]registry.Module{new(cache.Module)}, registry.Env(map[string]string{"PODINFO_CACHE_SERVER": c.server}))
		if err == nil || !strings.Contains(err.Error(), "REDACTED") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", c.server, err)
		}
	}
}
