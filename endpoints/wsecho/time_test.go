package wsecho

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// after fails the test unless exactly d has passed since began.
func after(t *testing.T, began time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(began); got != d {
		t.Fatalf("after %v, want %v", got, d)
	}
}

func TestStatusAndPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(Module))
		began := time.Now()
		p := pipe(t, app, "")
		for tick := 5 * time.Second; tick <= 3*time.Minute; tick += 5 * time.Second {
			heard := map[string]bool{p.next(t): true}
			after(t, began, tick)
			if tick%(30*time.Second) == 0 {
				heard[p.next(t)] = true // in either order
				after(t, began, tick)
				if !heard["ping"] {
					t.Fatal(heard)
				}
				p.send(t, masked(ws.OpPong, true, ""))
			}
			if !heard["status"] {
				t.Fatal(heard)
			}
		}
	})
}

// TestNoClockWithoutClients checks that no timer runs without clients. In a
// testing/synctest bubble a running timer would advance the fake clock forever.
func TestNoClockWithoutClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(Module)
		app, _ := registrytest.New(t, nil, m)
		time.Sleep(time.Hour)
		if m.status.Load() != nil {
			t.Error("a tick before there was a client")
		}
		for range 2 {
			began := time.Now()
			p := pipe(t, app, "")
			p.expect(t, "status")
			after(t, began, 5*time.Second)
			p.Close()
			synctest.Wait()
			last := m.status.Load()
			time.Sleep(time.Hour + time.Second)
			if m.status.Load() != last {
				t.Error("a tick after the last client")
			}
		}
	})
}

func TestSilentClientIsDropped(t *testing.T) {
	for name, last := range map[string]string{"nothing": "", "half a frame": text("abc")[:5], "half a message": start("a")[:7]} {
		synctest.Test(t, func(t *testing.T) {
			app, _ := registrytest.New(t, nil, new(Module))
			time.Sleep(7 * time.Second) // so that the server's ticks do not fall on the client's
			p := pipe(t, app, "")
			time.Sleep(time.Second)
			began := time.Now()
			p.send(t, ping(""))
			p.expect(t, "pong ")
			go io.WriteString(p, last)
			for heard := p.next(t); heard != "end"; heard = p.next(t) {
				if heard != "status" && heard != "ping" {
					t.Fatalf("%s: %s", name, heard)
				}
			}
			after(t, began, time.Minute)
		})
	}
}

// TestStalledClient checks that a client that does not read does not delay others
// and is disconnected after the write timeout.
func TestStalledClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, log := registrytest.New(t, nil, new(Module))
		began := time.Now()
		stalled, other := pipe(t, app, ""), pipe(t, app, "")
		stalled.send(t, text("are you there"))
		for tick := 5 * time.Second; tick <= 20*time.Second; tick += 5 * time.Second {
			other.expect(t, "status")
			after(t, began, tick)
			other.send(t, text("yes"))
			other.expect(t, "text yes")
			after(t, began, tick)
			synctest.Wait()
			if dropped := strings.Contains(log.String(), "websocket connection closed"); dropped != (tick >= 10*time.Second) {
				t.Fatalf("after %v: dropped %v", tick, dropped)
			}
		}
		if _, err := io.ReadAll(stalled); err != nil {
			t.Error(err)
		}
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, map[string]string{"PODINFO_WS_ECHO_MAX_CONNECTIONS": "2"}, new(Module))
		first := pipe(t, app, "")
		pipe(t, app, "")
		third, done := tryPipe(t, app, "")
		if res, err := http.ReadResponse(third.in, nil); err != nil || res.StatusCode != 503 {
			t.Fatal(res, err)
		}
		<-done
		first.Close()
		synctest.Wait()
		pipe(t, app, "")
	})
}

// bubbleGoroutines counts the goroutines of the testing/synctest bubble.
func bubbleGoroutines() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(", synctest bubble"))
}

func TestOneGoroutineEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(Module))
		before := bubbleGoroutines()
		for range 50 {
			pipe(t, app, "")
		}
		synctest.Wait()
		if n := bubbleGoroutines() - before; n != 50 {
			t.Errorf("%d goroutines for 50 connections", n)
		}
	})
}

func TestDrainCuts(t *testing.T) {
	for name, heard := range map[string]bool{"does not read": false, "does not close": true} {
		synctest.Test(t, func(t *testing.T) {
			app, _ := registrytest.New(t, quiet, new(Module))
			p := pipe(t, app, "")
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			done := make(chan error)
			go func() { done <- app.Drain(ctx) }()
			if heard {
				p.expect(t, "close 1001 going away")
				go io.WriteString(p, text("too late"))
			}
			if err := <-done; err == nil || !strings.Contains(err.Error(), "1 connections cut") {
				t.Error(name, err)
			}
			after(t, began, 7*time.Second)
			p.expect(t, "end")
		})
	}
}

func TestDrainEndsWithTheLastClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, quiet, new(Module))
		p, silent := pipe(t, app, ""), pipe(t, app, "")
		began := time.Now()
		done := make(chan error)
		go func() { done <- app.Drain(context.Background()) }()
		p.expect(t, "close 1001 going away")
		silent.expect(t, "close 1001 going away")
		p.Close()
		if err := <-done; err != nil { // the silent client is disconnected after the idle timeout
			t.Error(err)
		}
		after(t, began, time.Minute)
	})
}
