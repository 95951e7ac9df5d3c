package serve

import (
	"net"
	"os"
	"testing"
)

// TestReaches checks which targets are ports of this process.
func TestReaches(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, listen string
		want           bool
	}{
		{"localhost:80", ":80", true},
		{"LOCALHOST.:80", "0.0.0.0:80", true},
		{"a.localhost:80", "[::]:80", true},
		{"127.0.0.1:80", ":80", true},
		{"127.0.0.9:80", ":80", true},
		{"[::1]:80", ":80", true},
		{"[::ffff:127.0.0.1]:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{":80", "localhost:80", true},
		{"localhost:80", "127.0.0.1:80", true},
		{"localhost:80", "[::1]:80", true},
		{name + ":80", ":80", true},
		{net.JoinHostPort(localAddresses()[0].String(), "80"), ":80", true},
		{"localhost:81", ":80", false},
		{"127.0.0.2:80", "127.0.0.1:80", false},
		{"192.0.2.1:80", ":80", false},
		{"localhost:80", "192.0.2.1:80", false},
		{"example.com:80", ":80", false},
		{"localhost", ":80", false},
	} {
		if got := reaches(c.target, c.listen); got != c.want {
			t.Errorf("%s at %s: %v", c.target, c.listen, got)
		}
	}
}
