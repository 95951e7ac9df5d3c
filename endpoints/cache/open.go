package cache

import (
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// opener parses Server and returns a function that opens the store. The error
// does not quote Server, which may contain a password.
func (m *Module) opener() (func() store, error) {
	scheme, rest, _ := strings.Cut(m.Server, "://")
	switch scheme {
	case "":
		if m.Server == "" {
			return func() store { return newEmbedded(m.MaxBytes, m.TTL) }, nil
		}
	case "tcp", "redis", "rediss":
		if o, err := m.redisOptions(scheme, rest); err == nil {
			return func() store { return newRedis(o, m.TTL) }, nil
		}
	case "memcached":
		if servers, err := memcachedServers(rest); err == nil {
			return func() store { return newMemcached(servers, m.Timeout, m.TTL) }, nil
		}
	}
	return nil, registry.Invalid("Server", "tcp://, redis:// or rediss://[user:password@]host[:port],…[/db][?master_name=…], or memcached://host[:port],…")
}
