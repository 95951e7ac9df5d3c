package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

// A cluster knows the addresses of the Services, by their full names.
type cluster struct {
	client     *http.Client
	api, token string
	names      atomic.Pointer[map[string][]net.IP]
}

func newCluster(api, ca, token string) (*cluster, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		return nil, err
	}
	return &cluster{
		client: &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
		api:    api, token: strings.TrimSpace(string(secret)),
	}, nil
}

func (c *cluster) lookup(name string) ([]net.IP, bool) {
	names := c.names.Load()
	if names == nil {
		return nil, false
	}
	ips, ok := (*names)[name]
	return ips, ok
}

func (c *cluster) get(path string, to any) error {
	req, err := http.NewRequest(http.MethodGet, c.api+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(to)
}

type metadata struct {
	Name, Namespace string
	Labels          map[string]string
}

func (m metadata) fullName(name string) string {
	return name + "." + m.Namespace + ".svc.cluster.local."
}

// refresh reads the Services and the endpoints of those without an address.
func (c *cluster) refresh() error {
	var services struct {
		Items []struct {
			Metadata metadata
			Spec     struct{ ClusterIPs []string }
		}
	}
	if err := c.get("/api/v1/services", &services); err != nil {
		return err
	}
	names, headless := map[string][]net.IP{}, false
	for _, s := range services.Items {
		var ips []net.IP
		for _, text := range s.Spec.ClusterIPs {
			if ip := net.ParseIP(text); ip != nil {
				ips = append(ips, ip)
			}
		}
		headless = headless || len(ips) == 0
		names[s.Metadata.fullName(s.Metadata.Name)] = ips
	}
	if headless {
		if err := c.endpoints(names); err != nil {
			return err
		}
	}
	c.names.Store(&names)
	return nil
}

// endpoints adds the ready endpoints of the names that have no address.
func (c *cluster) endpoints(names map[string][]net.IP) error {
	var slices struct {
		Items []struct {
			Metadata  metadata
			Endpoints []struct {
				Addresses  []string
				Conditions struct{ Ready *bool }
			}
		}
	}
	if err := c.get("/apis/discovery.k8s.io/v1/endpointslices", &slices); err != nil {
		return err
	}
	found := map[string][]net.IP{}
	for _, s := range slices.Items {
		name := s.Metadata.fullName(s.Metadata.Labels["kubernetes.io/service-name"])
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, text := range e.Addresses {
				found[name] = append(found[name], net.ParseIP(text))
			}
		}
	}
	for name, ips := range names {
		if len(ips) == 0 {
			names[name] = found[name]
		}
	}
	return nil
}
