package scenario

import (
	"cmp"
	"fmt"
	"net/textproto"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Fault is one way for a request to break. Its fields are the table of fault
// kinds: each field is a kind or a part of one, and its tags are the row.
//
//	json         the kind's name in scenarios, metrics and simulations
//	http, websocket, grpc, readiness, tcp
//	             what the kind does in this scope, or "no: " and why it does
//	             nothing there; readiness and tcp may be left out
//	after        "true": the kind also acts after the handler; or "no: " and why
//	             not, and what to do instead
//	example      a value in YAML, for the schema, the reference and the tests
//	default      what stands for the value when it is not given, likewise
//	pauses       "true": the response is sent with pauses
//	waits        "true": the request waits, so it counts in MAX_HELD
//	of           the kinds that the field is a part of when they are given
//	edits        "true": the kind changes the handler's response
//	beside       "any": the kind combines with any other, and wins in its scopes
//	label        "value": simulations count each value separately
//	doc          what a part is
//	min, max, scalar, required
//	             limits of the value; a type with a check method checks more
//
// The other half is the table breakers in middleware/faults, with the functions
// that apply each kind. Tests fail when the two disagree.
type Fault struct {
	Status  int         `json:"status,omitempty" min:"400" max:"599" example:"503" label:"value" after:"true" http:"respond with this status" websocket:"refuse the handshake with this status" grpc:"no: use grpc with a code"`
	Headers ReplyHeader `json:"headers,omitempty" example:"{ Content-Type: text/plain }" of:"status" doc:"headers of that response"`
	Body    string      `json:"body,omitempty" example:"busy" of:"status" doc:"body of that response"`

	RetryAfter *RetryAfter `json:"retry-after,omitempty" of:"status" scalar:"after" doc:"header Retry-After of that response"`

	Empty     bool    `json:"empty,omitempty" example:"true" after:"true" http:"close the connection without a response; over HTTP/2, reset the stream" websocket:"close the connection without a response" grpc:"close the connection, which ends every call on it" tcp:"close the connection at the accept"`
	Reset     bool    `json:"reset,omitempty" of:"truncate" example:"true" after:"true" http:"reset the connection (TCP RST; over HTTP/2, RST_STREAM), with truncate after its bytes" websocket:"reset the connection" grpc:"reset the stream (RST_STREAM)" tcp:"reset the connection at the accept (TCP RST)"`
	Truncate  *int    `json:"truncate,omitempty" min:"0" max:"1048576" example:"10" after:"true" http:"send the first N bytes of the body, fewer than its Content-Length, then close the connection" websocket:"no: a handshake has no body; use websocket" grpc:"no: use grpc with after"`
	BadChunk  bool    `json:"bad-chunk,omitempty" example:"true" after:"true" http:"end the body with a malformed chunk" websocket:"no: a handshake has no body; use garbage" grpc:"no: HTTP/2 has no chunks; use reset"`
	Garbage   bool    `json:"garbage,omitempty" example:"true" after:"true" http:"send bytes that are not HTTP" websocket:"send bytes that are not HTTP" grpc:"no: it would break every call on the connection; use empty"`
	Stall     *Stall  `json:"stall,omitempty" edits:"true" scalar:"for" pauses:"true" example:"{ after: 10, for: 100ms }" after:"no: it acts on the handler's response anyway; remove at" http:"pause in the middle of the body" websocket:"no: a handshake has no body; use websocket with delay" grpc:"pause before a message; the stream stays open" tcp:"pause once after N bytes in the direction"`
	Bandwidth int     `json:"bandwidth,omitempty" edits:"true" min:"1" pauses:"true" example:"1024" after:"no: it acts on the handler's response anyway; remove at" http:"send N bytes of the body per second" websocket:"no: a handshake has no body; use websocket with delay" grpc:"no: use delay with at: chunks" tcp:"pass N bytes per second in the direction"`
	Upload    *Upload `json:"upload,omitempty" scalar:"bandwidth" waits:"true" example:"{ after: 1, for: 100ms }" after:"no: the handler reads the body before; remove at" http:"read the request's body slowly; over HTTP/2, withhold WINDOW_UPDATE meanwhile" websocket:"no: a handshake has no body; use websocket with direction: in" grpc:"no: the message of a call is read before the rules apply; use delay"`
	Hang      bool    `json:"hang,omitempty" waits:"true" example:"true" after:"true" http:"do not respond until the client leaves" websocket:"do not respond to the handshake until the client leaves" grpc:"do not respond until the client leaves"`
	GoAway    bool    `json:"goaway,omitempty" edits:"true" example:"true" after:"no: the response is sent anyway; remove at" http:"respond, and tell the client to leave the connection (Connection: close; over HTTP/2, GOAWAY)" websocket:"no: a WebSocket has its own connection; use websocket with close" grpc:"tell the client to leave the connection (GOAWAY); the call goes on"`
	Reply     *Reply  `json:"reply,omitempty" edits:"true" example:"{ status: 202, append: more }" after:"no: it changes the handler's response anyway; remove at" http:"change the handler's response" websocket:"no: the handler writes the handshake to the connection itself; use status" grpc:"no: the message of a call is not bytes here; use grpc"`
	HTTP2     *HTTP2  `json:"http2,omitempty" example:"{ rst: REFUSED_STREAM }" after:"true" http:"end the stream or the connection as HTTP/2 can; over HTTP/1.1, rst resets the connection, goaway and close close it without a response" websocket:"no: a WebSocket opens over HTTP/1.1; use reset or empty" grpc:"end the stream or the connection as HTTP/2 can"`

	WebSocket *WebSocket `json:"websocket,omitempty" example:"{ close: 1011 }" after:"no: a WebSocket is open until its handler returns; use after within websocket" http:"no: it breaks messages of a WebSocket; use status" websocket:"drop, delay, duplicate or reorder messages, ignore pings, or close the connection with or without a status code" grpc:"no: it breaks messages of a WebSocket; use grpc"`
	GRPC      *GRPC      `json:"grpc,omitempty" scalar:"code" beside:"any" example:"UNAVAILABLE" label:"value" after:"true" http:"no: use status" websocket:"no: use status" grpc:"end the call with this status code"`
	Unready   bool       `json:"unready,omitempty" example:"true" after:"no: it matches no requests; remove at" http:"no: it fails readiness; use status" websocket:"no: it fails readiness; use status" grpc:"no: it fails readiness; use grpc" readiness:"fail while the conditions of when hold; such a rule has no match"`

	Down       bool        `json:"down,omitempty" example:"true" tcp:"close the port, so that clients are refused, and its open connections, while the conditions of when hold" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Close      *TCPClose   `json:"close,omitempty" scalar:"after" example:"{ after: 100ms }" tcp:"close the connection after a time, after a number of bytes or when it is idle" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Silence    *TCPSilence `json:"silence,omitempty" scalar:"close" example:"{ close: 100ms }" tcp:"drop the data in the direction; at its end, the rule closes the connection" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Hold       bool        `json:"hold,omitempty" example:"true" tcp:"hold back the data in the direction until the rule ends" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Latency    *Delay      `json:"latency,omitempty" scalar:"fixed" example:"100ms" tcp:"delay the data in the direction, without limiting its rate" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Slice      *TCPSlice   `json:"slice,omitempty" scalar:"size" example:"{ size: 10, delay: 1ms }" tcp:"pass the data in the direction in small writes" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	SlowClose  *Duration   `json:"slow-close,omitempty" example:"100ms" tcp:"delay the end of the data in the direction" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Corrupt    *float64    `json:"corrupt,omitempty" min:"0" max:"100" example:"50" tcp:"change this percentage of the bytes in the direction" http:"no: it breaks TCP connections" websocket:"no: it breaks TCP connections" grpc:"no: it breaks TCP connections" after:"no: it breaks TCP connections; remove at"`
	Direction  Direction   `json:"direction,omitempty" default:"out" of:"bandwidth,stall,close,silence,hold,latency,slice,slow-close,corrupt" doc:"direction of a TCP connection: out, what the target sends (the default), in, what the client sends, or both"`
	Connection *Connection `json:"connection,omitempty" example:"{ refuse: true }" after:"no: a connection has no handler; remove at" http:"no: it breaks connections at their accept; use reset" websocket:"no: it breaks connections at their accept; use reset" grpc:"no: it breaks connections of the HTTP ports; use empty" connection:"reset the connection at its accept, keep it silent, or close it when it is idle"`
	TLS        *TLS        `json:"tls,omitempty" example:"{ certificate: expired }" after:"no: a handshake has no handler; remove at" http:"no: it breaks TLS handshakes; use reset" websocket:"no: it breaks TLS handshakes; use reset" grpc:"no: it breaks TLS handshakes of the HTTPS port; use empty" handshake:"delay, stall or break the handshake, present an invalid certificate, or require one of the client"`
}

// ReplyHeader is the header of a response, by name.
type ReplyHeader map[string]string

// framing are the headers that the server sets to mark the end of a message.
var framing = []string{"Content-Length", "Transfer-Encoding", "Trailer"}

func (h ReplyHeader) check(d *decoder, field string) {
	h.checkWith(d, field, "truncate or bad-chunk to break a body")
}

// checkWith is check with the advice for a Content-Length.
func (h ReplyHeader) checkWith(d *decoder, field, instead string) {
	for name, value := range h {
		if !token().MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			d.wrong(field, "%q: invalid header; use letters, digits and - in the name and one line as the value", name)
		} else if textproto.CanonicalMIMEHeaderKey(name) == "Content-Length" {
			d.wrong(field, "the server sets %s itself; use %s", name, instead)
		} else if slices.Contains(framing, textproto.CanonicalMIMEHeaderKey(name)) {
			d.wrong(field, "the server sets %s itself; use truncate or bad-chunk to break a body", name)
		}
	}
}

// Stall is a pause in the middle of a body, before its last byte at the latest, or
// between the messages of a call, before its status at the latest.
type Stall struct {
	After int      `json:"after,omitempty" default:"0" example:"10" min:"0" doc:"bytes, or messages of a call, sent before the pause"`
	For   Duration `json:"for,omitzero" example:"5s" bounded:"requests" doc:"length of the pause, at most the longest delay of the server, except over TCP"`
	Hang  bool     `json:"hang,omitempty" doc:"pause until the client leaves"`
}

func (s *Stall) check(d *decoder, field string) {
	switch {
	case s.Hang && s.For > 0:
		d.wrong(field, "give either for or hang")
	case !s.Hang && s.For <= 0:
		d.wrong(field, "the pause must be above zero")
	}
}

// Upload slows the reading of a request's body down.
type Upload struct {
	Bandwidth int      `json:"bandwidth,omitempty" example:"1024" min:"1" doc:"bytes read per second"`
	After     int      `json:"after,omitempty" default:"0" example:"100" min:"0" doc:"bytes read before the pause"`
	For       Duration `json:"for,omitzero" example:"5s" bounded:"true" doc:"length of a pause, at most the longest delay of the server"`
}

func (u *Upload) check(d *decoder, field string) {
	if u.Bandwidth == 0 && u.For == 0 {
		d.wrong(field, "no effect; add bandwidth or for")
	}
	if u.After > 0 && u.For == 0 {
		d.wrong(field+".after", "no effect without for; add it or remove after")
	}
}

// Reply changes the handler's response. What needs the whole body (corrupt, repeat
// and content-length) applies to its first 1 MiB, or to what the handler wrote
// before it flushed.
type Reply struct {
	Status        int           `json:"status,omitempty" example:"202" min:"100" max:"599" doc:"status of the response; after one below 200 the connection is closed, without a final response"`
	Headers       *ReplyHeaders `json:"headers,omitempty" doc:"changes of the headers"`
	Body          *string       `json:"body,omitempty" example:"no stock" doc:"body in place of the handler's"`
	Append        string        `json:"append,omitempty" example:"more" doc:"text after the body"`
	Corrupt       *Corrupt      `json:"corrupt,omitempty" scalar:"bytes" doc:"bytes or bits of the body to change, at places that the seed determines"`
	Repeat        int           `json:"repeat,omitempty" example:"2" min:"2" max:"1000" doc:"how many times the body is sent; of one larger than 1 MiB, or flushed without a Content-Length, its beginning"`
	ContentLength int           `json:"content-length,omitempty" default:"0" example:"5" doc:"bytes that Content-Length has more than the body, or fewer when below zero; over HTTP/2 the body ends there, and a response to HEAD has only the header"`
	Interim       []int         `json:"interim,omitempty" example:"[103]" doc:"statuses of interim responses before the response, 100 to 199 other than 101"`
	RedirectLoop  bool          `json:"redirect-loop,omitempty" doc:"redirect to the URL of the request, with the status 302 or the one given"`
	Encoding      string        `json:"encoding,omitempty" example:"gzip" doc:"content coding that Content-Encoding names and the body does not have, such as gzip"`
	Stale         Duration      `json:"stale,omitzero" example:"48h" doc:"age of the response according to Date and Age"`
}

// ReplyHeaders are changes of a response's headers.
type ReplyHeaders struct {
	Set    ReplyHeader `json:"set,omitempty" example:"{ Cache-Control: no-store }" doc:"headers to set, by name"`
	Remove []string    `json:"remove,omitempty" example:"[ETag]" doc:"names of headers to remove"`
}

// Corrupt says how much of a body changes. Exactly one is given.
type Corrupt struct {
	Bytes int `json:"bytes,omitempty" example:"3" min:"1" max:"65536" doc:"number of bytes that get another value"`
	Bits  int `json:"bits,omitempty" example:"1" min:"1" max:"65536" doc:"number of bits that are flipped"`
}

func (r *Reply) check(d *decoder, field string) {
	if reflect.DeepEqual(*r, Reply{}) {
		d.wrong(field, "no effect; add at least one of %s", strings.Join(keysOf(reflect.TypeFor[Reply]()), ", "))
	}
	if h := r.Headers; h != nil {
		if len(h.Set)+len(h.Remove) == 0 {
			d.wrong(field+".headers", "no effect; add set or remove")
		}
		h.Set.checkWith(d, field+".headers.set", "content-length to break it")
		for _, name := range h.Remove {
			if !token().MatchString(name) {
				d.wrong(field+".headers.remove", "%q is not a header name", name)
			} else if slices.Contains(framing, textproto.CanonicalMIMEHeaderKey(name)) {
				d.wrong(field+".headers.remove", "the server sets %s itself; use content-length to break it", name)
			}
		}
	}
	if c := r.Corrupt; c != nil && (c.Bytes == 0) == (c.Bits == 0) {
		d.wrong(field+".corrupt", "give either bytes or bits")
	}
	for _, status := range r.Interim {
		if status < 100 || status > 199 || status == 101 {
			d.wrong(field+".interim", "%d is not an interim status; use 100 to 199 other than 101", status)
		}
	}
	if r.Encoding != "" && !token().MatchString(r.Encoding) {
		d.wrong(field+".encoding", "%q is not a content coding; use one such as gzip", r.Encoding)
	}
	if r.RedirectLoop && r.Status != 0 && !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		d.wrong(field+".status", "%d is not a redirect; use 301, 302, 303, 307 or 308", r.Status)
	}
	bodiless := r.Status == 204 || r.Status == 304 || r.Status != 0 && r.Status < 200
	if changes := r.Body != nil || r.Append != "" || r.Buffers(); bodiless && changes {
		d.wrong(field+".status", "a response with the status %d has no body; remove the changes of the body", r.Status)
	}
}

// onlyCorrupts reports whether r changes nothing but bytes of the body.
func (r *Reply) onlyCorrupts() bool {
	rest := *r
	rest.Corrupt = nil
	return reflect.DeepEqual(rest, Reply{})
}

// Buffers reports whether r needs the body before its first byte can be sent.
func (r *Reply) Buffers() bool { return r.Corrupt != nil || r.Repeat > 0 || r.ContentLength != 0 }

// HTTP2 ends a stream or a connection of HTTP/2. Exactly one is given.
type HTTP2 struct {
	RST    HTTP2Code `json:"rst,omitempty" doc:"reset the stream with this code (RST_STREAM)"`
	GoAway HTTP2Code `json:"goaway,omitempty" doc:"send GOAWAY with this code, and close the connection with every request on it"`
	Close  bool      `json:"close,omitempty" doc:"close the connection with every request on it, without GOAWAY"`

	Unprocessed bool `json:"unprocessed,omitempty" doc:"with goaway, say that the request was not processed, so that clients send it again by themselves"`
}

func (h *HTTP2) check(d *decoder, field string) {
	n := 0
	for _, given := range []bool{h.RST != "", h.GoAway != "", h.Close} {
		if given {
			n++
		}
	}
	if n != 1 {
		d.wrong(field, "give one of rst, goaway and close")
	}
	if h.Unprocessed && h.GoAway == "" {
		d.wrong(field+".unprocessed", "no effect without goaway; add it or remove unprocessed")
	}
}

// Ending says what a client over HTTP/2 sees.
func (h *HTTP2) Ending() string {
	switch {
	case h.RST != "":
		return "RST_STREAM " + string(h.RST)
	case h.Unprocessed:
		return "GOAWAY " + string(h.GoAway) + ", unprocessed"
	case h.GoAway != "":
		return "GOAWAY " + string(h.GoAway)
	}
	return "connection closed"
}

// HTTP2Code is the name of an error code of HTTP/2 (RFC 9113, section 7).
type HTTP2Code string

// HTTP2Codes returns the names of all codes, in the order of their numbers.
func HTTP2Codes() []string {
	return []string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
		"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}
}

// Number returns the number of the code.
func (c HTTP2Code) Number() uint32 { return uint32(slices.Index(HTTP2Codes(), string(c))) }

// Stage is when a rule acts on a request, seen from the handler.
type Stage string

// The stages.
const (
	BeforeHandler Stage = "before"
	AfterHandler  Stage = "after"
)

// WebSocket breaks an open WebSocket. Each direction counts its own messages.
type WebSocket struct {
	Close     int       `json:"close,omitempty" example:"1011" min:"1000" max:"4999" doc:"close the connection with this status code (RFC 6455, 7.4)"`
	Reason    string    `json:"reason,omitempty" example:"restarting" doc:"reason sent with the status code, at most 123 bytes"`
	After     int       `json:"after,omitempty" default:"0" example:"3" min:"0" doc:"messages that pass untouched first"`
	Drop      *float64  `json:"drop,omitempty" example:"10" min:"0" max:"100" doc:"percentage of messages to drop, 0 to 100"`
	Delay     *Delay    `json:"delay,omitempty" scalar:"fixed" doc:"delay of each message, which later ones wait for"`
	Duplicate *float64  `json:"duplicate,omitempty" example:"10" min:"0" max:"100" doc:"percentage of messages of up to 64 KiB to send twice, 0 to 100"`
	Reorder   *float64  `json:"reorder,omitempty" example:"10" min:"0" max:"100" doc:"percentage of messages of up to 64 KiB to send after the next one, 0 to 100"`
	Direction Direction `json:"direction,omitempty" default:"out" doc:"messages to break: out, those of the server (the default), in, those of the client, or both"`

	Cut          bool     `json:"cut,omitempty" doc:"close the TCP connection without a close frame, which clients report as 1006"`
	AfterTime    Duration `json:"after-time,omitzero" example:"10s" doc:"time for which messages pass untouched first, in place of after; close and cut then need no message"`
	SwallowPings bool     `json:"swallow-pings,omitempty" doc:"do not answer the pings of the client"`
}

func (w *WebSocket) check(d *decoder, field string) {
	if w.Close == 0 && !w.Cut && w.Drop == nil && w.Delay == nil && w.Duplicate == nil && w.Reorder == nil && !w.SwallowPings {
		d.wrong(field, "no effect; add close, cut, drop, delay, duplicate, reorder or swallow-pings")
	}
	if w.Close != 0 && w.Cut {
		d.wrong(field+".cut", "give either close or cut")
	}
	if w.After > 0 && w.AfterTime > 0 {
		d.wrong(field+".after-time", "give either after or after-time")
	}
	if w.Close >= 1004 && w.Close <= 1006 || w.Close >= 1015 && w.Close < 3000 {
		d.wrong(field+".close", "%d is reserved; use 1000 to 1003, 1007 to 1014 or 3000 to 4999", w.Close)
	}
	if len(w.Reason) > 123 {
		d.wrong(field+".reason", "longer than 123 bytes")
	}
	if w.Delay != nil {
		d.checkDelay(w.Delay, field+".delay")
		if w.Delay.At != "" {
			d.wrong(field+".delay.at", "no effect, as each message is delayed; remove it")
		}
	}
}

// Direction is the direction of messages, seen from the server.
type Direction string

// The directions.
const (
	Out     Direction = "out"
	In      Direction = "in"
	BothWay Direction = "both"
)

// Has reports whether d includes one, which is Out or In. An empty d is Out.
func (d Direction) Has(one Direction) bool { return cmp.Or(d, Out) == one || d == BothWay }

// GRPC ends a call with a status.
type GRPC struct {
	Code    rpc.Code `json:"code" example:"UNAVAILABLE" required:"true" doc:"status code other than OK"`
	Message string   `json:"message,omitempty" example:"try again" doc:"message sent with the status code"`
	Details *Details `json:"details,omitempty" doc:"error details, as in google/rpc/error_details.proto"`
	After   int      `json:"after,omitempty" example:"3" min:"1" doc:"messages sent before the status, which comes at the latest when the handler returns"`

	AfterTime Duration `json:"after-time,omitzero" example:"5s" doc:"time for which messages are sent before the status, in place of after"`
}

func (g *GRPC) check(d *decoder, field string) {
	if g.After > 0 && g.AfterTime > 0 {
		d.wrong(field+".after-time", "give either after or after-time")
	}
	if g.Details != nil && reflect.DeepEqual(g.Details, new(Details)) {
		d.wrong(field+".details", "empty; add at least one of %s", strings.Join(keysOf(reflect.TypeFor[Details]()), ", "))
	}
}

// Details are the error details of a gRPC status.
type Details struct {
	RetryInfo        *RetryInfo        `json:"retry-info,omitempty" scalar:"delay" doc:"when to retry; set automatically above a limit"`
	ErrorInfo        *ErrorInfo        `json:"error-info,omitempty" scalar:"reason" doc:"machine-readable reason"`
	BadRequest       map[string]string `json:"bad-request,omitempty" example:"{ name: must not be empty }" doc:"descriptions of invalid request fields, by field"`
	QuotaFailure     map[string]string `json:"quota-failure,omitempty" example:"{ 'user:7': 10 per minute }" doc:"descriptions of exceeded quotas, by subject"`
	Help             map[string]string `json:"help,omitempty" example:"{ documentation: 'https://example.com/errors' }" doc:"URLs, by description"`
	LocalizedMessage map[string]string `json:"localized-message,omitempty" example:"{ en-US: try again }" doc:"messages for users, by locale such as en-US"`
	DebugInfo        string            `json:"debug-info,omitempty" example:"nil pointer in cart.go" doc:"message for developers"`
}

// RetryInfo tells the client when to retry.
type RetryInfo struct {
	Delay Duration `json:"delay" example:"5s" required:"true" doc:"time to wait before the retry"`
}

// ErrorInfo is the machine-readable reason of an error.
type ErrorInfo struct {
	Reason   string            `json:"reason" example:"QUOTA_EXCEEDED" required:"true" doc:"reason in UPPER_SNAKE_CASE"`
	Domain   string            `json:"domain,omitempty" example:"podinfo.example.com" doc:"service that the reason belongs to, such as podinfo.example.com"`
	Metadata map[string]string `json:"metadata,omitempty" example:"{ limit: '10' }" doc:"additional values, by name"`
}

// Connection breaks a connection that the HTTP or HTTPS port accepts. Exactly one
// is given.
type Connection struct {
	Refuse bool     `json:"refuse,omitempty" doc:"reset the connection at its accept (TCP RST)"`
	Silent bool     `json:"silent,omitempty" doc:"read and send nothing until the client leaves"`
	Idle   Duration `json:"idle,omitzero" example:"60s" doc:"close the connection after this time without data in either direction, as load balancers do, even while a request is being handled"`
}

func (c *Connection) check(d *decoder, field string) {
	n := 0
	for _, given := range []bool{c.Refuse, c.Silent, c.Idle > 0} {
		if given {
			n++
		}
	}
	if n != 1 {
		d.wrong(field, "give one of refuse, silent and idle")
	}
}

// TLS breaks a TLS handshake of the HTTPS port.
type TLS struct {
	Delay       Duration    `json:"delay,omitzero" example:"5s" bounded:"true" doc:"delay of the handshake, at most the longest delay of the server"`
	Certificate Certificate `json:"certificate,omitempty" doc:"certificate to present: expired, not-yet-valid, wrong-host, which names another host, self-signed, or unknown-authority, which an authority signed that no client knows; the first three are signed by the server's own certificate if that is an authority, and by themselves otherwise"`

	Stall bool   `json:"stall,omitempty" doc:"do not answer the handshake until the client leaves"`
	Break TLSEnd `json:"break,omitempty" doc:"break the handshake: close or reset the connection, or send an alert"`

	ClientCertificate bool `json:"client-certificate,omitempty" doc:"require a certificate of the client (mTLS), which the server's own certificate has signed"`
}

func (t *TLS) check(d *decoder, field string) {
	if *t == (TLS{}) {
		d.wrong(field, "no effect; add at least one of %s", strings.Join(keysOf(reflect.TypeFor[TLS]()), ", "))
	}
	if t.Break != "" && (t.Stall || t.Certificate != "" || t.ClientCertificate) || t.Stall && (t.Certificate != "" || t.ClientCertificate) {
		d.wrong(field, "stall and break end the handshake before there is a certificate; keep one of them, or remove them")
	}
}

// TLSEnd is a way for a handshake to break.
type TLSEnd string

// The ends of handshakes.
const (
	CloseTLS TLSEnd = "close"
	ResetTLS TLSEnd = "reset"
	AlertTLS TLSEnd = "alert"
)

// TLSEnds returns all ends of handshakes.
func TLSEnds() []TLSEnd { return []TLSEnd{CloseTLS, ResetTLS, AlertTLS} }

// Certificate is a certificate that clients reject.
type Certificate string

// The certificates.
const (
	Expired          Certificate = "expired"
	NotYetValid      Certificate = "not-yet-valid"
	WrongHost        Certificate = "wrong-host"
	SelfSigned       Certificate = "self-signed"
	UnknownAuthority Certificate = "unknown-authority"
)

// Certificates returns all certificates.
func Certificates() []Certificate {
	return []Certificate{Expired, NotYetValid, WrongHost, SelfSigned, UnknownAuthority}
}

// checker is implemented by values that need more checks than their tags say.
type checker interface {
	// check reports mistakes through d.wrong; field is the path to the value.
	check(d *decoder, field string)
}

func (d *decoder) checkFault(f *Fault) {
	given := f.Kinds()
	alone := slices.DeleteFunc(slices.Clone(given), func(k *Kind) bool { return k.beside })
	switch {
	case len(given) == 0:
		d.wrong("fault", "no fault; add one of %s", namesOf(Kinds()))
	case len(alone) > 1:
		d.wrong("fault", "%s cannot be combined; keep one of them", namesOf(alone))
	}
	for _, row := range kindTable() {
		v := row.value(f)
		if isUnset(v) {
			continue
		}
		if len(row.scopes) == 0 && !row.isPart(f) {
			d.wrong("fault."+row.Name, "no effect without %s; add it or remove %[2]s", strings.Join(row.of, " or "), row.Name)
		}
		if c, ok := v.Interface().(checker); ok {
			c.check(d, "fault."+row.Name)
		}
	}
}

// checkScopes reports a fault that breaks nothing that the rule matches.
func (d *decoder) checkScopes(r *Rule) {
	f := r.Fault
	d.checkStage(r)
	if f == nil || len(f.Kinds()) == 0 {
		return
	}
	if k := f.Kind(Readiness); k != nil {
		w := r.When
		if w.counts() || w.Ramp != nil || r.Delay != nil || r.Limit != nil || len(f.Kinds()) > 1 || !r.Match.empty() {
			d.wrong("fault."+k.Name, "combines only with match.server, match.instance and with for, window, daily, cron, weekdays and flap of when; remove the rest")
		}
		return
	}
	for _, scope := range []Scope{Connections, Handshakes} {
		if k := f.Kind(scope); k != nil {
			d.checkConnection(r, k)
			return
		}
	}
	misses := func(what string, scopes ...Scope) {
		if !slices.ContainsFunc(scopes, func(s Scope) bool { return f.Kind(s) != nil }) {
			d.wrong("fault", "%s does nothing to %s; use one of %s", namesOf(f.Kinds()), what, namesOf(Kinds(scopes...)))
		}
	}
	if r.Match.web() {
		misses("HTTP requests, which path, methods, host and query match", HTTPRequests, WebSockets)
	}
	if r.Match.GRPC != "" || r.Match.Reply.ofCall() {
		misses("gRPC calls, which match.grpc matches", GRPCCalls)
	}
}

// checkConnection reports what a rule for connections or handshakes cannot have.
func (d *decoder) checkConnection(r *Rule, k *Kind) {
	m := &r.Match
	only := Match{Percent: m.Percent, Sticky: m.Sticky, Per: m.Per, Server: m.Server, Instance: m.Instance}
	if !reflect.DeepEqual(*m, only) || m.Per != "" && m.Per != "client" {
		d.wrong("match", "%s acts on connections, which have no request yet; use only percent, sticky, per: client, server and instance", k.Name)
	}
	if r.Delay != nil {
		d.wrong("delay", "no effect on connections; remove it, or use tls with delay")
	}
	if r.Limit != nil && r.Limit.Concurrency > 0 {
		d.wrong("limit.concurrency", "a limit of connections has a rate; use it, or match requests")
	}
}

// checkStage reports what cannot happen after the handler.
func (d *decoder) checkStage(r *Rule) {
	if r.At != AfterHandler {
		return
	}
	for _, k := range r.Fault.Kinds() {
		if k.notAfter != "" {
			d.wrong("at", "%s does not act after the handler: %s", k.Name, k.notAfter)
		}
	}
	if f := r.Fault; f != nil && f.GRPC != nil && f.GRPC.AfterTime > 0 {
		d.wrong("fault.grpc.after-time", "the messages of a call whose reply is lost are counted; use after, or remove at: after")
	}
	if r.Delay != nil && (r.Delay.At == Chunks || r.Delay.At == Both) {
		d.wrong("delay.at", "%s delays the handler while it writes; remove it, or at: after from the rule", r.Delay.At)
	}
}

// namesOf lists the names of kinds for an error.
func namesOf(kinds []*Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	if n := len(names); n > 1 {
		return fmt.Sprintf("%s and %s", strings.Join(names[:n-1], ", "), names[n-1])
	}
	return strings.Join(names, "")
}
