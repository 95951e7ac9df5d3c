package cache

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/redis/go-redis/v9"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// SharedCounts implements [capability.SharedCounter]. It returns nil without a
// server.
func (m *Module) SharedCounts() capability.SharedCounts {
	if m.Server == "" {
		return nil
	}
	return shared{m}
}

// shared implements capability.SharedCounts.
type shared struct{ *Module }

var errNotStarted = errors.New("the module was not started")

// An adder is a store on a server that replicas have in common.
type adder interface {
	add(ctx context.Context, key string, add uint64, lifetime time.Duration) (uint64, error)
}

func (s shared) Timeout() time.Duration { return s.Module.Timeout }

func (s shared) Add(ctx context.Context, key string, add uint64, lifetime time.Duration) (n uint64, err error) {
	store, ok := s.store.(adder)
	if !ok {
		return 0, errNotStarted
	}
	err = s.withTimeout(ctx, func(ctx context.Context) error {
		n, err = store.add(ctx, key, add, lifetime)
		return err
	})
	return n, err
}

// addScript adds to a number and extends its lifetime, in milliseconds, in one
// round trip.
var addScript = redis.NewScript(`local n = redis.call("INCRBY", KEYS[1], ARGV[1]) redis.call("PEXPIRE", KEYS[1], ARGV[2]) return n`)

func (s *redisServer) add(ctx context.Context, key string, add uint64, lifetime time.Duration) (uint64, error) {
	return addScript.Run(ctx, s.client, []string{key}, add, lifetime.Milliseconds()).Uint64()
}

// add needs a second round trip for the first number of a key, and a third if
// another replica was faster. memcached does not extend the lifetime.
func (s *memcachedServer) add(ctx context.Context, key string, add uint64, lifetime time.Duration) (n uint64, err error) {
	key = memcachedKey(key)
	err = s.do(ctx, func() error {
		if n, err = s.client.Increment(key, add); !errors.Is(err, memcache.ErrCacheMiss) {
			return err
		}
		n = add
		first := &memcache.Item{Key: key, Value: strconv.AppendUint(nil, add, 10), Expiration: expiration(lifetime, time.Now())}
		if err = s.client.Add(first); errors.Is(err, memcache.ErrNotStored) {
			n, err = s.client.Increment(key, add)
		}
		return err
	})
	return n, err
}
