package cache

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisServer keeps values on a Redis server.
type redisServer struct {
	client *redis.Client
	ttl    time.Duration
}

// redisOptions reads the URL of a server. What it does not set is set so that
// an operation, with its one retry, is over within Timeout.
func (m *Module) redisOptions(scheme, rest string) (*redis.Options, error) {
	if scheme == "tcp" { // upstream's name for it
		scheme = "redis"
	}
	address := scheme + "://" + rest
	if u, err := url.Parse(address); err != nil || u.Hostname() == "" {
		return nil, errors.New("no host")
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	half := m.Timeout / 2
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1
	o.DialTimeout = cmp.Or(o.DialTimeout, half)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, half)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, half)
	o.MaxRetries = cmp.Or(o.MaxRetries, 1)
	o.MinRetryBackoff = cmp.Or(o.MinRetryBackoff, 5*time.Millisecond)
	o.MaxRetryBackoff = cmp.Or(o.MaxRetryBackoff, 50*time.Millisecond)
	o.PoolSize = cmp.Or(o.PoolSize, maxConnections)
	o.PoolTimeout = cmp.Or(o.PoolTimeout, m.Timeout)
	o.ConnMaxIdleTime = cmp.Or(o.ConnMaxIdleTime, 5*time.Minute)
	o.PipelinePoolSize = -1 // there are no pipelines
	o.ReadBufferSize, o.WriteBufferSize = 4096, 4096
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// maxConnections is how many connections there are at most to a server.
const maxConnections = 32

func newRedis(o *redis.Options, ttl time.Duration) *redisServer {
	opts := *o
	dial := redis.NewDialer(&opts)
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return failed{err: err}, nil
		}
		return c, nil
	}
	return &redisServer{redis.NewClient(&opts), ttl}
}

// failed stands for a connection that could not be made. Given the error
// itself, the client's pool writes to standard error every time, and dials on
// in a goroutine that outlives it.
type failed struct {
	net.Conn
	err error
}

func (f failed) Read([]byte) (int, error)       { return 0, f.err }
func (f failed) Write([]byte) (int, error)      { return 0, f.err }
func (failed) Close() error                     { return nil }
func (failed) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (failed) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (failed) SetDeadline(time.Time) error      { return nil }
func (failed) SetReadDeadline(time.Time) error  { return nil }
func (failed) SetWriteDeadline(time.Time) error { return nil }

func (s *redisServer) get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.client.Get(ctx, key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, errMiss
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return nil, errForeign
	}
	return value, err
}

func (s *redisServer) set(ctx context.Context, key string, value []byte) error {
	return s.client.Set(ctx, key, value, s.ttl).Err()
}

func (s *redisServer) delete(ctx context.Context, key string) error {
	return s.client.Del(ctx, key).Err()
}

func (s *redisServer) ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

func (s *redisServer) beat(ctx context.Context, name, version string) error {
	return s.client.Set(ctx, name, version, beatLasts).Err()
}

func (s *redisServer) close() error { return s.client.Close() }
