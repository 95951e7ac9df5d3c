package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
)

// interval is the time between two messages that a server sends by itself.
const interval = time.Second

// serveBare serves what cost and scale ask for, with as little code as does the work.
func serveBare(httpAddr, grpcAddr string) error {
	l, err := net.Listen("tcp", grpcAddr)
	if err != nil {
		return err
	}
	calls := grpc.NewServer()
	echopb.RegisterEchoServiceServer(calls, new(echoService))
	failed := make(chan error, 2)
	go func() { failed <- calls.Serve(l) }()
	go func() { failed <- http.ListenAndServe(httpAddr, bareMux()) }()
	return <-failed
}

type echoService struct {
	echopb.UnimplementedEchoServiceServer
}

func (*echoService) Echo(_ context.Context, m *echopb.Message) (*echopb.Message, error) {
	return m, nil
}

func (*echoService) Stream(both grpc.BidiStreamingServer[echopb.Message, echopb.Message]) error {
	for {
		m, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = both.Send(m)
		}
		if err != nil {
			return err
		}
	}
}

func bareMux() *http.ServeMux {
	mux := http.NewServeMux()
	version := []byte("{\n  \"commit\": \"0123456789abcdef0123456789abcdef01234567\",\n  \"version\": \"6.15.0\"\n}")
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, http.StatusOK, version) })
	ok := []byte("{\n  \"status\": \"OK\"\n}")
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, http.StatusOK, ok) })
	mux.HandleFunc("GET /status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		sendJSON(w, code, fmt.Appendf(nil, "{\n  \"status\": %d\n}", code))
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		sendRaw(w, http.StatusAccepted, body)
	})
	mux.HandleFunc("POST /token", issue)
	var stored sync.Map
	mux.HandleFunc("PUT /cache/{key}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		stored.Store(r.PathValue("key"), body)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /cache/{key}", func(w http.ResponseWriter, r *http.Request) {
		body, found := stored.Load(r.PathValue("key"))
		if !found {
			http.NotFound(w, r)
			return
		}
		sendRaw(w, http.StatusOK, body.([]byte))
	})
	mux.HandleFunc("/ws/echo", echoMessages)
	mux.HandleFunc("/ui/events", sendEvents)
	return mux
}

func sendJSON(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(body)
}

func sendRaw(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.WriteHeader(code)
	w.Write(body)
}

func issue(w http.ResponseWriter, r *http.Request) {
	name, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	expires := time.Now().Add(time.Minute)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"name": string(name), "iss": "podinfo", "exp": expires.Unix()}).SignedString([]byte("secret"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, _ := json.MarshalIndent(map[string]any{"token": token, "expires_at": expires}, "", "  ")
	sendJSON(w, http.StatusOK, body)
}

// echoMessages echoes the messages of a WebSocket and sends one at each interval.
func echoMessages(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer conn.Close()
	var mu sync.Mutex
	send := func(op ws.OpCode, message []byte) error {
		mu.Lock()
		defer mu.Unlock()
		return wsutil.WriteServerMessage(conn, op, message)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				send(ws.OpText, []byte(`{"ts":"2026-01-02T15:04:05.000Z","server":"podinfo"}`))
			case <-done:
				return
			}
		}
	}()
	for {
		message, op, err := wsutil.ReadClientData(conn)
		if err != nil || send(op, message) != nil {
			return
		}
	}
}

// sendEvents sends an event of the requested size at each interval.
func sendEvents(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(r.URL.Query().Get("bytes"))
	w.Header().Set("Content-Type", "text/event-stream")
	event := append(append([]byte("data: "), make([]byte, max(size-8, 0))...), "\n\n"...)
	for i := 6; i < len(event)-2; i++ {
		event[i] = 'x'
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		w.Write(event)
		w.(http.Flusher).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
