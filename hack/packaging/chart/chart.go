// Package chart renders the Helm chart as helm does, without a cluster, and
// generates the table of values in its README.
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

// Dir is the folder of the chart, relative to this package.
const Dir = "../../../charts/podinfo"

// Render renders the chart with values, as a release of that name for that
// version of Kubernetes. It returns the output by template, including NOTES.txt,
// and an error for values that the schema rejects.
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

// Documents returns the YAML documents, each below a comment that names its
// template.
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

// Manifest joins documents into one stream.
func Manifest(docs []string) string {
	return "---\n" + strings.Join(docs, "---\n")
}

// ParseValues parses a values file. A duplicate key is an error.
func ParseValues(data []byte) (map[string]any, error) {
	values := map[string]any{}
	if len(bytes.TrimSpace(data)) == 0 {
		return values, nil
	}
	return values, yaml.UnmarshalStrict(data, &values)
}
