package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// The states of a pod, besides the kinds of errors.
const (
	follows     = "follows"
	removed     = "removed"
	paused      = "paused"
	otherRules  = "other rules"
	notRunning  = "not running"
	terminating = "terminating"
)

// member is a selected pod.
type member struct {
	pod    *v1.Pod
	client *faultclient.Client
	tunnel *tunnel

	sent string // the container that the rules were sent to, "" for none
	etag string // of the pod's rules after that, "" if unknown

	state string
	rules *faultclient.Rules // as last seen, nil if never
	err   error              // explains the state
}

// newMember returns a member for a pod.
func (f *fleet) newMember(p *v1.Pod) (*member, error) {
	_, port := serving(p)
	if f.flags.port != 0 {
		port = int32(f.flags.port)
	}
	to := f.cluster.core.RESTClient().Post().Resource("pods").Namespace(p.Namespace).Name(p.Name).SubResource("portforward").URL()
	t, err := newTunnel(f.cluster.config, to, port)
	if err != nil {
		return nil, err
	}
	return &member{pod: p, tunnel: t, client: &faultclient.Client{
		// The faults API accepts requests for localhost without a token, if it has none.
		Base: &url.URL{Scheme: "http", Host: fmt.Sprint("localhost:", port)}, Name: p.Name,
		Token: f.flags.token, TokenHint: tokenHint(p), UserAgent: f.cluster.config.UserAgent, Timeout: f.flags.timeout,
		HTTP: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{DialContext: t.dial, DisableKeepAlives: true},
		},
	}}, nil
}

// name returns the pod's name.
func (m *member) name() string { return m.pod.Name }

// leaving reports whether the pod is being deleted.
func (m *member) leaving() bool { return m.pod.DeletionTimestamp != nil }

// get reads the pod's rules. It returns false if they cannot be read, and says why in
// the state.
func (m *member) get(ctx context.Context) bool {
	if running(m.pod) == "" {
		m.set(notRunning, fmt.Errorf("%s is not running: %s", m.name(), waiting(m.pod)))
		return false
	}
	rules, err := m.client.Call(ctx, "GET", "", "", nil)
	return m.saw(rules, err)
}

// saw records the result of a request, and returns false for an error.
func (m *member) saw(rules *faultclient.Rules, err error) bool {
	if err != nil {
		state := otherRules // another client changed them in between
		if e, ok := errors.AsType[*faultclient.Error](err); ok {
			state = string(e.Kind)
		} else {
			err = fmt.Errorf("%s: %w", m.name(), err)
		}
		m.set(state, err)
		return false
	}
	m.rules = rules
	return true
}

func (m *member) set(state string, err error) { m.state, m.err = state, err }

// waiting says why the container of a pod does not run.
func waiting(p *v1.Pod) string {
	name, _ := serving(p)
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		switch {
		case c.Name != name && name != "":
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			return c.State.Waiting.Reason
		case c.State.Terminated != nil:
			return "its container has ended: " + c.State.Terminated.Reason
		}
	}
	return string(p.Status.Phase)
}

// put replaces the pod's rules, unless another client has changed them since get.
func (m *member) put(ctx context.Context, path string, body []byte) {
	m.sent, m.etag = running(m.pod), ""
	rules, err := m.client.Call(ctx, "PUT", path, m.rules.ETag, body)
	if m.saw(rules, err) {
		m.etag = rules.ETag
		m.judge()
	}
}

// judge compares the pod's rules with what was sent.
func (m *member) judge() {
	switch {
	case m.rules.ETag != m.etag:
		m.set(otherRules, fmt.Errorf("%s has other rules: another client or a file changed them", m.name()))
	case m.rules.Paused:
		m.set(paused, fmt.Errorf("%s: its rules are paused; resume them", m.name()))
	default:
		m.set(follows, nil)
	}
}

// remove removes the named rules that the pod has, or all rules if names is empty.
func (m *member) remove(ctx context.Context, names []string) {
	have := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(m.rules.Names(), name) })
	if len(names) > 0 && len(have) == 0 {
		m.set(removed, nil)
		return
	}
	if m.saw(m.client.Remove(ctx, m.rules, have)) {
		m.set(removed, nil)
	}
}

// content identifies the pod's rules, alike on every pod.
func (m *member) content() string {
	_, sum, _ := strings.Cut(m.rules.ETag, "-")
	return sum
}
