// Package chart renders the Helm chart as helm does, without a cluster, and
// keeps its README.
package chart

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

// Dir is the chart, from here.
const Dir = "../../charts/podinfo"

// Render renders the chart with these values over its own, as a release of that
// name for that version of Kubernetes. The YAML documents are keyed by their
// template's name, NOTES.txt among them. Values that the schema refuses are an
// error.
func Render(release, version string, values map[string]any) (map[string]string, error) {
	chrt, err := loader.Load(Dir)
	if err != nil {
		return nil, err
	}
	kube, err := chartutil.ParseKubeVersion(version)
	if err != nil {
		return nil, err
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *kube
	options := chartutil.ReleaseOptions{Name: release, Namespace: "demo", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chrt, values, options, caps)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chrt, all)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(_, text string) bool { return strings.TrimSpace(text) == "" })
	return files, nil
}

// Documents are the YAML documents, each below a comment with its template's
// name.
func Documents(files map[string]string) (docs []string) {
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
	})
	for _, name := range names {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for doc := range strings.SplitSeq("\n"+files[name], "\n---\n") {
			if doc = strings.TrimSpace(doc); doc != "" {
				docs = append(docs, fmt.Sprintf("# %s\n%s\n", strings.TrimPrefix(name, "podinfo/templates/"), doc))
			}
		}
	}
	return docs
}

// Manifest is one stream of documents.
func Manifest(docs []string) string {
	return "---\n" + strings.Join(docs, "---\n")
}

// ParseValues reads a values file and refuses a key that is there twice.
func ParseValues(data []byte) (map[string]any, error) {
	values := map[string]any{}
	if len(bytes.TrimSpace(data)) == 0 {
		return values, nil
	}
	return values, yaml.UnmarshalStrict(data, &values)
}
