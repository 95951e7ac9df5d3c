package errortype_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/errortype"
)

func TestOf(t *testing.T) {
	secure, insecure := httptest.NewUnstartedServer(nil), httptest.NewServer(nil)
	defer insecure.Close()
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	_, certificate := http.Get(secure.URL)
	_, plain := http.Get("https" + insecure.URL[len("http"):])
	for want, errs := range map[string][]error{
		"canceled":              {context.Canceled, fmt.Errorf("x: %w", context.Canceled)},
		"timeout":               {context.DeadlineExceeded, os.ErrDeadlineExceeded, &net.OpError{Err: syscall.ETIMEDOUT}},
		"name_resolution_error": {&net.OpError{Err: &net.DNSError{Err: "no such host", IsTimeout: true}}},
		"tls_error":             {certificate, plain},
		"connection_refused":    {&net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
		"connection_reset":      {syscall.ECONNRESET, syscall.EPIPE},
		"unreachable":           {syscall.EHOSTUNREACH, syscall.ENETUNREACH},
		"connection_closed":     {io.EOF, io.ErrUnexpectedEOF, net.ErrClosed},
		"_OTHER":                {errors.New("ERR a message with a key in it")},
	} {
		for _, err := range errs {
			if got := errortype.Of(err); got != want {
				t.Errorf("%v: %s, want %s", err, got, want)
			}
		}
	}
}
