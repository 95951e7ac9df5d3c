package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcachedServer stores values on memcached servers.
type memcachedServer struct {
	client *memcache.Client
	ttl    time.Duration
	slots  chan struct{} // full when maxConnections operations are running
}

// maxValue is the size limit of a value, in bytes. It is memcached's default
// limit of an item.
const maxValue = 1 << 20

// memcachedServers parses host[:port],… with 11211 as the default port.
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
		if host == "" || port == "" || strings.ContainsAny(host+port, "/@?#=; ") {
			return nil, errors.New("invalid address: want host[:port]")
		}
		out = append(out, server(net.JoinHostPort(host, port)))
	}
	return out, nil
}

// newMemcached uses half of timeout for dialing and half for the operation.
func newMemcached(s servers, timeout, ttl time.Duration) *memcachedServer {
	c := memcache.NewFromSelector(s)
	c.Timeout = timeout / 2
	c.MaxIdleConns = maxConnections
	return &memcachedServer{c, ttl, make(chan struct{}, maxConnections)}
}

// servers distributes keys over its members. It resolves a name each time it
// dials, unlike memcache.ServerList, which resolves it once.
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

// server is an address, host:port.
type server string

func (server) Network() string  { return "tcp" }
func (s server) String() string { return string(s) }

// do waits for a free slot and runs f. The client does not support contexts, so
// ctx ends the wait but not f, which ends with the client's timeout.
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

func (s *memcachedServer) get(ctx context.Context, key string) (v value, err error) {
	err = s.do(ctx, func() error {
		item, err := s.client.Get(memcachedKey(key))
		if errors.Is(err, memcache.ErrCacheMiss) {
			return errMiss
		}
		if err == nil {
			v.data = item.Value
		}
		return err
	})
	return v, err
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
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "SERVER_ERROR object too large"):
		return errTooLarge
	case strings.Contains(err.Error(), "SERVER_ERROR out of memory"):
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

// expiration converts ttl to memcached's format: whole seconds, 0 for no
// expiration, and Unix time for more than 30 days.
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

func (s *memcachedServer) beat(ctx context.Context, hostname, version string) error {
	return s.setFor(ctx, hostname, []byte(version), beatTTL)
}

func (s *memcachedServer) close() error { return s.client.Close() }

// hashPrefix starts a key that is a hash.
const hashPrefix = "podinfo-sha256-"

// memcachedKey returns key, or its hash when memcached does not accept key: the
// limit is 250 bytes, without spaces and control characters. It also hashes
// keys with the prefix of a hash, which could otherwise collide with one.
func memcachedKey(key string) string {
	forbidden := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if len(key) <= 250 && !strings.ContainsFunc(key, forbidden) && !strings.HasPrefix(key, hashPrefix) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hashPrefix + hex.EncodeToString(sum[:])
}
