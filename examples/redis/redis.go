// Package redis shows a Redis client that survives latency, resets and a server that
// does not respond. Its test puts a TCP proxy of podinfo in front of a real Redis.
package redis

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// NewClient returns a client for the address of a Redis.
func NewClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:            addr,
		DialTimeout:     time.Second,
		ReadTimeout:     200 * time.Millisecond, // ends a request that stalls
		MaxRetries:      5,                      // over new connections
		MinRetryBackoff: time.Millisecond,
		MaxRetryBackoff: 10 * time.Millisecond,
		Protocol:        2,
		DisableIdentity: true, // saves a round trip for each connection
	})
}
