package grpcclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// PingPong calls a bidirectional method that responds to each message with one
// message. It sends the encoded message in n times, each time after the response to
// the one before, and then ends the stream. It returns how many messages came back
// and how many bytes they had. The error is as that of Call.
func (c *Client) PingPong(ctx context.Context, method string, header http.Header, in []byte, n int) (messages int, size int64, err error) {
	framed := frame(in)
	rest, more := io.Pipe()
	defer more.Close()
	// The server may send its headers with the first message only, so that one has to
	// be on its way before the response is there.
	// net/http closes the body when the stream ends early, which must end the pipe.
	body := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(framed), rest), rest}
	res, err := c.open(ctx, method, header, body)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if err := checkContentType(res); err != nil {
		return 0, 0, err
	}
	for messages < n {
		length, err := discardMessage(res.Body)
		if err == io.EOF {
			return messages, size, endOfStream(res, messages, n)
		}
		if err != nil {
			return messages, size, err
		}
		size += length
		if messages++; messages < n {
			if _, err := more.Write(framed); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				return messages, size, err
			} // A closed pipe means that the server has ended the stream; why is in the response.
		}
	}
	more.Close()
	if _, err := discardMessage(res.Body); err != io.EOF {
		if err == nil {
			err = errors.New("more messages than were sent")
		}
		return messages, size, err
	}
	return messages, size, endOfStream(res, messages, n)
}

// discardMessage reads a message and returns its length. The error is io.EOF when
// no message is left.
func discardMessage(r io.Reader) (int64, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	if header[0] != 0 {
		return 0, errors.New("unexpected compressed response")
	}
	length := int64(binary.BigEndian.Uint32(header[1:]))
	if length > MaxMessage {
		return 0, fmt.Errorf("response larger than %d bytes", MaxMessage)
	}
	_, err := io.CopyN(io.Discard, r, length)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return length, err
}

// endOfStream returns the status of a response whose body has been read.
func endOfStream(res *http.Response, messages, want int) error {
	status, err := readStatus(res)
	switch {
	case err != nil:
		return err
	case status.Code != 0:
		return status
	case messages < want:
		return fmt.Errorf("the stream ended after %d of %d messages", messages, want)
	}
	return nil
}
