package cache

import (
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// serverFormat says which servers the module accepts.
const serverFormat = "tcp://, redis:// or rediss://[user:password@]host[:port],…[/db][?master_name=…], or memcached://host[:port],…"

// opener parses Server and returns a function that opens the store. The error
// does not quote Server, which may contain a password.
func (m *Module) opener() (func() store, error) {
	scheme, rest, _ := strings.Cut(m.Server, "://")
	switch scheme {
	case "":
		if m.Server == "" {
			return func() store { return newEmbedded(int64(m.MaxBytes), m.TTL) }, nil
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
	want := serverFormat
	if strings.Contains(strings.ToLower(m.Server), "password=") { // the form that Azure's portal shows
		want += "; write host:port,password=…,ssl=True as rediss://:password@host:port"
	}
	return nil, registry.Invalid("Server", want)
}
