package cache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-4591fe7d/podinfo/endpoints/cache"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// Numbers are added up on the server, and expire.
func TestSharedCounts(t *testing.T) {
	r := redisServer(t)
	for _, server := range []string{"redis://" + r.addr, "memcached://" + memcachedServer(t).addr} {
		m := new(cache.Module)
		registrytest.New(t, map[string]string{"PODINFO_CACHE_SERVER": server}, m)
		counts := m.SharedCounts()
		for _, c := range []struct {
			key       string
			add, want uint64
		}{{"a", 1, 1}, {"a", 1, 2}, {"b c", 3, 3}, {"a", 5, 7}, {"b c", 1, 4}} {
			if n, err := counts.Add(t.Context(), c.key, c.add, time.Hour); n != c.want || err != nil {
				t.Errorf("%s: %s + %d: %d %v, want %d", server, c.key, c.add, n, err, c.want)
			}
		}
	}
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer client.Close()
	if ttl := client.PTTL(t.Context(), "a").Val(); ttl < 59*time.Minute || ttl > time.Hour {
		t.Errorf("expires in %v", ttl)
	}
	if new(cache.Module).SharedCounts() != nil {
		t.Error("counts without a server")
	}
}
