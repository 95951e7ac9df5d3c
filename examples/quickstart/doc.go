// Package quickstart has the tests that README.md and the pages docs/podinfotest.md
// and docs/coming-from.md show. Each file compiles by itself.
package quickstart
