package scenario

import (
	"math"
	"strconv"
	"time"
)

// RetryAfter is the header Retry-After of a response (RFC 9110, 10.2.3).
type RetryAfter struct {
	After Duration  `json:"after,omitzero" example:"30s" doc:"time until the retry; by default that of the limit"`
	As    RetryForm `json:"as,omitempty" default:"seconds" doc:"seconds (the default), or date"`
}

// RetryForm is how Retry-After is written.
type RetryForm string

// The forms.
const (
	Seconds RetryForm = "seconds"
	Date    RetryForm = "date"
)

func (x *RetryAfter) check(d *decoder, field string) {
	if x.After == 0 && !d.limited {
		d.wrong(field, "needs after, as the rule has no limit; add it, such as retry-after: 10s")
	}
}

// RetryAfter returns the header Retry-After of the response, "" for none.
func (s *Strike) RetryAfter(now time.Time) string {
	after, form := s.Retry, Seconds
	if s.Fault != nil && s.Fault.RetryAfter != nil {
		form = s.Fault.RetryAfter.As
		if x := s.Fault.RetryAfter.After; x > 0 {
			after = time.Duration(x)
		}
	}
	switch {
	case after <= 0:
		return ""
	case form == Date:
		return now.Add(after + time.Second - 1).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") // whole seconds, not too early
	}
	return strconv.Itoa(int(math.Ceil(after.Seconds())))
}
