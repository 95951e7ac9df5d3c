package ui

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
)

// ServeErrorPage implements [registry.ErrorPager]. The page contains nothing
// but text.
func (m *Module) ServeErrorPage(w http.ResponseWriter, r *http.Request, code int, message string) bool {
	h := w.Header()
	h.Add("Vary", "Accept, Sec-Fetch-Mode, User-Agent")
	if !navigates(r) {
		return false
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	title := strings.TrimSpace(fmt.Sprint(code, " ", http.StatusText(code)))
	io.WriteString(w, `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>`+title+`</title>
<h1>`+title+`</h1>
<p>`+html.EscapeString(message)+`</p>
`)
	return true
}

// navigates reports whether a browser asks for a page to show, and not for a
// script or an image. Browsers say so over HTTPS and on localhost; without
// Sec-Fetch-Mode the agent decides, as for [Module.Routes].
func navigates(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return strings.Contains(r.Header.Get("Accept"), "text/html") &&
		(mode == "navigate" || mode == "" && strings.HasPrefix(r.UserAgent(), "Mozilla"))
}
