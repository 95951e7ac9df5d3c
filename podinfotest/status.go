package podinfotest

import (
	"fmt"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// After returns a step of FailGRPC that ends a stream after the given number of
// messages to the client. A stream whose handler returns before ends then.
func (s Step) After(messages int) Step {
	if messages < 0 {
		s.wrong = fmt.Sprintf("After(%d): want a number of messages", messages)
		return s
	}
	return s.status("After", func(g *scenario.GRPC) { g.After = messages })
}

// Message returns a step of FailGRPC with a message.
func (s Step) Message(text string) Step {
	return s.status("Message", func(g *scenario.GRPC) { g.Message = text })
}

// Details returns a step of FailGRPC with error details. [Step.RetryInfo] and its
// siblings add the usual ones.
func (s Step) Details(d scenario.Details) Step {
	return s.status("Details", func(g *scenario.GRPC) { g.Details = &d })
}

// RetryInfo returns a step of FailGRPC that tells the client when to retry.
func (s Step) RetryInfo(delay time.Duration) Step {
	return s.detail("RetryInfo", func(d *scenario.Details) {
		d.RetryInfo = &scenario.RetryInfo{Delay: scenario.Duration(delay)}
	})
}

// ErrorInfo returns a step of FailGRPC with a reason in UPPER_SNAKE_CASE and the
// domain that it belongs to.
func (s Step) ErrorInfo(reason, domain string) Step {
	return s.detail("ErrorInfo", func(d *scenario.Details) {
		d.ErrorInfo = &scenario.ErrorInfo{Reason: reason, Domain: domain}
	})
}

// BadRequest returns a step of FailGRPC with a description of an invalid field of the
// request. Call it once for each field.
func (s Step) BadRequest(field, description string) Step {
	return s.detail("BadRequest", func(d *scenario.Details) { d.BadRequest = with(d.BadRequest, field, description) })
}

// QuotaFailure returns a step of FailGRPC with a description of an exceeded quota.
// Call it once for each subject.
func (s Step) QuotaFailure(subject, description string) Step {
	return s.detail("QuotaFailure", func(d *scenario.Details) { d.QuotaFailure = with(d.QuotaFailure, subject, description) })
}

// detail returns a copy of a step of FailGRPC with changed details.
func (s Step) detail(method string, change func(*scenario.Details)) Step {
	return s.status(method, func(g *scenario.GRPC) {
		var d scenario.Details
		if g.Details != nil {
			d = *g.Details
		}
		change(&d)
		g.Details = &d
	})
}

// status returns a copy of a step of FailGRPC with a changed status.
func (s Step) status(method string, change func(*scenario.GRPC)) Step {
	if s.fault == nil || s.fault.GRPC == nil {
		s.wrong = method + " applies only to FailGRPC"
		return s
	}
	f, g := *s.fault, *s.fault.GRPC
	change(&g)
	f.GRPC = &g
	s.fault = &f
	return s
}
