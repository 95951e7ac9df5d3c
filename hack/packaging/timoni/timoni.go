// Package timoni evaluates the Timoni module as Timoni does, without Timoni: it
// merges the user's values into those in values.cue and injects the name, the
// namespace and the versions of the instance.
package timoni

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/encoding/yaml"
)

// An Instance is the place that the module is applied to.
type Instance struct {
	Name, Namespace, ModuleVersion, KubeVersion string
}

// Render evaluates the module in dir with values, which are CUE or JSON, and
// returns the objects as YAML documents.
func Render(dir string, i Instance, values string) ([]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "values.cue")
	defaults, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	merged, err := merge(string(defaults), values)
	if err != nil {
		return nil, err
	}
	loaded := load.Instances([]string{"."}, &load.Config{
		Dir:     dir,
		Tags:    []string{"name=" + i.Name, "namespace=" + i.Namespace, "mv=" + i.ModuleVersion, "kv=" + i.KubeVersion},
		Overlay: map[string]load.Source{file: load.FromString("package main\nvalues: " + string(merged))},
	})
	if err := loaded[0].Err; err != nil {
		return nil, err
	}
	module := cuecontext.New().BuildInstance(loaded[0])
	if err := module.LookupPath(cue.ParsePath("timoni.instance.config")).Validate(cue.Concrete(true), cue.Final()); err != nil {
		return nil, err
	}
	var docs []byte
	for _, step := range []string{"app", "test"} {
		objects := module.LookupPath(cue.MakePath(cue.Str("timoni"), cue.Str("apply"), cue.Str(step)))
		if step == "test" && !objects.Exists() {
			break
		}
		if err := objects.Validate(cue.Concrete(true), cue.Final()); err != nil {
			return nil, err
		}
		list, err := objects.List()
		if err != nil {
			return nil, err
		}
		text, err := yaml.EncodeStream(list)
		if err != nil {
			return nil, err
		}
		if len(docs) > 0 {
			docs = append(docs, "---\n"...)
		}
		docs = append(docs, text...)
	}
	return docs, nil
}

// merge returns the defaults, overridden by the values.
func merge(defaults, values string) ([]byte, error) {
	ctx := cuecontext.New()
	var under, over map[string]any
	if err := ctx.CompileString(defaults).LookupPath(cue.ParsePath("values")).Decode(&under); err != nil {
		return nil, fmt.Errorf("values.cue: %w", err)
	}
	if err := ctx.CompileString(values).Decode(&over); err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	return json.Marshal(overlay(under, over))
}

func overlay(under, over map[string]any) map[string]any {
	out := maps.Clone(under)
	for key, value := range over {
		a, isMap := out[key].(map[string]any)
		b, wantsMap := value.(map[string]any)
		if isMap && wantsMap {
			value = overlay(a, b)
		}
		out[key] = value
	}
	return out
}
