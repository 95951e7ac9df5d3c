package rpc

import "time"

// Details say more about an error, for programs and for people. Each field is
// a message of google/rpc/error_details.proto (https://google.aip.dev/193),
// which a client gets when it is set.
type Details struct {
	RetryDelay *time.Duration    // RetryInfo
	Info       *ErrorInfo        // ErrorInfo
	Fields     map[string]string // BadRequest: what is wrong with each field
	Quotas     map[string]string // QuotaFailure: what is exceeded, by subject
	Help       map[string]string // Help: URLs by what they are of
	Messages   map[string]string // LocalizedMessage, one for each locale (BCP 47)
	Debug      string            // DebugInfo
}

// ErrorInfo is why something failed, for programs.
type ErrorInfo struct {
	Reason   string // UPPER_SNAKE_CASE, unique within the domain
	Domain   string // of the service, such as pubsub.googleapis.com
	Metadata map[string]string
}
