package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisServer stores values on a Redis server, on the master that Sentinels
// report, or on a Cluster.
type redisServer struct {
	client redis.UniversalClient
	ttl    time.Duration
}

// redisOptions parses the URL of one server or of several. Several servers are
// Sentinels if the query has master_name, otherwise nodes of a Cluster. Limits
// that the URL leaves out are set so that an operation and its one retry end
// within Timeout.
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
		o.TLSConfig.ServerName = "" // the dialer takes it from each address
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
		PipelinePoolSize:         -1, // pipelines are not used
		ReadBufferSize:           4096,
		WriteBufferSize:          4096,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}

// hosts parses a URL with a comma-separated list of hosts, which package url
// cannot. It returns the addresses of all hosts and the URL of the last one.
func hosts(scheme, rest string) (u *url.URL, addrs []string, err error) {
	from := strings.LastIndexByte(rest, '@') + 1
	to := len(rest)
	if i := strings.IndexAny(rest[from:], "/?"); i >= 0 {
		to = from + i
	}
	for _, host := range strings.Split(rest[from:to], ",") {
		u, err = url.Parse(scheme + "://" + rest[:from] + strings.TrimSpace(host) + rest[to:])
		switch {
		case err != nil:
			return nil, nil, err
		case u.Hostname() == "" || strings.ContainsAny(u.Hostname(), "=; "):
			return nil, nil, errors.New("invalid host")
		case u.User == nil && from > 0 || strings.Contains(rest, "#"): // a character of the password ended the host
			return nil, nil, errors.New("invalid user information")
		}
		addrs = append(addrs, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379")))
	}
	return u, addrs, nil
}

// maxConnections is the largest number of connections to a server.
const maxConnections = 32

func newRedis(o *redis.UniversalOptions, ttl time.Duration) *redisServer {
	opts := *o
	dial := redis.NewDialer(&redis.Options{DialTimeout: o.DialTimeout, TLSConfig: o.TLSConfig})
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return failedConn{err: err}, nil
		}
		return c, nil
	}
	return &redisServer{redis.NewUniversalClient(&opts), ttl}
}

// failedConn replaces a connection that could not be opened. It returns the
// error of the dialer when it is used. If the dialer returned the error, the
// client's pool would write each one to standard error and dial again in a
// goroutine that outlives the pool.
type failedConn struct {
	net.Conn
	err error
}

func (f failedConn) Read([]byte) (int, error)       { return 0, f.err }
func (f failedConn) Write([]byte) (int, error)      { return 0, f.err }
func (failedConn) Close() error                     { return nil }
func (failedConn) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (failedConn) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (failedConn) SetDeadline(time.Time) error      { return nil }
func (failedConn) SetReadDeadline(time.Time) error  { return nil }
func (failedConn) SetWriteDeadline(time.Time) error { return nil }

func (s *redisServer) get(ctx context.Context, key string) (value, error) {
	data, err := s.client.Get(ctx, key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return value{}, errMiss
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return value{}, errForeign
	}
	return value{data: data}, err
}

func (s *redisServer) set(ctx context.Context, key string, value []byte) error {
	return explained(s.client.Set(ctx, key, value, s.ttl).Err())
}

func (s *redisServer) delete(ctx context.Context, key string) error {
	return explained(s.client.Del(ctx, key).Err())
}

// explained wraps the error of a server that does not write.
func explained(err error) error {
	switch redisCode(err) {
	case "OOM":
		return fmt.Errorf("%w: %w", errFull, err)
	case "READONLY", "MISCONF": // a replica, or a server that cannot save to its disk
		return fmt.Errorf("%w: %w", errReadOnly, err)
	}
	return err
}

// redisCode returns the code at the start of an error that a Redis server sent,
// such as OOM, and "" for other errors.
func redisCode(err error) string {
	if errors.Is(err, errForeign) {
		return "WRONGTYPE"
	}
	sent, ok := errors.AsType[redis.Error](err)
	if !ok {
		return ""
	}
	code, _, _ := strings.Cut(sent.Error(), " ")
	if code == "" || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return code
}

func (s *redisServer) ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

func (s *redisServer) beat(ctx context.Context, hostname, version string) error {
	return explained(s.client.Set(ctx, hostname, version, beatTTL).Err())
}

func (s *redisServer) close() error { return s.client.Close() }
