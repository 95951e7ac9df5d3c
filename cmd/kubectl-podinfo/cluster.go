package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // users of a kubeconfig that sign in by OpenID Connect
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// The names of the container port with the faults API: that of podinfo as a proxy in
// front of another service, and that of podinfo itself.
const proxyPort, metricsPort = "fault-metrics", "http-metrics"

// cluster is the namespace and the selector of the pods.
type cluster struct {
	config              *rest.Config
	core                *core.CoreV1Client
	namespace, selector string
}

// connect reads the kubeconfig, or the service account of the pod that this program
// runs in.
func connect(f *flags) (*cluster, error) {
	if _, err := labels.Parse(f.selector); err != nil {
		return nil, fmt.Errorf("--selector: %w", err)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	overrides.Context.Namespace = f.namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, err
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, err
	}
	config.UserAgent = "kubectl-podinfo/" + release
	config.QPS = -1 // without a limit: the pods should change at the same time
	c, err := core.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &cluster{config, c, namespace, f.selector}, nil
}

// pods returns the selected pods.
func (c *cluster) pods(ctx context.Context) (pods []*v1.Pod, err error) {
	list, err := c.core.Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: c.selector})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		pods = append(pods, &list.Items[i])
	}
	return pods, nil
}

// follow keeps the returned store up to date until ctx ends, and calls changed after
// each change and failed for each error, after which the API server is asked again.
// The first list must arrive within the timeout.
func (c *cluster) follow(ctx context.Context, timeout time.Duration, changed func(), failed func(error)) (cache.Store, error) {
	watcher := cache.NewFilteredListWatchFromClient(c.core.RESTClient(), "pods", c.namespace, func(o *metav1.ListOptions) { o.LabelSelector = c.selector })
	informer := cache.NewSharedInformer(watcher, &v1.Pod{}, 0)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, err
	}
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { failed(err) }); err != nil {
		return nil, err
	}
	go informer.RunWithContext(ctx)
	first, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if !cache.WaitForCacheSync(first.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("the API server sent no list of pods to watch within %s", timeout)
	}
	return informer.GetStore(), nil
}

// secret returns a token from a Secret, which is named NAME or NAME/KEY.
func (c *cluster) secret(ctx context.Context, reference string) (string, error) {
	name, key, given := strings.Cut(reference, "/")
	if !given {
		key = "token"
	}
	s, err := c.core.Secrets(c.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("--token-secret: %w", err)
	}
	token := strings.TrimSpace(string(s.Data[key]))
	if token == "" {
		return "", fmt.Errorf("--token-secret: Secret %s in namespace %s has no key %q: name it as NAME/KEY", name, c.namespace, key)
	}
	return token, nil
}

// ended reports whether the containers of a pod have ended for good.
func ended(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// serving returns the container with the faults API and its port. The container is ""
// if no container port has a known name.
func serving(p *v1.Pod) (container string, port int32) {
	for _, name := range []string{proxyPort, metricsPort} {
		for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
			for _, port := range c.Ports {
				if port.Name == name {
					return c.Name, port.ContainerPort
				}
			}
		}
	}
	return "", 9797
}

// running returns the identifier of the container with the faults API, which a
// restart changes. It is "" while the container does not run.
func running(p *v1.Pod) string {
	name, _ := serving(p)
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if (c.Name == name || name == "") && c.State.Running != nil {
			return c.ContainerID
		}
	}
	return ""
}

// tokenHint says where the token of a pod is, as far as its manifest names it.
func tokenHint(p *v1.Pod) string {
	name, _ := serving(p)
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		for _, e := range c.Env {
			if (c.Name == name || name == "") && e.Name == "PODINFO_FAULTS_ADMIN_TOKEN" && e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				return "--token-secret " + e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
			}
		}
	}
	return "--token-secret or --token-file"
}
