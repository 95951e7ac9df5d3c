package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// wsGreeting is what check ws sends.
const wsGreeting = "podinfo-check"

func checkWS() *command {
	c := newCommand("ws", "URL", "Check a WebSocket: send a message and wait for one.")
	c.examples = []string{"podcli check ws ws://localhost:9898/ws/echo --retry 1 --delay 2s --timeout 5s"}
	c.details = "URL without a scheme means ws://URL."
	var origin string
	c.flags.StringVar(&origin, "origin", "", "Origin header to send (default: the URL's host)")
	header, tlsFlags := addHeader(c.flags), addTLS(c.flags)
	return newCheck(c, func(arg string) (string, probe, error) {
		u, err := parseURL(arg, "ws", "wss")
		if err != nil {
			return "", nil, err
		}
		conf, err := tlsFlags.config()
		if err != nil {
			return "", nil, err
		}
		header.Set("Origin", originOf(u, origin))
		return u.Redacted(), func(ctx context.Context) (facts, error) {
			conn, err := dialWS(ctx, u, header, conf)
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			defer conn.expire(ctx)()
			return greet(conn)
		}, nil
	})
}

// greet sends a message and waits for one.
func greet(conn *wsConn) (facts, error) {
	start := time.Now()
	if err := conn.send(ws.OpText, []byte(wsGreeting)); err != nil {
		return nil, err
	}
	_, reply, err := conn.receive()
	if err != nil {
		return nil, describeClose(err)
	}
	found := facts{{"round_trip", time.Since(start)}, {"size", len(reply)}}
	conn.sendClose(ws.StatusNormalClosure)
	return found, nil
}

// describeClose returns a readable error for a close frame from the server.
func describeClose(err error) error {
	closed, ok := errors.AsType[wsutil.ClosedError](err)
	if !ok {
		return err
	}
	if closed.Reason == "" {
		return fmt.Errorf("the server closed the connection: %s", closeName(closed.Code))
	}
	return fmt.Errorf("the server closed the connection: %s: %s", closeName(closed.Code), closed.Reason)
}
