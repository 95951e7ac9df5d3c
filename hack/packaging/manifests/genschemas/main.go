// Command genschemas writes the JSON schemas in hack/packaging/manifests/schemas
// from the OpenAPI document of Kubernetes and the CRDs of the other projects.
// All of them come as Go modules, so that Go verifies their checksums.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// The oldest supported version of Kubernetes and the newest tested one.
var kubernetes = map[string]string{
	"1.29": "k8s.io/kubernetes@v1.29.6",
	"1.35": "k8s.io/kubernetes@v1.35.4",
}

// The kinds that a manifest of podinfo may contain, besides those of the CRDs.
var kinds = []string{
	"v1/ConfigMap", "v1/Namespace", "v1/PersistentVolumeClaim", "v1/Pod", "v1/Secret", "v1/Service", "v1/ServiceAccount",
	"apps/v1/DaemonSet", "apps/v1/Deployment", "apps/v1/StatefulSet",
	"autoscaling/v2/HorizontalPodAutoscaler",
	"batch/v1/CronJob", "batch/v1/Job",
	"networking.k8s.io/v1/Ingress", "networking.k8s.io/v1/NetworkPolicy",
	"policy/v1/PodDisruptionBudget",
	"rbac.authorization.k8s.io/v1/Role", "rbac.authorization.k8s.io/v1/RoleBinding",
}

var crds = map[string][]string{
	"github.com/prometheus-operator/prometheus-operator@v0.85.0": {
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	},
	"github.com/cert-manager/cert-manager@v1.21.2": {
		"deploy/crds/cert-manager.io_certificates.yaml",
		"deploy/crds/cert-manager.io_issuers.yaml",
	},
	"sigs.k8s.io/gateway-api@v1.4.1": {
		"config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
		"config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml",
		"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
	},
	// What the guides in docs show.
	"github.com/fluxcd/flagger@v1.43.0":             {"artifacts/flagger/crd.yaml"},
	"github.com/fluxcd/helm-controller@v1.6.3":      {"config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml"},
	"github.com/fluxcd/kustomize-controller@v1.9.0": {"config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"},
	"github.com/fluxcd/source-controller@v1.9.1": {
		"config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
		"config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
	},
}

const (
	refs       = "#/definitions/"
	objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
)

type node = map[string]any

// A document is a file of schemas: kinds maps a kind to its definition.
type document struct {
	Kinds       map[string]string `json:"kinds"`
	Definitions map[string]node   `json:"definitions"`
}

func main() {
	log.SetFlags(0)
	for version, module := range kubernetes {
		write(version, fromOpenAPI(module))
	}
	write("crds", fromCRDs())
}

// fromOpenAPI returns the schemas of the kinds and of the types they refer to.
func fromOpenAPI(module string) document {
	var all struct{ Definitions map[string]node }
	read(module, "api/openapi-spec/swagger.json", &all)
	d := document{map[string]string{}, map[string]node{}}
	var take func(name string)
	take = func(name string) {
		if _, ok := d.Definitions[name]; ok {
			return
		}
		schema := strict(all.Definitions[name])
		d.Definitions[name] = schema
		for _, ref := range references(schema) {
			take(ref)
		}
	}
	for name, schema := range all.Definitions {
		for _, gvk := range list(schema["x-kubernetes-group-version-kind"]) {
			kind := strings.TrimPrefix(fmt.Sprintf("%s/%s/%s", gvk["group"], gvk["version"], gvk["kind"]), "/")
			if slices.Contains(kinds, kind) {
				d.Kinds[kind] = name
				take(name)
			}
		}
	}
	if len(d.Kinds) != len(kinds) {
		log.Fatalf("%s has %d of %d kinds", module, len(d.Kinds), len(kinds))
	}
	// Kubernetes accepts a quantity written as a number too.
	d.Definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = node{"type": []string{"string", "number"}}
	return d
}

