package grpcserver

import (
	"encoding/binary"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// accounts is what the accounts of a server's connections share.
type accounts struct {
	budget  *budget.Budget
	stall   time.Duration
	most    int       // open streams of a connection
	stalled func()    // counts a call whose client stood still
	spare   sync.Pool // of *stream
}

// Memory of a stream.
const (
	freeBytes   = 4 << 10 // not reserved, because most calls are small
	frameCost   = 64      // bytes that grpc-go needs for each DATA frame
	arrivalCost = 2       // until a message is decoded it exists twice
)

// slowAfter is how long clients may stand still before their connection may be
// closed for another one.
const slowAfter = time.Second

// account reserves the memory of a connection's calls in the App's budget. grpc-go
// has no hook for the bytes of a message that is not complete, or for a response
// that the client has not taken, so account counts the frames of the connection.
// Its methods may be called on nil, which counts nothing.
type account struct {
	*accounts
	conn *frameConn
	pool *serve.Conn // nil if the connection is in no pool

	mu      sync.Mutex // may be locked while a lock of conn is held, not the other way round
	streams map[uint32]*stream
	last    uint32 // stream that the client has opened
	class   serve.Class
	timer   *time.Timer // runs while a client has to do something
	closed  bool
}

// stream is what a call holds, from its first frame until both its handler has
// returned and its last frame was sent or received.
type stream struct {
	id       uint32
	call     transportStream // nil unless the handler is running
	unary    bool
	waiting  bool   // the handler has asked for a message
	given    bool   // and has got it
	ended    bool   // the last frame was sent or received
	dropping bool   // grpc-go drops what the client still sends
	refusal  string // a reason of the record package, "" if the call is not refused

	in, out  framing
	partial  int       // cost of the incomplete message
	received queue     // messages that the client has sent and the handler has not finished with
	decoded  int       // bytes of a message that was compressed
	sent     queue     // messages that the handler has sent and the client has not taken
	reserved int       // bytes in the budget
	moved    time.Time // when the client last did what it has to do
}

// transportStream is implemented by grpc-go's streams.
type transportStream interface {
	WriteStatus(*status.Status) error
	RecvCompress() string
	SendCompress() string
}

// must reports whether the client has to do something for the call to go on: send
// the rest of a message, or take a response.
func (s *stream) must() bool {
	return !s.ended && (s.refusal != "" || s.sent.bytes() > freeBytes ||
		s.waiting && s.received.messages() == 0 && (s.unary || s.in.have > 0))
}

// read follows the frames of the client. The caller holds the lock for reading.
func (a *account) read(f *frames, b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := f.stream()
	if b == nil && f.kind() != typeData {
		a.conn.control++
	}
	switch {
	case f.kind() == typeData:
		a.receiveLocked(a.streams[id], b)
	case b != nil:
	case f.kind() == typeSettings && f.left > maxSettings:
		a.conn.abusive = true
	case f.kind() == typeHeaders && id > a.last:
		a.last = id
		a.openLocked(id)
	case f.kind() == typeRSTStream:
		a.endLocked(a.streams[id])
	}
	if len(a.streams) == 0 {
		a.moveLocked(serve.Idle)
	}
}

// written follows the frames of the server.
func (a *account) written(f *frames, b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streams[f.stream()]
	switch {
	case s == nil:
	case f.kind() == typeData:
		for len(b) > 0 {
			n, complete := s.out.next(b)
			if b = b[n:]; complete {
				s.sent.remove()
			}
		}
		a.settleLocked(s)
	case b != nil:
	case f.kind() == typeRSTStream, f.kind() == typeHeaders && f.flags()&flagEndStream != 0:
		a.endLocked(s)
	}
}

// empty reports whether no call is open.
func (a *account) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.streams) == 0
}

func (a *account) openLocked(id uint32) {
	if len(a.streams) >= a.most {
		a.conn.abusive = true
		return
	}
	s, ok := a.spare.Get().(*stream)
	if !ok {
		s = new(stream)
	}
	s.id = id
	a.streams[id] = s
	a.moveLocked(serve.Busy)
}

