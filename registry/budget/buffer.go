package budget

import (
	"io"
	"sync"
)

// Sizes of the pooled chunks of a Buffer: a small one first, as most bodies
// are small, then large ones.
const (
	smallChunk = 2 << 10
	largeChunk = 32 << 10
)

// Buffer holds bytes in pooled chunks, each of which is reserved when the
// first byte for it arrives. It is not safe for concurrent use, except that
// several readers may read it at the same time. Call Close, or Free to use the
// buffer again, when the bytes are not needed any more. The zero Buffer belongs
// to no budget and has no limit.
type Buffer struct {
	budget      *Budget
	first, last *chunk // nil when the buffer is empty
	n           int
	extra       int     // by Reserve
	spare       *chunk  // small one, to be reserved when it is used
	probe       [1]byte // for the first byte of a chunk
}

// A chunk is a part of a buffer. The capacity of data is what it reserved.
type chunk struct {
	next *chunk
	data []byte
}

// Buffer returns an empty buffer.
func (b *Budget) Buffer() *Buffer {
	if b != nil {
		if buf, ok := b.buffers.Get().(*Buffer); ok {
			return buf
		}
	}
	return &Buffer{budget: b}
}

// Len returns the number of bytes in the buffer.
func (b *Buffer) Len() int { return b.n }

// Reserve reserves n bytes beside those of the buffer, for values that are
// made from them. Free releases them too.
func (b *Buffer) Reserve(n int) error {
	if err := b.budget.Reserve(n); err != nil {
		return err
	}
	b.extra += n
	return nil
}

// ReadFrom appends all of r. When the budget has no room, the error is
// ErrExceeded: the bytes that were read before are in the buffer, and one more
// byte is lost.
func (b *Buffer) ReadFrom(r io.Reader) (n int64, err error) {
	for err == nil {
		size := largeChunk
		if b.first == nil {
			size = smallChunk
		}
		var m int
		m, err = b.readOnce(r, size)
		n += int64(m)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// readOnce reads once, into the last chunk. If that is full it adds a chunk of
// size bytes, but not before a byte for it has arrived: a client that has sent
// nothing yet must not hold memory.
func (b *Buffer) readOnce(r io.Reader, size int) (n int, err error) {
	c := b.last
	if c == nil || len(c.data) == cap(c.data) {
		if n, err = r.Read(b.probe[:]); n == 1 {
			if errBudget := b.add(b.probe[0], size); errBudget != nil {
				return 0, errBudget
			}
		}
		return n, err
	}
	n, err = r.Read(c.data[len(c.data):cap(c.data)])
	c.data = c.data[:len(c.data)+n]
	b.n += n
	return n, err
}

// add appends one byte in a new chunk of size bytes.
func (b *Buffer) add(first byte, size int) error {
	if err := b.budget.Reserve(size); err != nil {
		return err
	}
	c := b.spare
	if size == smallChunk && c != nil {
		b.spare = nil
	} else {
		c = b.budget.chunk(size)
	}
	c.data = append(c.data, first)
	if b.last == nil {
		b.first = c
	} else {
		b.last.next = c
	}
	b.last = c
	b.n++
	return nil
}

// Write appends p.
func (b *Buffer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		c := b.last
		if c == nil || len(c.data) == cap(c.data) {
			size := largeChunk
			if c == nil && len(p) <= smallChunk {
				size = smallChunk
			}
			if err := b.add(p[0], size); err != nil {
				return n, err
			}
			n, p = n+1, p[1:]
			continue
		}
		m := copy(c.data[len(c.data):cap(c.data)], p)
		c.data = c.data[:len(c.data)+m]
		b.n, n, p = b.n+m, n+m, p[m:]
	}
	return n, nil
}

// WriteTo writes the bytes to w and releases each chunk once it is written.
func (b *Buffer) WriteTo(w io.Writer) (n int64, err error) {
	for b.first != nil {
		m, err := w.Write(b.first.data)
		n += int64(m)
		if err != nil {
			return n, err
		}
		b.drop()
	}
	return n, nil
}

// drop releases the first chunk.
func (b *Buffer) drop() {
	c := b.first
	b.n -= len(c.data)
	if b.first = c.next; b.first == nil {
		b.last = nil
	}
	b.budget.Release(cap(c.data))
	c.data, c.next = c.data[:0], nil
	if cap(c.data) == smallChunk && b.spare == nil {
		b.spare = c
		return
	}
	b.budget.recycle(c)
}

// Copy copies src to dst. It needs room for one chunk, from the first byte
// that arrives until the end. The buffer must be empty.
func (b *Buffer) Copy(dst io.Writer, src io.Reader) (n int64, err error) {
	size := smallChunk
	for err == nil {
		_, err = b.readOnce(src, size)
		if b.first == nil {
			continue
		}
		m, errWrite := dst.Write(b.first.data)
		if n += int64(m); errWrite != nil {
			err = errWrite
			break
		}
		b.n, b.first.data = 0, b.first.data[:0]
		if n >= smallChunk && size == smallChunk { // more may come: read it in fewer pieces
			b.drop()
			size = largeChunk
		}
	}
	b.Free()
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// Reader reads the bytes from the beginning and leaves them in the buffer.
func (b *Buffer) Reader() io.Reader {
	return &reader{next: b.first}
}

type reader struct {
	left []byte
	next *chunk
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.next == nil {
			return 0, io.EOF
		}
		r.left, r.next = r.next.data, r.next.next
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Bytes returns the bytes in one piece, which must not be used after Free or Close. For
// more than one chunk that needs as much memory again, which may exceed the
// budget.
func (b *Buffer) Bytes() ([]byte, error) {
	if b.first == nil {
		return nil, nil
	}
	if b.first != b.last {
		if err := b.budget.Reserve(b.n); err != nil {
			return nil, err
		}
		joined := &chunk{data: make([]byte, 0, b.n)}
		for b.first != nil {
			joined.data = append(joined.data, b.first.data...)
			b.drop()
		}
		b.first, b.last, b.n = joined, joined, len(joined.data)
	}
	return b.first.data, nil
}

// Free releases the memory. The buffer is empty and may be used again.
func (b *Buffer) Free() {
	b.free()
	if b.spare != nil {
		b.budget.recycle(b.spare)
		b.spare = nil
	}
}

func (b *Buffer) free() {
	for b.first != nil {
		b.drop()
	}
	if b.extra != 0 {
		b.budget.Release(b.extra)
		b.extra = 0
	}
}

// Close frees the memory and gives the buffer back to the budget. It must not be
// used any more.
func (b *Buffer) Close() error {
	b.free() // the next user is likely to need the spare chunk
	if b.budget != nil {
		b.budget.buffers.Put(b)
	}
	return nil
}

// chunk returns an empty chunk. The caller has reserved its size.
func (b *Budget) chunk(size int) *chunk {
	if pool := b.pool(size); pool != nil {
		if c, ok := pool.Get().(*chunk); ok {
			return c
		}
	}
	return &chunk{data: make([]byte, 0, size)}
}

// recycle keeps a released chunk for the next buffer.
func (b *Budget) recycle(c *chunk) {
	if pool := b.pool(cap(c.data)); pool != nil {
		pool.Put(c)
	}
}

// pool returns the pool of the chunks of size bytes, nil for other sizes.
func (b *Budget) pool(size int) *sync.Pool {
	switch {
	case b == nil:
		return nil
	case size == smallChunk:
		return &b.small
	case size == largeChunk:
		return &b.large
	}
	return nil
}
