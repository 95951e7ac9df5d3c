package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcachedServer keeps values on memcached servers.
type memcachedServer struct {
	client  *memcache.Client
	ttl     time.Duration
	servers servers
	slots   chan struct{} // one for each operation that may be under way
}

// maxValue is the size limit of a value, in bytes: that of an item of
// memcached, unless it was started with another.
const maxValue = 1 << 20

// memcachedServers reads host[:port],… with memcached's own port as default.
func memcachedServers(list string) (servers, error) {
	var out servers
	for _, s := range strings.Split(strings.TrimSuffix(list, "/"), ",") {
		if !strings.Contains(s, ":") || strings.HasSuffix(s, "]") {
			s += ":11211"
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return nil, err
		}
		if host == "" || port == "" || strings.ContainsAny(host+port, "/@? ") {
			return nil, errors.New("want host[:port]")
		}
		out = append(out, server(net.JoinHostPort(host, port)))
	}
	return out, nil
}

// newMemcached gives half of timeout to dialling and half to what follows.
func newMemcached(s servers, timeout, ttl time.Duration) *memcachedServer {
	c := memcache.NewFromSelector(s)
	c.Timeout = timeout / 2
	c.MaxIdleConns = maxConnections
	return &memcachedServer{c, ttl, s, make(chan struct{}, maxConnections)}
}

// servers spreads keys over its members. Names are resolved when they are
// dialled: the client's own list does that once, for ever.
type servers []net.Addr

func (s servers) PickServer(key string) (net.Addr, error) {
	return s[crc32.ChecksumIEEE([]byte(key))%uint32(len(s))], nil
}

func (s servers) Each(f func(net.Addr) error) error {
	for _, addr := range s {
		if err := f(addr); err != nil {
			return err
		}
	}
	return nil
}

// server is the address of one, host:port.
type server string

func (server) Network() string  { return "tcp" }
func (s server) String() string { return string(s) }

// do runs f when a slot is free. The client knows no contexts: what was begun
// lasts until its own timeout.
func (s *memcachedServer) do(ctx context.Context, f func() error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

func (s *memcachedServer) get(ctx context.Context, key string) (value []byte, err error) {
	err = s.do(ctx, func() error {
		item, err := s.client.Get(memcachedKey(key))
		if errors.Is(err, memcache.ErrCacheMiss) {
			return errMiss
		}
		if err == nil {
			value = item.Value
		}
		return err
	})
	return value, err
}

func (s *memcachedServer) set(ctx context.Context, key string, value []byte) error {
	return s.setFor(ctx, key, value, s.ttl)
}

func (s *memcachedServer) setFor(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > maxValue {
		return errTooLarge
	}
	item := &memcache.Item{Key: memcachedKey(key), Value: value, Expiration: expiration(ttl, time.Now())}
	err := s.do(ctx, func() error { return s.client.Set(item) })
	if err != nil && strings.Contains(err.Error(), "SERVER_ERROR object too large") {
		return errTooLarge
	}
	return err
}

// expiration is ttl in memcached's terms: in whole seconds, none for 0, and a
// date beyond 30 days.
func expiration(ttl time.Duration, now time.Time) int32 {
	seconds := int64((ttl + time.Second - 1) / time.Second)
	if ttl > 30*24*time.Hour {
		seconds += now.Unix()
	}
	return int32(min(seconds, 1<<31-1))
}

func (s *memcachedServer) delete(ctx context.Context, key string) error {
	return s.do(ctx, func() error {
		err := s.client.Delete(memcachedKey(key))
		if errors.Is(err, memcache.ErrCacheMiss) {
			return nil
		}
		return err
	})
}

func (s *memcachedServer) ping(ctx context.Context) error { return s.do(ctx, s.client.Ping) }

func (s *memcachedServer) beat(ctx context.Context, name, version string) error {
	return s.setFor(ctx, name, []byte(version), beatLasts)
}

func (s *memcachedServer) close() error { return s.client.Close() }

// hashed starts the keys that stand for those memcached cannot hold.
const hashed = "podinfo-sha256-"

// memcachedKey is key, or its hash when memcached cannot hold it: its limit is
// 250 bytes, without spaces and controls. A key that looks like a hash is
// hashed too, so that it cannot stand for another.
func memcachedKey(key string) string {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if len(key) <= 250 && !strings.ContainsFunc(key, odd) && !strings.HasPrefix(key, hashed) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hashed + hex.EncodeToString(sum[:])
}