// receiveLocked counts the header of a DATA frame, or a part of its payload.
func (a *account) receiveLocked(s *stream, b []byte) {
	if s == nil || s.dropping {
		return
	}
	if b == nil {
		s.partial += frameCost
	}
	for len(b) > 0 {
		n, complete := s.in.next(b)
		b, s.partial = b[n:], s.partial+n
		if complete {
			s.received.add(s.partial)
			s.partial = 0
		}
	}
	if a.settleLocked(s) != nil && a.refuseLocked(s) {
		a.conn.unread = append(a.conn.unread, endFrame(s.id)...)
	}
}

// settleLocked reserves or releases the difference to what s holds now. A call that
// was refused reserves nothing more.
func (a *account) settleLocked(s *stream) error {
	var err error
	held := arrivalCost*(s.received.bytes()+s.partial) + s.decoded + s.sent.bytes()
	if s.given && s.received.messages() == 1 {
		held -= (arrivalCost - 1) * s.received.bytes()
	}
	switch more := max(held-freeBytes, 0) - s.reserved; {
	case more < 0:
		a.budget.Release(-more)
		s.reserved += more
	case more > 0 && s.refusal == "":
		if err = a.budget.Reserve(more); err != nil {
			s.refusal = record.RefusedMemory
		} else {
			s.reserved += more
		}
	}
	if s.must() {
		s.moved = time.Now()
		if a.timer == nil && !a.closed {
			a.timer = time.AfterFunc(min(slowAfter, a.stall), a.check)
		}
	}
	if a.class == serve.Slow {
		a.moveLocked(serve.Busy)
	}
	return err
}

// refuseLocked sends the client the status of a refused call, if its handler is
// running. It returns true if grpc-go must then drop what the client still sends:
// the caller has to insert an endFrame.
func (a *account) refuseLocked(s *stream) bool {
	if s.call == nil {
		return false // attach sends it
	}
	s.call.WriteStatus(refused(s.refusal))
	s.dropping = true
	return true
}

// check refuses the calls whose client stands still, and lets the connection be
// closed for another one if all of them are such.
func (a *account) check() {
	a.mu.Lock()
	a.timer = nil
	slow, now := true, time.Now()
	var drop, reset []uint32
	for _, s := range a.streams {
		if !s.must() {
			slow = false
			continue
		}
		if a.timer == nil && !a.closed {
			a.timer = time.AfterFunc(min(slowAfter, a.stall), a.check)
		}
		still := now.Sub(s.moved)
		slow = slow && still >= slowAfter
		switch {
		case still < a.stall:
		case s.refusal == "" && s.sent.bytes() <= freeBytes:
			a.stallLocked(s)
			if a.refuseLocked(s) {
				drop = append(drop, s.id)
			}
			s.moved = now
		default: // the status would wait for the client, too
			a.stallLocked(s)
			reset = append(reset, s.id)
		}
	}
	if slow && len(a.streams) > 0 {
		a.moveLocked(serve.Slow)
	}
	a.mu.Unlock()
	for _, id := range drop {
		a.conn.receive(endFrame(id))
	}
	for _, id := range reset {
		a.conn.reset(id)
	}
}

func (a *account) stallLocked(s *stream) {
	if s.refusal == "" {
		s.refusal = record.RefusedStall
		a.stalled()
	}
}

// stallAll notes that the client takes nothing from the connection, before grpc-go
// closes it.
func (a *account) stallAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		a.stallLocked(s)
	}
}

// lost notes that the connection has ended, perhaps to make room for another one.
func (a *account) lost() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool == nil || a.closed || a.pool.Move(serve.Busy) {
		return
	}
	for _, s := range a.streams {
		if s.refusal == "" {
			s.refusal = record.RefusedConnections
		}
	}
}

func (a *account) moveLocked(c serve.Class) {
	if a.class != c && a.pool != nil && !a.closed {
		a.class = c
		a.pool.Move(c)
	}
}

// attach notes that the handler of a call is about to run. It returns false if the
// stream has ended already.
func (a *account) attach(id uint32, call transportStream, unary bool) (ok bool) {
	drop := false
	a.update(id, func(s *stream) {
		ok = true
		s.call, s.unary = call, unary
		drop = s.refusal != "" && a.refuseLocked(s)
	})
	if drop {
		a.conn.receive(endFrame(id))
	}
	return ok
}

