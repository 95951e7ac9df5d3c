package main

import (
	"context"
	"net"
)

func checkTCP() *command {
	c := newCommand("tcp", "ADDR", "Check that a TCP port accepts connections.")
	c.examples = []string{"podcli check tcp localhost:6379 --retry 1 --delay 2s --timeout 2s"}
	return newCheck(c, func(address string) (string, probe, error) {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return "", nil, err
		}
		return address, func(ctx context.Context) (facts, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			return nil, conn.Close()
		}, nil
	})
}
