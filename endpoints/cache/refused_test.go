package cache_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/seed-4591fe7d/podinfo/endpoints/cache"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// tracer records the spans of operations.
type tracer struct {
	mu    sync.Mutex
	spans []string
}

func (*tracer) Info() registry.Info { return registry.Info{Name: "tracer"} }

func (r *tracer) DatabaseSpan(ctx context.Context, op capability.DatabaseOperation) (context.Context, func(error, string)) {
	return ctx, func(err error, code string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.spans = append(r.spans, fmt.Sprintf("%s %s %s %s failed=%t %s", op.System, op.Namespace, op.Name, op.Server, err != nil, code))
	}
}

// TestRefusedWrites checks that a server that is full or read-only is called that,
// and that both are logged once.
func TestRefusedWrites(t *testing.T) {
	const (
		full     = "{\n  \"code\": 507,\n  \"message\": \"cache server is full\"\n}"
		readOnly = "{\n  \"code\": 503,\n  \"message\": \"cache server is read-only\"\n}"
	)
	for _, c := range []struct {
		what, before, after       string // commands
		code                      int
		want, status, line, again string
	}{
		{"full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", 507, full, "OOM", "cache server is full", "cache server accepts writes again"},
		{"a replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", 503, readOnly, "READONLY", "cache server is read-only", "cache server accepts writes again"},
	} {
		server := redisServer(t)
		client := redis.NewClient(&redis.Options{Addr: server.addr})
		t.Cleanup(func() { client.Close() })
		do := func(command string) {
			var args []any
			for word := range strings.FieldsSeq(command) {
				args = append(args, word)
			}
			if err := client.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		spans := new(tracer)
		s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": "redis://" + server.addr + "/2", "PODINFO_CACHE_REQUIRED": "true"}, new(cache.Module), spans)
		expect(t, s, "PUT", "k", "v", 202, "")
		do(c.before)
		for range 3 {
			expect(t, s, "PUT", "k", "w", c.code, c.want)
			expect(t, s, "GET", "k", "", 200, "v")
		}
		if err := s.App.Ready(t.Context()); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		do(c.after)
		expect(t, s, "PUT", "k", "x", 202, "")
		expect(t, s, "DELETE", "k", "", 202, "")
		expect(t, s, "GET", "k", "", 404, "")
		log := s.Log.String()
		for text, want := range map[string]int{`"msg":"` + c.line + `"`: 1, `"msg":"` + c.again + `"`: 1, "unavailable": 0} {
			if got := strings.Count(log, text); got != want {
				t.Errorf("%s: %d times %s, want %d: %s", c.what, got, text, want, log)
			}
		}
		set, get := "redis 2 SET "+server.addr+" failed=", "redis 2 GET "+server.addr+" failed=false "
		refused := set + "true " + c.status
		want := []string{set + "false ", refused, get, refused, get, refused, get, set + "false ", "redis 2 DEL " + server.addr + " failed=false ", get}
		if diff := cmp.Diff(want, spans.spans); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}

// TestFullMemcached is the same for a memcached without room.
func TestFullMemcached(t *testing.T) {
	s := serve(t, "memcached://"+memcachedServer(t, "-m", "2", "-M").addr)
	value := strings.Repeat("v", 100<<10)
	for i := range 100 {
		res, body := s.Call(t, "PUT", fmt.Sprintf("/cache/%d", i), value)
		if res.StatusCode == 202 {
			continue
		}
		if res.StatusCode != 507 || !strings.Contains(body, "cache server is full") {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		return
	}
	t.Error("the server never became full")
}

// TestForeignTypeInSpans checks the code of an error that is about one key.
func TestForeignTypeInSpans(t *testing.T) {
	server := redisServer(t)
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	t.Cleanup(func() { client.Close() })
	if err := client.RPush(t.Context(), "list", "x").Err(); err != nil {
		t.Fatal(err)
	}
	spans := new(tracer)
	s := registrytest.Serve(t, map[string]string{"PODINFO_CACHE_SERVER": "tcp://" + server.addr}, new(cache.Module), spans)
	expect(t, s, "GET", "list", "", 500, "*")
	if diff := cmp.Diff([]string{"redis 0 GET " + server.addr + " failed=true WRONGTYPE"}, spans.spans); diff != "" {
		t.Error(diff)
	}
}
