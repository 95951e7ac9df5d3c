package faults

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Headers that request a fault. Those of Envoy work as in Envoy
// (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/fault_filter),
// except that invalid values get an error: aborts with a success status, unknown
// gRPC codes and values that do not parse. So do headers that do nothing to the
// request. A throughput does not slow down an abort of the same request.
const (
	ownHeader    = "x-podinfo-fault" // a rule such as {delay: 200ms, fault: {reset: true}}
	envoyDelay   = "x-envoy-fault-delay-request"
	envoyDelayPC = "x-envoy-fault-delay-request-percentage"
	envoyAbort   = "x-envoy-fault-abort-request"
	envoyAbortPC = "x-envoy-fault-abort-request-percentage"
	envoyGRPC    = "x-envoy-fault-abort-grpc-request"
	envoyRate    = "x-envoy-fault-throughput-response" // KiB per second
	envoyRatePC  = "x-envoy-fault-throughput-response-percentage"
)

// maxHeaderRule is the maximum length of a rule in a header, in bytes.
const maxHeaderRule = 1024

// addByHeader adds to d the faults that the request's headers ask for. When they
// are invalid it responds with 400 and returns false.
func (m *Module) addByHeader(w http.ResponseWriter, r *http.Request, req *scenario.Request, d *scenario.Decision) (*scenario.Decision, bool) {
	rules, problem := m.headerRules(r.Header.Get, req.Scope())
	if problem != "" {
		if d != nil {
			d.Done()
		}
		reply.Error(w, http.StatusBadRequest, problem)
		return nil, false
	}
	if len(rules) == 0 {
		return d, true
	}
	return m.engine.Once(req, d, rules...), true
}

// addByMetadata is addByHeader for a call. Its error ends the call.
func (m *Module) addByMetadata(call *rpc.Call, req *scenario.Request, d *scenario.Decision) (*scenario.Decision, error) {
	get := func(name string) string {
		if v := call.Metadata(name); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	rules, problem := m.headerRules(get, scenario.GRPCCalls)
	if problem != "" {
		if d != nil {
			d.Done()
		}
		return nil, &rpc.Error{Code: invalidArgument, Message: problem}
	}
	if len(rules) == 0 {
		return d, nil
	}
	return m.engine.Once(req, d, rules...), nil
}

const invalidArgument rpc.Code = 3

// headerRules returns the rules that headers ask for, or what is wrong with the
// headers, such as that they do nothing in a scope.
func (m *Module) headerRules(get func(string) string, scope scenario.Scope) (rules []*scenario.Rule, problem string) {
	if text := get(ownHeader); text != "" {
		if len(text) > maxHeaderRule {
			return nil, fmt.Sprintf("%s: longer than %d bytes", ownHeader, maxHeaderRule)
		}
		r, err := scenario.ParseRule(ownHeader, ownHeader, []byte(text))
		if err != nil {
			return nil, err.Error()
		}
		allowed := &scenario.Rule{Name: ownHeader, Match: scenario.Match{Percent: r.Match.Percent}, Delay: r.Delay, Fault: r.Fault, At: r.At}
		if !reflect.DeepEqual(r, allowed) || r.Meets(scenario.Readiness) || r.Meets(scenario.Connections) || r.Meets(scenario.Handshakes) {
			return nil, ownHeader + ": only delay, match.percent, at and a fault of the request are allowed; remove the rest"
		}
		if !r.Meets(scope) {
			field, why := r.Misses(scope)
			return nil, fmt.Sprintf("%s: %s does nothing to this request: %s", ownHeader, field, why)
		}
		m.setPercent(r, r.Match.Percent)
		rules = append(rules, r)
	}
	envoy, problem := m.envoyRules(get, scope)
	return append(rules, envoy...), problem
}

func (m *Module) envoyRules(get func(string) string, scope scenario.Scope) (rules []*scenario.Rule, problem string) {
	if text := get(envoyDelay); text != "" {
		ms, err := strconv.ParseUint(text, 10, 31)
		pc, ok := parsePercent(get(envoyDelayPC))
		if err != nil || !ok {
			return nil, envoyDelay + ": invalid value; use milliseconds, and a percentage from 0 to 100"
		}
		d := scenario.Duration(time.Duration(ms) * time.Millisecond)
		r := &scenario.Rule{Name: envoyDelay, Delay: &scenario.Delay{Fixed: &d}}
		m.setPercent(r, pc)
		rules = append(rules, r)
	}
	f, problem := envoyFault(get, scope)
	if problem != "" {
		return nil, problem
	}
	if f != nil {
		pc, ok := parsePercent(get(envoyAbortPC))
		if !ok {
			return nil, envoyAbortPC + ": invalid value; use a percentage from 0 to 100"
		}
		r := &scenario.Rule{Name: envoyAbort, Fault: f}
		m.setPercent(r, pc)
		rules = append(rules, r)
	}
	if text := get(envoyRate); text != "" { // after the abort, which prevails
		rate, err := strconv.ParseUint(text, 10, 21)
		pc, ok := parsePercent(get(envoyRatePC))
		switch {
		case scope != scenario.HTTPRequests:
			return nil, envoyRate + ": only HTTP responses have a throughput; remove it, or pause between messages with x-podinfo-fault"
		case err != nil || rate == 0 || !ok:
			return nil, envoyRate + ": invalid value; use KiB per second, and a percentage from 0 to 100"
		}
		r := &scenario.Rule{Name: envoyRate, Fault: &scenario.Fault{Bandwidth: int(rate) << 10}}
		m.setPercent(r, pc)
		rules = append(rules, r)
	}
	return rules, ""
}

// envoyFault returns the abort that headers ask for, nil for none. The HTTP
// status takes precedence over the gRPC code, which only calls have.
func envoyFault(get func(string) string, scope scenario.Scope) (f *scenario.Fault, problem string) {
	if text := get(envoyAbort); text != "" {
		status, err := strconv.Atoi(text)
		if err != nil || status < 400 || status > 599 {
			return nil, envoyAbort + ": invalid value; use a status from 400 to 599"
		}
		return &scenario.Fault{Status: status, GRPC: &scenario.GRPC{Code: record.CodeOf(status, nil)}}, ""
	}
	if text := get(envoyGRPC); text != "" {
		if scope != scenario.GRPCCalls {
			return nil, envoyGRPC + ": only gRPC calls have such a code; use " + envoyAbort
		}
		code, err := strconv.Atoi(text)
		if err != nil || code < 1 || code >= len(rpc.Codes()) {
			return nil, envoyGRPC + ": invalid value; use the number of a gRPC status code other than 0"
		}
		return &scenario.Fault{GRPC: &scenario.GRPC{Code: rpc.Code(code)}}, ""
	}
	return nil, ""
}

// parsePercent parses a percentage. It returns nil for an empty text.
func parsePercent(text string) (*float64, bool) {
	if text == "" {
		return nil, true
	}
	pc, err := strconv.ParseFloat(text, 64)
	return &pc, err == nil && pc >= 0 && pc <= 100
}

// setPercent sets the percentage of a rule to the requested one, at most that
// of the setting.
func (m *Module) setPercent(r *scenario.Rule, requested *float64) {
	pc := m.MaxPercent
	if requested != nil {
		pc = min(pc, *requested)
	}
	r.Match.Percent = &pc
}