func fromCRDs() document {
	d := document{map[string]string{}, map[string]node{}}
	for module, files := range crds {
		for _, file := range files {
			var crd struct {
				Spec struct {
					Group    string
					Names    struct{ Kind string }
					Versions []struct {
						Name    string
						Served  bool
						Storage bool
						Schema  struct{ OpenAPIV3Schema node }
					}
				}
			}
			read(module, file, &crd)
			for _, v := range crd.Spec.Versions {
				if !v.Served || !v.Storage && v.Name != "v1" {
					continue
				}
				name := crd.Spec.Group + "/" + v.Name + "/" + crd.Spec.Names.Kind
				schema := strict(v.Schema.OpenAPIV3Schema)
				schema["properties"].(node)["metadata"] = node{"$ref": refs + objectMeta}
				key := strings.ReplaceAll(name, "/", ".")
				d.Kinds[name], d.Definitions[key] = key, schema
			}
		}
	}
	return d
}

// strict returns the schema without its texts. The result rejects unknown fields.
func strict(schema node) node {
	out := validations(schema)
	if schema["x-kubernetes-int-or-string"] == true || schema["format"] == "int-or-string" {
		out["type"] = []string{"integer", "string"}
	}
	if items, ok := schema["items"].(node); ok {
		out["items"] = strict(items)
	}
	if properties, ok := schema["properties"].(node); ok {
		of := node{}
		for name, p := range properties {
			of[name] = strict(p.(node))
		}
		out["properties"] = of
		if schema["x-kubernetes-preserve-unknown-fields"] != true {
			out["additionalProperties"] = false
		}
	}
	if more, ok := schema["additionalProperties"].(node); ok {
		out["additionalProperties"] = strict(more)
	}
	return out
}

// validations returns the part of a schema that restricts a value. Below a
// logical operator a schema names only some of the fields, so the result does
// not reject the others.
func validations(schema node) node {
	out := node{}
	for key, value := range schema {
		switch key {
		case "$ref", "type", "enum", "required", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
			out[key] = value
		case "allOf", "anyOf", "oneOf":
			var of []node
			for _, s := range list(value) {
				of = append(of, partial(s))
			}
			out[key] = of
		case "not":
			out[key] = partial(value.(node))
		}
	}
	return out
}

func partial(schema node) node {
	out := validations(schema)
	if properties, ok := schema["properties"].(node); ok {
		of := node{}
		for name, p := range properties {
			of[name] = partial(p.(node))
		}
		out["properties"] = of
	}
	if items, ok := schema["items"].(node); ok {
		out["items"] = partial(items)
	}
	return out
}

func references(v any) (names []string) {
	switch v := v.(type) {
	case node:
		if ref, ok := v["$ref"].(string); ok {
			names = append(names, strings.TrimPrefix(ref, refs))
		}
		for _, below := range v {
			names = append(names, references(below)...)
		}
	case []node:
		for _, below := range v {
			names = append(names, references(below)...)
		}
	}
	return names
}

func list(v any) (of []node) {
	items, _ := v.([]any)
	for _, i := range items {
		of = append(of, i.(node))
	}
	return of
}

func read(module, file string, into any) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		log.Fatalf("%s: %v\n%s", module, err, out)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(out, &at); err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(at.Dir, file))
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		log.Fatalf("%s %s: %v", module, file, err)
	}
}

// write writes one definition per line, so that a diff stays readable.
func write(name string, d document) {
	var out bytes.Buffer
	out.WriteString("{\"kinds\": {\n")
	lines(&out, d.Kinds)
	out.WriteString("},\n\"definitions\": {\n")
	lines(&out, d.Definitions)
	out.WriteString("}}\n")
	if err := os.WriteFile(filepath.Join("schemas", name+".json"), out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

func lines[V any](out *bytes.Buffer, of map[string]V) {
	for i, key := range slices.Sorted(maps.Keys(of)) {
		value, err := json.Marshal(of[key])
		if err != nil {
			log.Fatal(err)
		}
		comma := ","
		if i == len(of)-1 {
			comma = ""
		}
		fmt.Fprintf(out, "%q: %s%s\n", key, value, comma)
	}
}
