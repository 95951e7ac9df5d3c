package manifests

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A manifest is the set of objects in which names and labels are resolved.
type manifest struct {
	objects  []*object
	pods     map[*object]*corev1.PodTemplateSpec
	services map[string]*corev1.ServiceSpec
}

// checkNames returns an error for each name and selector that matches nothing.
// It skips Secrets, which often come from elsewhere.
func checkNames(objects []*object) error {
	m := manifest{objects, map[*object]*corev1.PodTemplateSpec{}, map[string]*corev1.ServiceSpec{}}
	var errs []error
	for _, o := range objects {
		pod, err := o.pod()
		if pod != nil {
			m.pods[o] = pod
		}
		errs = append(errs, err)
		if o.gvk() == "v1/Service" {
			spec := new(corev1.ServiceSpec)
			errs = append(errs, o.into(spec, "spec"))
			m.services[o.Metadata.Name] = spec
		}
	}
	for _, o := range objects {
		if err := errors.Join(m.checkMetadata(o), m.checkObject(o), m.checkPod(o)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o, err))
		}
	}
	return errors.Join(errs...)
}

// nameRules are for the kinds whose names become labels or DNS names.
var nameRules = map[string]func(string) []string{
	"v1/Service":   validation.IsDNS1035Label,
	"batch/v1/Job": validation.IsDNS1123Label,
}

// checkMetadata checks the rules for names and labels that the schemas lack, such
// as their length.
func (m *manifest) checkMetadata(o *object) error {
	rule := nameRules[o.gvk()]
	if rule == nil {
		rule = validation.IsDNS1123Subdomain
	}
	var errs []error
	if wrong := rule(o.Metadata.Name); wrong != nil {
		errs = append(errs, fmt.Errorf("metadata.name: %s", strings.Join(wrong, ", ")))
	}
	wrong := metavalidation.ValidateLabels(o.Metadata.Labels, field.NewPath("metadata", "labels"))
	if pod := m.pods[o]; pod != nil {
		wrong = append(wrong, metavalidation.ValidateLabels(pod.Labels, field.NewPath("labels of its pods"))...)
	}
	return errors.Join(append(errs, wrong.ToAggregate())...)
}

func (m *manifest) checkObject(o *object) error {
	switch o.gvk() {
	case "v1/Service":
		return m.checkService(m.services[o.Metadata.Name])
	case "policy/v1/PodDisruptionBudget":
		return m.checkSelector(o, "spec", "selector")
	case "networking.k8s.io/v1/NetworkPolicy":
		return m.checkSelector(o, "spec", "podSelector")
	case "monitoring.coreos.com/v1/PodMonitor":
		return m.checkPodMonitor(o)
	case "monitoring.coreos.com/v1/ServiceMonitor":
		return m.checkServiceMonitor(o)
	case "autoscaling/v2/HorizontalPodAutoscaler":
		return m.checkScaling(o)
	case "networking.k8s.io/v1/Ingress":
		return m.checkIngress(o)
	case "gateway.networking.k8s.io/v1/HTTPRoute", "gateway.networking.k8s.io/v1/GRPCRoute":
		return m.checkRoute(o)
	case "cert-manager.io/v1/Certificate":
		return m.checkCertificate(o)
	}
	return nil
}