// detach notes that the handler has returned.
func (a *account) detach(id uint32) {
	a.update(id, func(s *stream) {
		if s.call, s.waiting = nil, false; s.ended {
			a.endLocked(s)
		}
	})
}

// wait notes that the handler asks for a message, and does not need the last one
// any more.
func (a *account) wait(id uint32) {
	a.update(id, func(s *stream) {
		if s.given {
			s.received.remove()
		}
		s.waiting, s.given, s.decoded = true, false, 0
	})
}

// give notes whether the handler gets a message. It returns why the call is refused,
// "" if it is not.
func (a *account) give(id uint32, ok bool) (refusal string) {
	a.update(id, func(s *stream) { s.given, refusal = ok, s.refusal })
	return refusal
}

// decompressed reserves the memory of a message that was compressed.
func (a *account) decompressed(id uint32, size int) error {
	return a.update(id, func(s *stream) { s.decoded = size })
}

// exceeded notes that there was no memory for a message.
func (a *account) exceeded(id uint32) {
	a.update(id, func(s *stream) { s.refusal = record.RefusedMemory })
}

// respond reserves the memory of a response. It is released when the client has
// taken it.
func (a *account) respond(id uint32, size int) error {
	return a.update(id, func(s *stream) { s.sent.add(size) })
}

// refusal returns why a call was refused, "" if it was not.
func (a *account) refusal(id uint32) (reason string) {
	a.update(id, func(s *stream) { reason = s.refusal })
	return reason
}

// update changes a stream, if it is known.
func (a *account) update(id uint32, change func(s *stream)) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streams[id]
	if s == nil {
		return nil
	}
	if change(s); a.streams[id] == nil {
		return nil
	}
	return a.settleLocked(s)
}

// end notes that the last frame of a stream was sent or received.
func (a *account) end(id uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endLocked(a.streams[id])
}

func (a *account) endLocked(s *stream) {
	switch {
	case s == nil:
		return
	case s.call != nil: // the handler holds the message
		s.ended = true
		return
	}
	delete(a.streams, s.id)
	a.budget.Release(s.reserved)
	*s = stream{}
	a.spare.Put(s)
	if len(a.streams) == 0 {
		a.moveLocked(serve.Idle)
	}
}

// close ends all streams.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.last = true, maxStreamID
	for _, s := range a.streams {
		a.endLocked(s)
	}
	if a.timer != nil {
		a.timer.Stop()
	}
}

// messageHeader is the number of bytes before each message: a flag and the length
// (gRPC over HTTP/2, Length-Prefixed-Message).
const messageHeader = 5

// framing follows the messages in one direction of a stream.
type framing struct {
	header [messageHeader]byte
	have   int // bytes of header that are known
	left   int // bytes of the message that are still to come
}

// next follows b to the end of a message or of b. It returns the number of bytes
// up to there.
func (m *framing) next(b []byte) (n int, complete bool) {
	if m.have < messageHeader {
		n = copy(m.header[m.have:], b)
		if m.have += n; m.have < messageHeader {
			return n, false
		}
		m.left = int(binary.BigEndian.Uint32(m.header[1:]))
	}
	k := min(m.left, len(b)-n)
	if m.left -= k; m.left == 0 {
		m.have = 0
		complete = true
	}
	return n + k, complete
}

// queue counts the messages between two places. To know their sizes it would have
// to remember each of them. It remembers two batches, and counts a message until
// its whole batch has left.
type queue struct{ leaving, arriving batch }

type batch struct{ messages, bytes int }

func (q *queue) bytes() int    { return q.leaving.bytes + q.arriving.bytes }
func (q *queue) messages() int { return q.leaving.messages + q.arriving.messages }

// add adds a message at the end.
func (q *queue) add(bytes int) {
	q.arriving.messages++
	q.arriving.bytes += bytes
}

// remove removes the oldest message.
func (q *queue) remove() {
	if q.leaving.messages == 0 {
		q.leaving, q.arriving = q.arriving, batch{}
	}
	if q.leaving.messages--; q.leaving.messages <= 0 {
		q.leaving = batch{}
	}
}
