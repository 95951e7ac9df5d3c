package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// drain stops the first program under load, as a rollout does, and counts the
// requests that were lost.
func drain(ctx context.Context, from, to *pod) (string, error) {
	s, err := newService(from, to)
	if err != nil {
		return "", err
	}
	defer s.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	load := &load{url: "http://" + s.listener.Addr().String() + "/echo"}
	done := load.start(ctx, 8)
	if err := load.wait(ctx, 200); err != nil {
		return "", err
	}
	if err := from.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return "", err
	}
	s.remove(from)
	select {
	case <-from.exited:
	case <-time.After(time.Minute):
		return "", fmt.Errorf("%s does not end", from.name())
	}
	if err := load.wait(ctx, 200); err != nil { // the other one serves alone
		return "", err
	}
	load.stop.Store(true)
	done.Wait()
	if lost := load.lost.Load(); lost > 0 {
		return "", fmt.Errorf("%d of %d requests lost: %v", lost, load.sent.Load(), load.reason.Load())
	}
	return fmt.Sprintf("0 of %d requests lost", load.sent.Load()), nil
}

// A load is clients that send requests over kept connections.
type load struct {
	url        string
	stop       atomic.Bool
	sent, lost atomic.Int64
	reason     atomic.Value // of the last loss, a string
}

func (l *load) start(ctx context.Context, clients int) *sync.WaitGroup {
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			client := &http.Client{Transport: new(http.Transport)}
			defer client.CloseIdleConnections()
			for !l.stop.Load() && ctx.Err() == nil {
				// A POST with a body is not sent twice once the server may have seen it.
				got, err := sendWith(ctx, client, l.url, http.MethodPost, "hello", nil)
				l.sent.Add(1)
				if err != nil || got.status != http.StatusAccepted {
					l.lost.Add(1)
					l.reason.Store(fmt.Sprintf("status %d, %v", got.status, err))
				}
			}
		})
	}
	return &done
}

// wait returns after n further requests.
func (l *load) wait(ctx context.Context, n int64) error {
	for until := l.sent.Load() + n; l.sent.Load() < until; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// A service passes connections on to the pods in turn, as kube-proxy does.
type service struct {
	listener net.Listener
	mu       sync.Mutex
	pods     []*pod
	next     int
}

func newService(pods ...*pod) (*service, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &service{listener: l, pods: pods}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go s.forward(conn)
		}
	}()
	return s, nil
}

// remove lets new connections go to the other pods. The open ones stay.
func (s *service) remove(gone *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []*pod
	for _, p := range s.pods {
		if p != gone {
			left = append(left, p)
		}
	}
	s.pods = left
}

func (s *service) pick() *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.pods[s.next%len(s.pods)]
}

func (s *service) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", s.pick().address)
	if err != nil {
		return // the client sees the connection end
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}

func (s *service) close() { _ = s.listener.Close() }
