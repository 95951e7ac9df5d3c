package cache

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisServer keeps values on a Redis server, on the master that Sentinels
// name, or on a Cluster.
type redisServer struct {
	client redis.UniversalClient
	ttl    time.Duration
}

// redisOptions reads the URL of a server, or of several: Sentinels when the
// query names a master, and else nodes of a Cluster. What the URL does not set
// is set so that an operation, with its one retry, is over within Timeout.
func (m *Module) redisOptions(scheme, rest string) (*redis.UniversalOptions, error) {
	if scheme == "tcp" { // upstream's name for it
		scheme = "redis"
	}
	u, addrs, err := hosts(scheme, rest)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	master, cluster := query.Get("master_name"), query.Get("cluster") == "true"
	query.Del("master_name")
	query.Del("cluster")
	u.RawQuery = query.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	if len(addrs) > 1 && o.TLSConfig != nil {
		o.TLSConfig.ServerName = "" // each has a name of its own
	}
	half := m.Timeout / 2
	return &redis.UniversalOptions{
		Addrs: addrs, MasterName: master, IsClusterMode: cluster,
		Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig, Protocol: o.Protocol,
		ContextTimeoutEnabled:    true,
		DialerRetries:            1,
		DialTimeout:              cmp.Or(o.DialTimeout, half),
		ReadTimeout:              cmp.Or(o.ReadTimeout, half),
		WriteTimeout:             cmp.Or(o.WriteTimeout, half),
		MaxRetries:               cmp.Or(o.MaxRetries, 1),
		MinRetryBackoff:          cmp.Or(o.MinRetryBackoff, 5*time.Millisecond),
		MaxRetryBackoff:          cmp.Or(o.MaxRetryBackoff, 50*time.Millisecond),
		PoolSize:                 cmp.Or(o.PoolSize, maxConnections),
		PoolTimeout:              cmp.Or(o.PoolTimeout, m.Timeout),
		ConnMaxIdleTime:          cmp.Or(o.ConnMaxIdleTime, 5*time.Minute),
		PipelinePoolSize:         -1, // there are no pipelines
		ReadBufferSize:           4096,
		WriteBufferSize:          4096,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}

// hosts takes the list of hosts out of a URL, which can have only one.
func hosts(scheme, rest string) (u *url.URL, addrs []string, err error) {
	from := strings.LastIndexByte(rest, '@') + 1
	to := len(rest)
	if i := strings.IndexAny(rest[from:], "/?"); i >= 0 {
		to = from + i
	}
	for _, host := range strings.Split(rest[from:to], ",") {
		u, err = url.Parse(scheme + "://" + rest[:from] + strings.TrimSpace(host) + rest[to:])
		if err != nil || u.Hostname() == "" {
			return nil, nil, errors.New("no host")
		}
		addrs = append(addrs, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379")))
	}
	return u, addrs, nil
}

// maxConnections is how many connections there are at most to a server.
const maxConnections = 32

func newRedis(o *redis.UniversalOptions, ttl time.Duration) *redisServer {
	opts := *o
	dial := redis.NewDialer(&redis.Options{DialTimeout: o.DialTimeout, TLSConfig: o.TLSConfig})
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return failed{err: err}, nil
		}
		return c, nil
	}
	return &redisServer{redis.NewUniversalClient(&opts), ttl}
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
