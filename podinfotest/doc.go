// Package podinfotest breaks a client in a Go test.
package podinfotest
