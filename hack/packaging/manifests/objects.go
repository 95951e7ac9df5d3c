// Package manifests checks Kubernetes manifests of podinfo without a cluster:
// their schemas, Pod Security, the names they refer to, and the settings of
// podinfo.
package manifests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strictyaml "sigs.k8s.io/yaml"
)

// object is one document of a manifest.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`

	fields map[string]any
}

func (o *object) String() string { return o.Kind + " " + o.Metadata.Name }

// gvk returns the kind with its group and version, such as apps/v1/Deployment.
func (o *object) gvk() string { return o.APIVersion + "/" + o.Kind }

// at returns the value at a path of field names, or nil.
func (o *object) at(path ...string) any {
	var v any = o.fields
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// into decodes the value at the path. It leaves out unchanged if the path is absent.
func (o *object) into(out any, path ...string) error {
	data, err := json.Marshal(o.at(path...))
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o, err)
	}
	return nil
}

var podPaths = map[string][]string{
	"v1/Pod":              {},
	"apps/v1/DaemonSet":   {"spec", "template"},
	"apps/v1/Deployment":  {"spec", "template"},
	"apps/v1/StatefulSet": {"spec", "template"},
	"batch/v1/Job":        {"spec", "template"},
	"batch/v1/CronJob":    {"spec", "jobTemplate", "spec", "template"},
}

// pod returns the pod template of a workload, or nil for other objects.
func (o *object) pod() (*corev1.PodTemplateSpec, error) {
	path, ok := podPaths[o.gvk()]
	if !ok {
		return nil, nil
	}
	pod := new(corev1.PodTemplateSpec)
	return pod, o.into(pod, path...)
}

// parse reads YAML documents. A duplicate key is an error. A null counts as
// absent, as it does for Kubernetes.
func parse(manifest []byte) ([]*object, error) {
	var objects []*object
	var errs []error
	seen := map[string]bool{}
	for docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest))); ; {
		doc, err := docs.Read()
		if err == io.EOF {
			return objects, errors.Join(errs...)
		}
		o := new(object)
		if err == nil {
			err = strictyaml.UnmarshalStrict(doc, &o.fields)
		}
		dropNulls(o.fields)
		if err == nil {
			err = o.into(o)
		}
		switch id := o.gvk() + " " + o.Metadata.Namespace + "/" + o.Metadata.Name; {
		case err != nil:
			errs = append(errs, err)
		case len(o.fields) == 0: // only comments
		case seen[id]:
			errs = append(errs, fmt.Errorf("duplicate %s", o))
		default:
			seen[id] = true
			objects = append(objects, o)
		}
	}
}

func dropNulls(fields map[string]any) {
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil })
	for _, v := range fields {
		switch v := v.(type) {
		case map[string]any:
			dropNulls(v)
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					dropNulls(m)
				}
			}
		}
	}
}
