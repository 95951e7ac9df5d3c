package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Apply changes the rules of a running server.
func TestApply(t *testing.T) {
	m := new(faults.Module)
	if err := m.Apply(new(scenario.Scenario)); err == nil {
		t.Error("Apply before the App was created: no error")
	}
	s := registrytest.Serve(t, rules("true"), m, new(endpoint))
	status := func() int { res, _ := s.Call(t, "GET", "/a", ""); return res.StatusCode }

	mine := &scenario.Scenario{Rules: []*scenario.Rule{{Name: "r", When: scenario.When{First: 2}, Fault: &scenario.Fault{Status: 503}}}}
	got := []int{status()}
	must(t, m.Apply(mine))
	mine.Rules[0].Fault.Status = 200 // no effect, as Apply copies
	got = append(got, status())

	err := m.Apply(mine)
	bad, ok := errors.AsType[*scenario.Error](err)
	if !ok || bad.Rule != `"r"` || bad.Field != "fault.status" || strings.Contains(err.Error(), ":1:") {
		t.Errorf("%v", err)
	}
	got = append(got, status())
	m.Pause(true)
	paused := m.Paused()
	got = append(got, status())
	m.Pause(false)
	mine.Rules[0].Fault.Status = 503
	must(t, m.Apply(mine)) // unchanged: both hits are used up
	got = append(got, status())
	if diff := cmp.Diff([]int{200, 503, 503, 200, 200}, got); diff != "" || !paused || m.Paused() {
		t.Errorf("%s paused: %v", diff, paused)
	}
	if at := m.Rules(); len(at) != 1 || at[0].Hits != 2 || at[0].Seen != 3 {
		t.Errorf("%+v", at)
	}
	must(t, m.Apply(new(scenario.Scenario)))
	if n := len(m.Rules()); n != 0 || status() != 200 {
		t.Errorf("%d rules", n)
	}
	for _, bad := range []*scenario.Scenario{
		{Rules: []*scenario.Rule{nil}},
		{Rules: []*scenario.Rule{{Name: "r"}}},
		{Rules: []*scenario.Rule{{Fault: &scenario.Fault{Reset: true}}}},
		{Rules: []*scenario.Rule{{Name: "r", Fault: &scenario.Fault{Reset: true, Empty: true}}}},
	} {
		if err := m.Apply(bad); err == nil {
			t.Errorf("%+v was accepted", bad.Rules[0])
		}
	}
}

func TestPutAndRemoveRule(t *testing.T) {
	m := new(faults.Module)
	app, _ := registrytest.New(t, rules(fail(500)), m, new(endpoint))
	rule := func(name, text string) *scenario.Rule {
		r, err := scenario.ParseRule("test", name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		what string
		do   func() error
		want int
	}{
		{"replace", func() error { return m.PutRule(rule("r", "fault: {status: 501}")) }, 501},
		{"add", func() error { return m.PutRule(rule("s", "fault: {status: 502}")) }, 501},
		{"remove", func() error { return removed(m.RemoveRule("r")) }, 502},
		{"remove the last", func() error { return removed(m.RemoveRule("s")) }, 200},
	} {
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := statusOf(app, "/a"); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	if m.RemoveRule("r") {
		t.Error("removed twice")
	}
	full := new(scenario.Scenario)
	for i := range scenario.MaxRules {
		full.Rules = append(full.Rules, &scenario.Rule{Name: fmt.Sprint("r", i), Delay: rule("x", "delay: 1ms").Delay})
	}
	if err := m.Apply(full); err != nil {
		t.Fatal(err)
	}
	if m.PutRule(rule("more", "delay: 1ms")) == nil || m.PutRule(rule("r0", "delay: 2ms")) != nil {
		t.Error("the number of rules is not bounded, or a replacement is rejected")
	}
}

func removed(ok bool) error {
	if !ok {
		return errors.New("no such rule")
	}
	return nil
}
