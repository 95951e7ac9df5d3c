package cache

import (
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// opener reads Server and returns what opens the store it names. The error
// does not repeat Server, which may hold a password.
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