// selected returns the pods that the selector matches.
func (m *manifest) selected(s labels.Selector) (pods []*corev1.PodTemplateSpec) {
	for _, o := range m.objects {
		if pod := m.pods[o]; pod != nil && s.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods
}

func (m *manifest) checkSelector(o *object, path ...string) error {
	selector, err := selectorAt(o, path...)
	if err == nil && len(m.selected(selector)) == 0 {
		err = fmt.Errorf("no pod matches the selector %s", selector)
	}
	return err
}

func selectorAt(o *object, path ...string) (labels.Selector, error) {
	selector := new(metav1.LabelSelector)
	if err := o.into(selector, path...); err != nil {
		return nil, err
	}
	return metav1.LabelSelectorAsSelector(selector)
}

func (m *manifest) checkService(s *corev1.ServiceSpec) error {
	if len(s.Selector) == 0 {
		return nil
	}
	selector := labels.SelectorFromSet(s.Selector)
	pods := m.selected(selector)
	if len(pods) == 0 {
		return fmt.Errorf("no pod matches the selector %s", selector)
	}
	var errs []error
	for _, port := range s.Ports {
		for _, pod := range pods {
			errs = append(errs, checkTarget(pod, port.TargetPort))
		}
	}
	return errors.Join(errs...)
}

func checkTarget(pod *corev1.PodTemplateSpec, target intstr.IntOrString) error {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if target.StrVal == port.Name || target.Type == intstr.Int && target.IntVal == port.ContainerPort {
				return nil
			}
		}
	}
	return fmt.Errorf("a selected pod has no port %s", target.String())
}

func (m *manifest) checkPodMonitor(o *object) error {
	selector, err := selectorAt(o, "spec", "selector")
	if err != nil {
		return err
	}
	pods := m.selected(selector)
	if len(pods) == 0 {
		return fmt.Errorf("no pod matches the selector %s", selector)
	}
	var endpoints []struct{ Port string }
	errs := []error{o.into(&endpoints, "spec", "podMetricsEndpoints")}
	for _, e := range endpoints {
		for _, pod := range pods {
			errs = append(errs, checkTarget(pod, intstr.FromString(e.Port)))
		}
	}
	return errors.Join(errs...)
}

func (m *manifest) checkServiceMonitor(o *object) error {
	selector, err := selectorAt(o, "spec", "selector")
	if err != nil {
		return err
	}
	var endpoints []struct{ Port string }
	errs := []error{o.into(&endpoints, "spec", "endpoints")}
	found := false
	for _, s := range m.objects {
		if s.gvk() != "v1/Service" || !selector.Matches(labels.Set(s.Metadata.Labels)) {
			continue
		}
		found = true
		for _, e := range endpoints {
			errs = append(errs, m.checkPort(s.Metadata.Name, intstr.FromString(e.Port)))
		}
	}
	if !found {
		errs = append(errs, fmt.Errorf("no service is selected by %s", selector))
	}
	return errors.Join(errs...)
}

// checkPort checks that the manifest has the Service with the port.
func (m *manifest) checkPort(service string, port intstr.IntOrString) error {
	s := m.services[service]
	if s == nil {
		return fmt.Errorf("no Service %s", service)
	}
	if !slices.ContainsFunc(s.Ports, func(p corev1.ServicePort) bool {
		return port.Type == intstr.String && port.StrVal == p.Name || port.Type == intstr.Int && port.IntVal == p.Port
	}) {
		return fmt.Errorf("the Service %s has no port %s", service, port.String())
	}
	return nil
}

func (m *manifest) checkScaling(o *object) error {
	for _, target := range m.objects {
		if target.APIVersion == o.at("spec", "scaleTargetRef", "apiVersion") && target.Kind == o.at("spec", "scaleTargetRef", "kind") &&
			target.Metadata.Name == o.at("spec", "scaleTargetRef", "name") {
			if target.at("spec", "replicas") != nil {
				return fmt.Errorf("%s sets replicas, so each apply would undo the scaling", target)
			}
			return nil
		}
	}
	return fmt.Errorf("no object to scale: %v", o.at("spec", "scaleTargetRef"))
}

func (m *manifest) checkIngress(o *object) error {
	spec := new(networkingv1.IngressSpec)
	errs := []error{o.into(spec, "spec")}
	check := func(b *networkingv1.IngressBackend) {
		port := intstr.FromString(b.Service.Port.Name)
		if b.Service.Port.Name == "" {
			port = intstr.FromInt32(b.Service.Port.Number)
		}
		errs = append(errs, m.checkPort(b.Service.Name, port))
	}
	if spec.DefaultBackend != nil && spec.DefaultBackend.Service != nil {
		check(spec.DefaultBackend)
	}
	for _, rule := range spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			if p.Backend.Service != nil {
				check(&p.Backend)
			}
		}
	}
	return errors.Join(errs...)
}

