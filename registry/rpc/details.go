package rpc

import "time"

// Details are additional information about an error. Each field that is set
// becomes a message of google/rpc/error_details.proto
// (https://google.aip.dev/193).
type Details struct {
	RetryDelay *time.Duration    // RetryInfo
	Info       *ErrorInfo        // ErrorInfo
	Fields     map[string]string // BadRequest: what is wrong with each field
	Quotas     map[string]string // QuotaFailure: what is exceeded, by subject
	Help       map[string]string // Help: URLs by description
	Messages   map[string]string // LocalizedMessage, one for each locale (BCP 47)
	Debug      string            // DebugInfo
}

// ErrorInfo is the cause of an error in a form for programs.
type ErrorInfo struct {
	Reason   string // UPPER_SNAKE_CASE, unique within the domain
	Domain   string // of the service, such as pubsub.googleapis.com
	Metadata map[string]string
}
