package manifests

import (
	"bytes"
	"embed"
	"fmt"
	"maps"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:generate go run ./genschemas

//go:embed schemas/*.json
var schemaFiles embed.FS

// schemas are the schemas of one version of Kubernetes and of the CRDs, by kind.
type schemas struct {
	of map[string]*jsonschema.Schema
}

func loadSchemas(version string) (*schemas, error) {
	kinds, definitions := map[string]any{}, map[string]any{}
	for _, name := range []string{version, "crds"} {
		data, err := schemaFiles.ReadFile("schemas/" + name + ".json")
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("schemas of %s: %w", name, err)
		}
		file := doc.(map[string]any)
		maps.Copy(kinds, file["kinds"].(map[string]any))
		maps.Copy(definitions, file["definitions"].(map[string]any))
	}
	const at = "kubernetes.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(at, map[string]any{"definitions": definitions}); err != nil {
		return nil, err
	}
	s := &schemas{map[string]*jsonschema.Schema{}}
	for kind, definition := range kinds {
		compiled, err := compiler.Compile(at + "#/definitions/" + definition.(string))
		if err != nil {
			return nil, err
		}
		s.of[kind] = compiled
	}
	return s, nil
}

func (s *schemas) check(o *object) error {
	schema, ok := s.of[o.gvk()]
	if !ok {
		return fmt.Errorf("no schema for %s", o.gvk())
	}
	return schema.Validate(o.fields)
}
