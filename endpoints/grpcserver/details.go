package grpcserver

import (
	"maps"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// withDetails returns s with the details d. It returns s alone when a detail cannot
// be encoded, for example because its text is not UTF-8.
func withDetails(s *status.Status, d *rpc.Details) *status.Status {
	if d == nil {
		return s
	}
	if full, err := s.WithDetails(messages(d)...); err == nil {
		return full
	}
	return s
}

// messages returns the details as the messages of google/rpc/error_details.proto,
// with the elements of each sorted by key.
func messages(d *rpc.Details) (out []protoadapt.MessageV1) {
	if d.RetryDelay != nil {
		out = append(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(*d.RetryDelay)})
	}
	if i := d.Info; i != nil {
		out = append(out, &errdetails.ErrorInfo{Reason: i.Reason, Domain: i.Domain, Metadata: i.Metadata})
	}
	if len(d.Fields) > 0 {
		m := new(errdetails.BadRequest)
		for _, field := range sorted(d.Fields) {
			m.FieldViolations = append(m.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: field, Description: d.Fields[field]})
		}
		out = append(out, m)
	}
	if len(d.Quotas) > 0 {
		m := new(errdetails.QuotaFailure)
		for _, subject := range sorted(d.Quotas) {
			m.Violations = append(m.Violations, &errdetails.QuotaFailure_Violation{Subject: subject, Description: d.Quotas[subject]})
		}
		out = append(out, m)
	}
	if len(d.Help) > 0 {
		m := new(errdetails.Help)
		for _, description := range sorted(d.Help) {
			m.Links = append(m.Links, &errdetails.Help_Link{Description: description, Url: d.Help[description]})
		}
		out = append(out, m)
	}
	for _, locale := range sorted(d.Messages) {
		out = append(out, &errdetails.LocalizedMessage{Locale: locale, Message: d.Messages[locale]})
	}
	if d.Debug != "" {
		out = append(out, &errdetails.DebugInfo{Detail: d.Debug})
	}
	return out
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
