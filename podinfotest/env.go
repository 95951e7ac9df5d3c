package podinfotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// needed are the modules that the package cannot do without.
var needed = []string{recorderName, repliesName, "faults", "http-server", "grpc-server"}

// entries parses NAME=value entries.
func entries(env []string) (map[string]string, error) {
	vars := map[string]string{}
	for _, kv := range env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return nil, badEntry(kv, "want NAME=value")
		}
		vars[name] = value
	}
	return vars, nil
}

// variables parses the entries for a server, and adds what it needs.
func variables(env []string) (map[string]string, error) {
	vars, err := entries(env)
	if err != nil {
		return nil, err
	}
	for name, instead := range map[string]string{
		"PODINFO_PORT":        "podinfotest chooses a free port: remove the variable and use Server.URL",
		"PODINFO_GRPC_PORT":   "podinfotest chooses a free port: remove the variable and use Server.GRPCAddr",
		"PODINFO_FAULTS_FILE": "remove the variable and use Server.ScenarioFile",
	} {
		if value, ok := vars[name]; ok {
			return nil, badEntry(name+"="+value, instead)
		}
	}
	if err := allLinked(vars); err != nil {
		return nil, err
	}
	for name, value := range ownVars {
		if _, ok := vars[name]; !ok {
			vars[name] = value
		}
	}
	if list, ok := vars["PODINFO_MODULES"]; ok {
		vars["PODINFO_MODULES"] = list + "," + strings.Join(needed, ",")
	}
	return vars, nil
}

// known returns an error for an entry that sets no setting.
func known(app *registry.App, vars map[string]string) error {
	given := maps.Clone(vars)
	maps.DeleteFunc(given, func(name, _ string) bool { return ownVars[name] != "" || strings.HasPrefix(name, standard) })
	if len(given) == 0 {
		return nil // without the price of the settings
	}
	var keys []string
	for _, s := range app.Settings() {
		keys = append(keys, s.Key)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(keys, name) {
			problem := "unknown variable" + meant(name, keys)
			for _, module := range podinfo.LeftOut() {
				if strings.HasPrefix(name, registry.KeyOf(module)+"_") {
					problem = notLinked(module)
				}
			}
			return badEntry(name+"="+vars[name], problem)
		}
	}
	return nil
}

// allLinked returns an error for an entry that asks for a module that was left out.
func allLinked(vars map[string]string) error {
	for _, module := range podinfo.LeftOut() {
		for term := range strings.SplitSeq(vars["PODINFO_MODULES"], ",") {
			if strings.TrimPrefix(strings.TrimSpace(term), "-") == module {
				return badEntry("PODINFO_MODULES="+vars["PODINFO_MODULES"], notLinked(module))
			}
		}
		for _, kv := range environ(vars) {
			if module == "tracing" {
				return badEntry(kv, notLinked(module))
			}
		}
	}
	return nil
}

func notLinked(module string) string {
	return "module " + module + " is not linked: build the test without -tags podinfo_slim"
}

// ownVars are set unless the test sets them: the same draws on every machine.
var ownVars = map[string]string{"PODINFO_SEED": "1", "PODINFO_INSTANCE": "podinfotest"}

// standard begins the variables that are not settings of podinfo and that
// modules follow nevertheless.
const standard = "OTEL_"

// environ returns the standard variables among vars in the form of os.Environ.
func environ(vars map[string]string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if strings.HasPrefix(name, standard) {
			out = append(out, name+"="+vars[name])
		}
	}
	return out
}

// meant suggests a key for a misspelt name, or for one without the prefix.
func meant(name string, keys []string) string {
	if whole := registry.EnvPrefix + name; slices.Contains(keys, whole) {
		name = whole
	}
	return suggest.Word(name, keys)
}

func badEntry(entry, problem string) error { return fmt.Errorf("%s: %s", entry, problem) }
