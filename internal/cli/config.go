package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// readConfig reads the config file and returns its settings as variables. The
// file is YAML or JSON, and its keys are the names of flags. When only the
// directory is set, config.yaml may be missing; when neither directory nor file
// is set, readConfig returns no variables.
func readConfig(flags, env map[string]string) (map[string]string, error) {
	dir := lookup(registry.EnvPrefix+"CONFIG_PATH", flags, env)
	name := lookup(registry.EnvPrefix+"CONFIG", flags, env)
	if dir == "" && name == "" {
		return nil, nil
	}
	required := name != ""
	if !required {
		name = "config.yaml"
	}
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil, nil
	}
	if err != nil {
		return nil, errors.New("config file: " + redact.Text(err.Error()))
	}
	vars, err := parseConfig(b)
	if err != nil {
		return nil, fmt.Errorf("config file %s: %w", redact.Text(path), err)
	}
	return vars, nil
}

// quoted are the parts of a file in the errors of package yaml.
var quoted = lazyregexp.New("`.*`|'[^' ]{3,}'")

func parseConfig(b []byte) (map[string]string, error) {
	var file map[string]yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		// The error may quote a value.
		return nil, errors.New(strings.ReplaceAll(quoted().ReplaceAllString(err.Error(), redact.Mark), "\n", " "))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has a second YAML document: put all settings into the first")
	}
	vars := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(file)) {
		v, err := scalar(new(file[k]))
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		if k != strings.ToLower(k) || strings.Contains(k, "_") {
			return nil, fmt.Errorf("key %q is not spelled like a flag: use %q", k, strings.ToLower(strings.ReplaceAll(k, "_", "-")))
		}
		vars[registry.KeyOf(k)] = v
	}
	return vars, nil
}

// scalar returns a value of the file in the form that its variable has, spelled
// as in the file: 1.10 is not 1.1.
func scalar(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.AliasNode:
		return scalar(n.Alias)
	case yaml.SequenceNode:
		var parts []string
		for _, x := range n.Content {
			s, err := scalar(x)
			if err != nil {
				return "", err
			}
			if strings.Contains(s, ",") {
				return "", errors.New("an element of the list contains a comma, which separates elements")
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "", nil
		}
		return n.Value, nil
	}
	return "", errors.New("a map is not a setting: use a value or a list")
}
