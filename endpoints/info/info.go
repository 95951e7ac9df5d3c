// Package info serves /api/info, which describes the running instance as JSON.
package info

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"os"
	"runtime"
	"strconv"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the info module.
type Module struct {
	setting.UIColor
	Logo    string `env:"UI_LOGO" envDefault:"https://raw.githubusercontent.com/stefanprodan/podinfo/gh-pages/cuddle_clap.gif" secret:"part" doc:"URL of the image on the page; if unset, the page shows a built-in image" takes:"URL"`
	Message string `env:"UI_MESSAGE" doc:"greeting on the page; empty means \"greetings from podinfo v\" and the version"`

	host       *registry.Host
	reply      Reply  // without NumGoroutine
	head, tail []byte // reply encoded, before and after the value of NumGoroutine
}

// Reply describes the running instance. All values are strings.
type Reply struct {
	Hostname     string `json:"hostname"`
	Version      string `json:"version"`
	Revision     string `json:"revision"`
	Color        string `json:"color"`
	Logo         string `json:"logo"`
	Message      string `json:"message"`
	GOOS         string `json:"goos"`
	GOARCH       string `json:"goarch"`
	Runtime      string `json:"runtime"`
	NumGoroutine string `json:"num_goroutine"`
	NumCPU       string `json:"num_cpu"`
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "info", Doc: "Describe the running instance as JSON.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if !setting.ValidColor(m.Color) {
		return registry.Unfit("Color", setting.ColorFormat)
	}
	return nil
}

// Provision collects the values that do not change.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	b := h.Build()
	m.reply = Reply{
		Hostname: hostname, Version: b.Version, Revision: b.Revision, Color: m.Color, Logo: redact.UserInfo(m.Logo),
		Message: cmp.Or(m.Message, "greetings from podinfo v"+b.Version),
		GOOS:    runtime.GOOS, GOARCH: runtime.GOARCH, Runtime: runtime.Version(), NumCPU: strconv.Itoa(runtime.NumCPU()),
	}
	return m.encode()
}

// encode splits the encoded reply at the one value that changes.
func (m *Module) encode() error {
	b, err := reply.Encode(m.reply)
	if err != nil {
		return err
	}
	key := []byte(`"num_goroutine": "`) // cannot occur in a value, where quotes are escaped
	at := bytes.Index(b, key)
	if at < 0 {
		return errors.New("the encoded response has no num_goroutine")
	}
	m.head, m.tail = b[:at+len(key)], b[at+len(key):]
	return nil
}

// Routes declares / and /api/info.
func (m *Module) Routes() []registry.Route {
	returns := map[int]any{http.StatusOK: Reply{}}
	paths := []string{"/", "/api/info"}
	return []registry.Route{
		{
			Method: http.MethodGet, Path: paths[0], Handler: m.serveRoot, SameAs: paths,
			Summary: "Runtime information, or a page for browsers", Tag: "HTTP API", Returns: returns,
		},
		{
			Method: http.MethodGet, Path: paths[1], Handler: m.serve, SameAs: paths,
			Summary: "Runtime information", Tag: "HTTP API", Returns: returns,
		},
	}
}

// vary is set because / serves a page to browsers.
var vary = []string{"User-Agent, Accept"}

func (m *Module) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header()["Vary"] = vary
	m.serve(w, r)
}

func (m *Module) serve(w http.ResponseWriter, _ *http.Request) {
	b := make([]byte, 0, len(m.head)+len(m.tail)+20)
	b = append(b, m.head...)
	b = strconv.AppendInt(b, int64(runtime.NumGoroutine()), 10)
	b = append(b, m.tail...)
	reply.Encoded(w, http.StatusOK, b)
}

// Runtime returns the current description of the instance.
func (m *Module) Runtime() Reply {
	r := m.reply
	r.NumGoroutine = strconv.Itoa(runtime.NumGoroutine())
	return r
}
