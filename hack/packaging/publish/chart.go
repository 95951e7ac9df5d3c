package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/registry"
)

// chart packages the chart and pushes it, with Helm's own code.
func (a artifact) chart() (string, error) {
	chart, err := loader.Load(a.dir)
	if err != nil {
		return "", err
	}
	if chart.Metadata.Version != a.version {
		return "", fmt.Errorf("the chart has version %s, not %s: set it in Chart.yaml", chart.Metadata.Version, a.version)
	}
	tmp, err := os.MkdirTemp("", "podinfo-chart-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	path, err := chartutil.Save(chart, tmp)
	if err != nil {
		return "", err
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	options := []registry.ClientOption{registry.ClientOptWriter(io.Discard)}
	if a.plain() {
		options = append(options, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return "", err
	}
	pushed, err := client.Push(archive, a.to+"/"+chart.Name()+":"+a.version, registry.PushOptCreationTime(a.created.Format(time.RFC3339)))
	if err != nil {
		return "", err
	}
	return pushed.Manifest.Digest, nil
}
