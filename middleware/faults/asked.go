package faults

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// The headers that ask for a fault. Those of Envoy mean what they mean there
// (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/fault_filter),
// but an abort is never a success, a code is one that gRPC knows, and what
// cannot be understood is refused.
const (
	ownHeader    = "x-podinfo-fault" // a rule: {delay: 200ms, fault: {reset: true}}
	envoyDelay   = "x-envoy-fault-delay-request"
	envoyDelayPC = "x-envoy-fault-delay-request-percentage"
	envoyAbort   = "x-envoy-fault-abort-request"
	envoyAbortPC = "x-envoy-fault-abort-request-percentage"
	envoyGRPC    = "x-envoy-fault-abort-grpc-request"
)

// maxAsk is the length of a rule in a header, in bytes.
const maxAsk = 1024

// asked adds to d what the request asks for. When that cannot be understood it
// replies 400 and returns false.
func (m *Module) asked(w http.ResponseWriter, r *http.Request, d *scenario.Decision) (*scenario.Decision, bool) {
	rules, problem := m.rulesOf(func(name string) string { return r.Header.Get(name) }, false)
	if problem != "" {
		if d != nil {
			d.Done()
		}
		reply.Error(w, http.StatusBadRequest, problem)
		return nil, false
	}
	rules = slices.DeleteFunc(rules, func(rule *scenario.Rule) bool { return !rule.Meets(upgrades(r)) })
	if len(rules) == 0 {
		return d, true
	}
	return m.engine.Once(d, rules...), true
}

// askedRPC is asked for a call.
func (m *Module) askedRPC(call *rpc.Call, d *scenario.Decision) (*scenario.Decision, error) {
	get := func(name string) string {
		if v := call.Metadata(name); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	rules, problem := m.rulesOf(get, true)
	if problem != "" {
		if d != nil {
			d.Done()
		}
		return nil, &rpc.Error{Code: invalidArgument, Message: problem}
	}
	if len(rules) == 0 {
		return d, nil
	}
	return m.engine.Once(d, rules...), nil
}

const (
	invalidArgument  rpc.Code = 3
	permissionDenied rpc.Code = 7
	unimplemented    rpc.Code = 12
)

// rulesOf makes rules of headers, or says why it cannot.
func (m *Module) rulesOf(get func(string) string, call bool) (rules []*scenario.Rule, problem string) {
	if text := get(ownHeader); text != "" {
		if len(text) > maxAsk {
			return nil, ownHeader + " is too long"
		}
		r, err := scenario.ParseRule(ownHeader, ownHeader, []byte(text))
		if err != nil {
			return nil, err.Error()
		}
		known := &scenario.Rule{Name: ownHeader, Match: scenario.Match{Percent: r.Match.Percent}, Delay: r.Delay, Fault: r.Fault}
		if !reflect.DeepEqual(r, known) || r.Fault != nil && r.Fault.Unready {
			return nil, ownHeader + ": want a delay or a fault of this request, match.percent at most, and no name"
		}
		if r.Delay != nil || r.Fault.Kind(call) != "" {
			m.share(r, r.Match.Percent)
			rules = append(rules, r)
		}
	}
	envoy, problem := m.envoy(get, call)
	return append(rules, envoy...), problem
}

func (m *Module) envoy(get func(string) string, call bool) (rules []*scenario.Rule, problem string) {
	if text := get(envoyDelay); text != "" {
		ms, err := strconv.ParseUint(text, 10, 31)
		pc, ok := percent(get(envoyDelayPC))
		if err != nil || !ok {
			return nil, envoyDelay + ": want milliseconds, and a percentage from 0 to 100"
		}
		d := scenario.Duration(time.Duration(ms) * time.Millisecond)
		r := &scenario.Rule{Name: envoyDelay, Delay: &scenario.Delay{Fixed: &d}}
		m.share(r, pc)
		rules = append(rules, r)
	}
	f, problem := envoyFault(get, call)
	if f == nil || problem != "" {
		return rules, problem
	}
	pc, ok := percent(get(envoyAbortPC))
	if !ok {
		return nil, envoyAbortPC + ": want a percentage from 0 to 100"
	}
	r := &scenario.Rule{Name: envoyAbort, Fault: f}
	m.share(r, pc)
	return append(rules, r), ""
}

// envoyFault is the abort that is asked for, nil for none. The status counts
// more than the code of gRPC, which only a call can have.
func envoyFault(get func(string) string, call bool) (f *scenario.Fault, problem string) {
	if text := get(envoyAbort); text != "" {
		status, err := strconv.Atoi(text)
		if err != nil || status < 400 || status > 599 {
			return nil, envoyAbort + ": want a status from 400 to 599"
		}
		return &scenario.Fault{Status: status, GRPC: &scenario.GRPC{Code: codeOf(status)}}, ""
	}
	if text := get(envoyGRPC); text != "" && call {
		code, err := strconv.Atoi(text)
		if err != nil || code < 1 || code >= len(rpc.Codes()) {
			return nil, envoyGRPC + ": want the number of a gRPC status code, not 0"
		}
		return &scenario.Fault{GRPC: &scenario.GRPC{Code: rpc.Code(code)}}, ""
	}
	return nil, ""
}

// codeOf is what a gRPC client makes of an HTTP status
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func codeOf(status int) rpc.Code {
	switch status {
	case http.StatusBadRequest:
		return rpc.Internal
	case http.StatusUnauthorized:
		return rpc.Unauthenticated
	case http.StatusForbidden:
		return permissionDenied
	case http.StatusNotFound:
		return unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return rpc.Unavailable
	}
	return rpc.Unknown
}

func percent(text string) (*float64, bool) {
	if text == "" {
		return nil, true
	}
	pc, err := strconv.ParseFloat(text, 64)
	return &pc, err == nil && pc >= 0 && pc <= 100
}

// share gives a rule the smaller of its percent and the setting.
func (m *Module) share(r *scenario.Rule, asked *float64) {
	pc := m.MaxPercent
	if asked != nil {
		pc = min(pc, *asked)
	}
	r.Match.Percent = &pc
}
