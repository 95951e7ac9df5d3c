// Package browser tests the page of podinfo in a real Chromium, against real podinfo
// processes.
package browser
