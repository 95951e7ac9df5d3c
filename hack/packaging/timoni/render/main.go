// Command render prints the objects of the Timoni module as YAML, without Timoni and
// without a cluster:
//
//	go -C hack/packaging run ./timoni/render -namespace demo -values '{replicas: 2}'
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/timoni"
)

func main() {
	dir := flag.String("dir", "../../timoni/podinfo", "folder of the module")
	values := flag.String("values", "{}", "values, in CUE")
	i := timoni.Instance{ModuleVersion: "0.0.0"}
	flag.StringVar(&i.Name, "name", "podinfo", "name of the instance")
	flag.StringVar(&i.Namespace, "namespace", "default", "namespace of the instance")
	flag.StringVar(&i.KubeVersion, "kube-version", "1.35.4", "version of Kubernetes")
	flag.Parse()
	docs, err := timoni.Render(*dir, i, *values)
	if err == nil {
		_, err = os.Stdout.Write(docs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}
