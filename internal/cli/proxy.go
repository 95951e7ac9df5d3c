package cli

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
)

const proxyHelp = `URL is the service: http://localhost:8080, https://example.com,
h2c://localhost:9999 or unix:///run/app.sock. Every path is forwarded to it, through
the same chain as podinfo's own routes: metrics, access log, traces, jwt and the
rules of a scenario. gRPC calls and WebSockets pass too. Probes, metrics and the API
of faults are on the metrics port, 9797.

NAME=ADDRESS is a service of any protocol over TCP, for rules with match.tcp.

  podinfo proxy http://localhost:8080 --faults-file=brown-out.yaml
  podinfo proxy redis=localhost:6379 postgres=localhost:5432 --faults-file=slow.yaml`

// proxyDefaults are the settings of the command proxy that a config file, variables
// and flags may change.
var proxyDefaults = map[string]string{
	"PODINFO_PROXY_ALL": "true", "PODINFO_H2C": "true", "PODINFO_PORT_METRICS": "9797",
	"PODINFO_FAULTS": "true", "PODINFO_FAULTS_ADMIN": "true",
}

// kept are the endpoints that stay on: what the metrics port serves, what a shared
// rule counts on, and the proxy.
var kept = []string{"health", "metrics", "cache", "proxy", "pprof"}

var tcpTarget = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9_.-]*=`)

// proxyProfile sets the variables for the services that the words name.
func (p *Program) proxyProfile(vars map[string]string) error {
	var web string
	var tcp []string
	for _, word := range p.words[1:] {
		switch {
		case strings.Contains(word, "://"):
			if web != "" {
				return fmt.Errorf("more than one URL: run a proxy for each, or name services of other protocols as NAME=ADDRESS")
			}
			web = word
		case tcpTarget().MatchString(word):
			tcp = append(tcp, word)
		default:
			text := redact.Text(word)
			addr := text[strings.LastIndexByte(text, '=')+1:]
			if _, _, err := net.SplitHostPort(addr); err == nil {
				return fmt.Errorf("%q: want a URL such as http://%s, or a name for TCP such as app=%[2]s", text, addr)
			}
			return fmt.Errorf("%q: want a URL such as http://localhost:8080, or NAME=ADDRESS such as redis=localhost:6379", text)
		}
	}
	if web == "" && tcp == nil {
		return errors.New("proxy takes the URL of a service, or NAME=ADDRESS; see podinfo help proxy")
	}
	p.defaults = maps.Clone(proxyDefaults)
	for _, m := range p.allModules() {
		_, serves := m.(registry.Endpoint)
		if name := m.Info().Name; serves && !slices.Contains(kept, name) {
			p.defaults[m.Info().EnabledKey()] = "false"
		}
	}
	if web != "" {
		vars["PODINFO_PROXY_URL"] = web
	} else {
		vars["PODINFO_HTTP_SERVER_ENABLED"] = "false"
		delete(p.defaults, "PODINFO_PROXY_ALL")
		delete(p.defaults, "PODINFO_H2C")
	}
	if tcp != nil {
		vars["PODINFO_TCP_PROXY"] = strings.Join(tcp, ",")
	}
	return nil
}
