// Package proxy has a shop and its client, which orders again when it gets no
// response.
package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Shop books orders. An order with the Idempotency-Key of an earlier one is not
// booked again.
type Shop struct {
	mu       sync.Mutex
	bookings []string
	byKey    map[string]int
}

// ServeHTTP serves POST /orders, and GET /orders, which lists the bookings.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /orders":
		for i, item := range s.Bookings() {
			fmt.Fprintf(w, "booking %d: %s\n", i+1, item)
		}
	case "POST /orders":
		s.order(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Shop) order(w http.ResponseWriter, r *http.Request) {
	item, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "booking %d\n", s.book(string(item), r.Header.Get("Idempotency-Key")))
}

// book returns the number of the booking, which is an earlier one if key is known.
func (s *Shop) book(item, key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.byKey[key]; ok && key != "" {
		return n
	}
	s.bookings = append(s.bookings, item)
	if s.byKey == nil {
		s.byKey = map[string]int{}
	}
	s.byKey[key] = len(s.bookings)
	return len(s.bookings)
}

// Bookings returns the items that were booked.
func (s *Shop) Bookings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bookings...)
}

// Order orders an item in up to three attempts, and returns the shop's response.
// The key tells the shop that the attempts are for the same order.
func Order(ctx context.Context, client *http.Client, url, item, key string) (booking string, err error) {
	for wait := time.Second; wait <= 4*time.Second; wait *= 2 {
		if booking, err = attempt(ctx, client, url, item, key); err == nil {
			return booking, nil
		}
		time.Sleep(wait)
	}
	return "", err
}

func attempt(ctx context.Context, client *http.Client, url, item, key string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/orders", strings.NewReader(item))
	if err != nil {
		return "", err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusCreated {
		err = fmt.Errorf("not booked: %s", res.Status)
	}
	return strings.TrimSpace(string(body)), err
}