func (m *manifest) checkRoute(o *object) error {
	var rules []struct {
		BackendRefs []struct {
			Kind, Name string
			Port       int32
		}
	}
	errs := []error{o.into(&rules, "spec", "rules")}
	for _, rule := range rules {
		for _, b := range rule.BackendRefs {
			if b.Kind == "" || b.Kind == "Service" {
				errs = append(errs, m.checkPort(b.Name, intstr.FromInt32(b.Port)))
			}
		}
	}
	return errors.Join(errs...)
}

// checkCertificate checks that the manifest has the issuer, unless it is one of
// the cluster.
func (m *manifest) checkCertificate(o *object) error {
	var ref struct{ Kind, Name string }
	if err := o.into(&ref, "spec", "issuerRef"); err != nil {
		return err
	}
	if ref.Kind != "ClusterIssuer" && !has(m.objects, "cert-manager.io/v1/Issuer", ref.Name) {
		return fmt.Errorf("no Issuer %s", ref.Name)
	}
	return nil
}

// checkCache checks that the manifest has the Services of the cache servers. A
// host name with a dot is outside the manifest.
func checkCache(servers string, all []*object) error {
	_, hosts, _ := strings.Cut(servers, "://")
	hosts, _, _ = strings.Cut(hosts[strings.LastIndex(hosts, "@")+1:], "/")
	var errs []error
	for host := range strings.SplitSeq(hosts, ",") {
		name, _, _ := strings.Cut(host, ":")
		if validation.IsDNS1035Label(name) == nil && name != "localhost" && !has(all, "v1/Service", name) {
			errs = append(errs, fmt.Errorf("PODINFO_CACHE_SERVER: no Service %s", name))
		}
	}
	return errors.Join(errs...)
}

// checkPod checks the names in a pod (volumes, ConfigMaps, service account), that
// its workload selects it, and that no variable is set twice.
func (m *manifest) checkPod(o *object) error {
	pod := m.pods[o]
	if pod == nil {
		return nil
	}
	var errs []error
	if o.at("spec", "selector") != nil {
		selector, err := selectorAt(o, "spec", "selector")
		if err == nil && !selector.Matches(labels.Set(pod.Labels)) {
			err = fmt.Errorf("the selector %s does not match its own pods", selector)
		}
		errs = append(errs, err)
	}
	if name := pod.Spec.ServiceAccountName; name != "" && name != "default" && !has(m.objects, "v1/ServiceAccount", name) {
		errs = append(errs, fmt.Errorf("no ServiceAccount %s", name))
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if c := v.ConfigMap; c != nil && !has(m.objects, "v1/ConfigMap", c.Name) {
			errs = append(errs, fmt.Errorf("no ConfigMap %s", c.Name))
		}
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		seen := map[string]bool{}
		for _, e := range c.Env {
			if seen[e.Name] {
				errs = append(errs, fmt.Errorf("container %s: %s is set twice", c.Name, e.Name))
			}
			seen[e.Name] = true
		}
		for _, v := range c.VolumeMounts {
			if !volumes[v.Name] {
				errs = append(errs, fmt.Errorf("container %s: no volume %s", c.Name, v.Name))
			}
		}
	}
	for _, spread := range pod.Spec.TopologySpreadConstraints {
		selector, err := metav1.LabelSelectorAsSelector(spread.LabelSelector)
		if err == nil && !selector.Matches(labels.Set(pod.Labels)) {
			err = fmt.Errorf("the topology spread over %s selects %s, which does not match its own pods", spread.TopologyKey, selector)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func has(objects []*object, gvk, name string) bool {
	return slices.ContainsFunc(objects, func(o *object) bool { return o.gvk() == gvk && o.Metadata.Name == name })
}
