package cache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-4591fe7d/podinfo/endpoints/cache"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// TestUpstreamsEntries: an entry in Redis is what upstream 6.14.1 stores for the
// same request (the key as in the path, the body as it was sent, a string that does
// not expire), so that pods of both can share a server.
func TestUpstreamsEntries(t *testing.T) {
	const key, value = "bytes", "\x00\xff\r\nhello" // recorded
	server := redisServer(t)
	admin := redis.NewClient(&redis.Options{Addr: server.addr})
	t.Cleanup(func() { admin.Close() })
	s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": "tcp://" + server.addr}, new(cache.Module))

	expect(t, s, "POST", key, value, 202, "")
	if got, err := admin.Get(t.Context(), key).Result(); err != nil || got != value {
		t.Errorf("stored %q, %v", got, err)
	}
	if ttl, err := admin.TTL(t.Context(), key).Result(); err != nil || ttl != -time.Nanosecond { // -1: never
		t.Errorf("expires after %v, %v", ttl, err)
	}

	for _, value := range []string{value, ""} {
		if err := admin.Set(t.Context(), "upstreams", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		expect(t, s, "GET", "upstreams", "", 200, value)
	}
	expect(t, s, "DELETE", "upstreams", "", 202, "")
	if n, err := admin.Exists(t.Context(), "upstreams").Result(); err != nil || n != 0 {
		t.Errorf("deleted: %d, %v", n, err)
	}
}
