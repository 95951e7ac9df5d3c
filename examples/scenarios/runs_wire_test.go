package scenarios_test

import (
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

// connections are scenarios of connections, below HTTP.
var connections = map[string][]run{
	"rebalancing": {{steps: []step{
		{do: get("/").pooled().show("leave"), times: 200, want: "99×200 and stay, 200 and leave, 99×200 and stay, 200 and leave"},
		{do: get("/").pooled().show("connections"), want: "200 on 3 connections"},
		{do: call{method: echo}, times: 200, want: "200×OK"},
	}}},
	"rolling-restart": {{steps: append(restart(0), restart(5*time.Minute-35*time.Second)...)}},
	"half-open-connections": {{steps: []step{
		{do: get("/").within(10 * time.Second), times: 8, want: "3×200, timeout, 3×200, timeout"},
		{do: get("/").pooled(), times: 3, want: "3×200"}, // on one connection, the ninth
		{do: get("/").pooled().show("connections"), want: "200 on 9 connections"},
	}}},
	"idle-timeout": {{steps: []step{
		{do: get("/").pooled(), want: "200"},
		{wait: 59 * time.Second, do: get("/").pooled().show("connections"), want: "200 on 1 connections"},
		{wait: 61 * time.Second, do: get("/").pooled().show("connections"), want: "200 on 2 connections"},
		{do: get("/delay/50"), want: "200"},
		{do: get("/delay/70"), want: "no response"},
	}}},
	"expired-certificate": {{on: overTLS, loopback: true, steps: []step{
		{do: handshake{}, times: 15, want: "2×trusted, expired, trusted, expired, trusted, wrong host, expired, wrong host, expired, 3×trusted, expired, trusted"},
		{do: get("/"), want: "200"},
	}}},
	"redis-resets": {{on: overTCP, loopback: true, steps: []step{{do: command{}, times: 6, want: "1, 2, reset, 3, 4, reset"}}}},
	"redis-failover": {{on: overTCP, loopback: true, steps: []step{
		{do: command{patience: 100 * time.Millisecond}, times: 2, want: "2×timeout"},
		{do: command{}, times: 3, want: "1, 2, 3", took: took{40 * time.Millisecond, time.Hour}},
	}}},
	"slow-upload": {{steps: []step{
		{do: send("POST", "/echo", page), want: "202", took: took{3900 * time.Millisecond, 4100 * time.Millisecond}},
		{do: send("POST", "/echo", page).overHTTP2(), want: "202", took: took{3900 * time.Millisecond, 4100 * time.Millisecond}},
		{do: send("POST", "/echo", page, "X-User", "mobile"), want: "202", took: exactly(20 * time.Second)},
		{do: send("POST", "/echo", page, "X-User", "mobile").within(10 * time.Second), want: "timeout"},
		{do: get("/"), want: "200", took: atOnce},
	}}},
	"refused-streams": {{steps: []step{
		{do: send("POST", "/echo", "x").overHTTP2(), times: 20, want: "20×202"},
		{do: arrived{"/echo"}, want: "26 attempts"},
		{do: send("POST", "/echo", "x"), times: 4, counts: counts{"202": {3, 3}, "reset": {1, 1}}}, // HTTP/1.1 has no such promise
		{do: get("/", "X-User", "greedy").overHTTP2(), want: "RST_STREAM ENHANCE_YOUR_CALM"},
	}}},
	"goaway-storm": {{steps: []step{
		{do: send("POST", "/echo", "x").overHTTP2(), times: 40, want: "19×202, GOAWAY NO_ERROR, 19×202, GOAWAY NO_ERROR"},
		{do: get("/").overHTTP2().show("connections"), want: "200 on 3 connections"},
	}}},
}

// restart is one round of rolling-restart, after a wait.
func restart(wait time.Duration) []step {
	return []step{
		{wait: wait, do: get("/").pooled().show("leave"), want: "200 and leave"},
		{do: get("/readyz"), want: "503"},
		{wait: 25 * time.Second, do: get("/"), want: "no response"},
		{do: call{method: echo}, want: "Unavailable"},
		{wait: 10 * time.Second, do: get("/").pooled().show("leave"), want: "200 and stay"},
		{do: get("/readyz"), want: "200"},
	}
}

var phone = ws.HandshakeHeaderHTTP(http.Header{"User-Agent": {"Mobile Safari"}})

// protocols are scenarios of gRPC and WebSockets.
var protocols = map[string][]run{
	"grpc-errors": {{steps: []step{
		{do: call{method: echo}, times: 20, want: "9×OK, Unavailable, 9×OK, Unavailable"},
		{do: call{method: version, metadata: []string{"x-user", "greedy"}}, want: "ResourceExhausted"},
		{do: call{method: version}, want: "OK"},
		{do: stream{}, want: "3 messages, then Aborted"},
	}}},
	"grpc-streams": {{steps: []step{
		{do: stream{}, want: "5 messages, then DeadlineExceeded"},
		{do: stream{call{metadata: []string{"x-user", "roaming"}}}, want: "7 messages, then Unavailable"},
	}}},
	"grpc-deadlines": {{steps: []step{
		{do: call{method: echo, patience: 30 * time.Second}, times: 200, counts: counts{"OK": {142, 178}, "Unavailable": {8, 32}, "DeadlineExceeded": {8, 32}}},
		{do: call{method: echo, patience: time.Second}, times: 200, counts: counts{"OK": {138, 178}, "Unavailable": {8, 32}, "DeadlineExceeded": {8, 36}}},
		{do: call{method: version}, times: 10, want: "10×OK"},
	}}},
	"websockets": {{steps: []step{
		{do: socket{messages: 20, patience: time.Minute}, counts: counts{"back": {17, 20}, "lost": {0, 3}, "open": {1, 1}}},
		{do: socket{messages: 20, patience: time.Minute}, counts: counts{"back": {17, 20}, "lost": {0, 3}, "open": {1, 1}}},
		{do: socket{messages: 20, patience: time.Minute}, want: "10×back, 10×lost, 1012"},
		{do: socket{messages: 400, patience: time.Minute, headers: phone}, counts: counts{"back": {340, 380}, "lost": {20, 60}, "open": {1, 1}}}, // 5 % in each direction
	}}},
	"websocket-drops": {{steps: []step{
		{do: socket{messages: 5, ping: true, patience: time.Minute}, times: 2, want: "pong, 5×back, 1006, pong, 5×back, 1006", took: exactly(30 * time.Second)},
		{do: socket{messages: 5, ping: true, patience: time.Minute}, want: "5×back, open"},
	}}},
	"message-order": {{steps: []step{
		{do: socket{messages: 400, patience: time.Minute}, counts: counts{"back": {330, 400}, "late": {20, 60}, "twice": {9, 33}, "open": {1, 1}}},
	}}},
}

const version = "/version.VersionService/Version"
