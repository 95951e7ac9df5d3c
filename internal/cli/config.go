package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// readConfig reads the config file into variables. Its keys are the names of
// flags; JSON is read as the YAML it is. A file that was not named may be
// missing, and none is looked for when no directory was named either.
func readConfig(flags, env map[string]string) (map[string]string, error) {
	dir := lookup(registry.EnvPrefix+"CONFIG_PATH", flags, env)
	name := lookup(registry.EnvPrefix+"CONFIG", flags, env)
	if dir == "" && name == "" {
		return nil, nil
	}
	named := name != ""
	if !named {
		name = "config.yaml"
	}
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	vars, err := parseConfig(b)
	if err != nil {
		return nil, fmt.Errorf("config file %s: %w", path, err)
	}
	return vars, nil
}

func parseConfig(b []byte) (map[string]string, error) {
	var file map[string]any
	if err := yaml.Unmarshal(b, &file); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	vars := map[string]string{}
	for _, k := range keys(file) {
		v, err := scalar(file[k])
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		if k != strings.ToLower(k) || strings.Contains(k, "_") {
			return nil, fmt.Errorf("key %q: want the name of a flag, such as %q", k, strings.ToLower(strings.ReplaceAll(k, "_", "-")))
		}
		vars[registry.KeyOf(k)] = v
	}
	return vars, nil
}

// scalar writes a value of the file as its variable would be written.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case []any:
		var parts []string
		for _, x := range v {
			s, err := scalar(x)
			if err != nil {
				return "", err
			}
			if strings.Contains(s, ",") {
				return "", fmt.Errorf("%q: an element of a list cannot hold a comma", s)
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	case map[string]any, map[any]any:
		return "", errors.New("want a value or a list, not a map")
	}
	return fmt.Sprint(v), nil
}
