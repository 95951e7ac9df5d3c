// Package browser tests podinfo's pages in a real Chromium against real podinfo
// processes.
package browser
