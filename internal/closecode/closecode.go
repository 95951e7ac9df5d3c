// Package closecode checks the close frames of WebSockets.
package closecode

import "github.com/gobwas/ws"

// The last code that is registered (RFC 6455, section 11.7) and may be sent, and
// the last one that exists (section 7.4.2).
const (
	registered = 1014
	last       = 4999
)

// Check returns an error unless a close frame may have this code and reason. It
// is [ws.CheckCloseFrameData] with the codes 1012 to 1014, which were registered
// later, and with an upper limit.
func Check(code ws.StatusCode, reason string) error {
	switch {
	case code > ws.StatusInternalServerError && code <= registered:
		code = ws.StatusNormalClosure
	case code > last:
		return ws.ErrProtocolStatusCodeNotInUse
	}
	return ws.CheckCloseFrameData(code, reason)
}
