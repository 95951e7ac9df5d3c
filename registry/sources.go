package registry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/forwarded"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// core holds the settings of the App itself.
type core struct {
	Modules   []string `env:"MODULES" doc:"modules to turn on and off, in order: -panic,random-error or none,http-server,health" accepts:"names of modules, -name, none, all or default" takes:"MODULE,…"`
	Level     string   `env:"LEVEL" envDefault:"info" doc:"log level" accepts:"debug, info, warn, error, fatal or panic"`
	LogOutput string   `env:"LOG_OUTPUT" envDefault:"stderr" doc:"where the log goes; some clouds take every line of stderr for an error" accepts:"stderr or stdout"`
	LogFields string   `env:"LOG_FIELDS" envDefault:"default" doc:"names of the log's fields: default (level, ts, msg), or those that Google Cloud reads (severity, time, message, logging.googleapis.com/trace)" accepts:"default or gcp"`
	Prefix    string   `env:"PREFIX" envDefault:"/" doc:"path that every route is mounted under" takes:"PATH"`
	Seed      *uint64  `env:"SEED" doc:"repeats a run's random faults; a random one is logged when none is given"`

	Budget budget.Size `env:"MEMORY_BUDGET" doc:"size limit of all that requests hold in memory at the same time, by default a quarter of the memory limit; what exceeds it gets 503" accepts:"a size above zero such as 20MiB, 20M or 20000000"`

	Proxies forwarded.Proxies `env:"TRUSTED_PROXIES" doc:"networks of the proxies whose X-Forwarded-For, X-Forwarded-Proto and Forwarded headers say which client a request comes from; empty ignores these headers" accepts:"a comma-separated list of networks such as 10.0.0.0/8 and addresses" takes:"NETWORK,…"`

	Grace   time.Duration `env:"SHUTDOWN_GRACE" envDefault:"3s" doc:"time between failing readiness and closing the ports" accepts:"a duration such as 0s, 500ms or 3s"`
	Timeout time.Duration `env:"SERVER_SHUTDOWN_TIMEOUT" envDefault:"5s" doc:"time for requests in flight to end, after the grace" accepts:"a duration above zero such as 5s or 1m"`

	ConfigPath string `env:"CONFIG_PATH" doc:"directory of the config file, served and watched by /configs" takes:"DIR"`
	Config     string `env:"CONFIG" envDefault:"config.yaml" doc:"name of the config file, YAML or JSON" takes:"NAME"`
}

// coreFields returns the settings of the App itself, without values. The caller must
// not modify them.
var coreFields = sync.OnceValue(func() []field {
	own, err := fieldsOf(new(core), EnvPrefix, "")
	if err != nil {
		panic(err) // a mistake in the tags of core
	}
	return own
})

func (c *core) Validate() error {
	var errs []error
	if _, err := logrus.ParseLevel(c.Level); err != nil {
		errs = append(errs, Invalid("Level", "debug, info, warn, error, fatal or panic"))
	}
	if c.LogOutput != "stderr" && c.LogOutput != "stdout" {
		errs = append(errs, Invalid("LogOutput", "stderr or stdout"))
	}
	if c.LogFields != "default" && c.LogFields != "gcp" {
		errs = append(errs, Invalid("LogFields", "default or gcp"))
	}
	prefix, err := cleanPrefix(c.Prefix)
	if err != nil {
		errs = append(errs, Invalid("Prefix", err.Error()))
	}
	c.Prefix = prefix
	if c.Grace < 0 {
		errs = append(errs, Invalid("Grace", "a duration that is not negative, such as 0s or 3s"))
	}
	if c.Timeout <= 0 {
		errs = append(errs, Invalid("Timeout", "a duration above zero, such as 5s or 1m"))
	}
	return errors.Join(errs...)
}

// checkBudget refuses a budget of zero, which Validate cannot tell from one that
// is not set.
func (c *core) checkBudget(own []field, vals values) error {
	if _, set := vals[EnvPrefix+"MEMORY_BUDGET"]; !set || c.Budget > 0 {
		return nil
	}
	return explain(Invalid("Budget", "a size above zero such as 20MiB, 20M or 20000000"), own, vals)
}

// merge merges the sources, weakest first.
func merge(defaults, file, environment, flags map[string]string) values {
	out := values{}
	for _, layer := range []struct {
		source Source
		vars   map[string]string
	}{{FromCode, defaults}, {FromFile, file}, {FromEnvironment, scrub(environment)}, {FromFlag, flags}} {
		for k, v := range layer.vars {
			switch {
			case v != "":
				out[k] = given{v, layer.source}
			case layer.source == FromFlag: // --backend-url= unsets the variable
				delete(out, k)
			}
		}
	}
	return out
}

// trim removes the white space around values and around the elements of lists.
// A secret is kept to the byte, with a warning. In text of several lines, such
// as YAML, the indentation of the first line counts.
func (vals values) trim(declared []*Setting) (warnings []string) {
	for _, s := range declared {
		g, ok := vals[s.Key]
		switch trimmed := strings.TrimSpace(g.value); {
		case !ok:
		case s.Secret: // also one of nothing but white space: without a token, an API would be open
			if strings.TrimRightFunc(g.value, unicode.IsSpace) != g.value {
				warnings = append(warnings, s.Key+" ends in white space, which is part of the secret: remove it, or the line break at the end of its file")
			}
		case trimmed == "":
			delete(vals, s.Key)
		case s.List():
			vals[s.Key] = given{trimList(trimmed), g.source}
		case strings.Contains(trimmed, "\n"):
			vals[s.Key] = given{strings.TrimRightFunc(g.value, unicode.IsSpace), g.source}
		default:
			vals[s.Key] = given{trimmed, g.source}
		}
	}
	return warnings
}

func trimList(value string) string {
	parts := strings.Split(value, ",")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	return strings.Join(parts, ",")
}

var (
	serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)
	linkPart    = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)
)

// scrub drops the variables that Kubernetes injects for Services whose names
// collide with ours: Service podinfo gives PODINFO_PORT=tcp://10.0.0.1:9898,
// Service podinfo-grpc gives PODINFO_GRPC_PORT.
func scrub(vars map[string]string) map[string]string {
	out := make(map[string]string, len(vars))
	for k, v := range vars {
		if linkPart.MatchString(k) || strings.HasSuffix(k, "_PORT") && serviceLink.MatchString(v) {
			continue
		}
		out[k] = v
	}
	return out
}

// unknown looks for names that no module declares. Keys of the config file are
// errors. Variables are one warning, because other programs may use the prefix.
func unknown(vals values, settings []*Setting) (errs []error, warning string) {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.Key)
	}
	var strays []string
	for k, g := range vals {
		if !strings.HasPrefix(k, EnvPrefix) || slices.Contains(keys, k) {
			continue
		}
		if g.source == FromFile {
			errs = append(errs, fmt.Errorf("config file: unknown key %q%s", flagName(k), suggest.Word(flagName(k), flagNames(keys))))
			continue
		}
		strays = append(strays, k+suggest.Word(k, keys))
	}
	if len(strays) == 0 {
		return errs, ""
	}
	slices.Sort(strays)
	return errs, "unknown variables: " + strings.Join(strays, ", ")
}

func flagNames(keys []string) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = flagName(k)
	}
	return out
}
