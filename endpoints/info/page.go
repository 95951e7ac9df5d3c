package info

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

//go:embed index.html
var indexHTML string

//go:embed style.css
var styleCSS string

// page is a page and the policy that goes with it. Neither ever changes.
type page struct {
	html   []byte
	policy string
}

func (p page) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.policy != "" {
		h.Set("Content-Security-Policy", p.policy)
	}
	w.Write(p.html)
}

// ownPage is the page this module has. It loads nothing but a logo that was
// chosen and runs no script, and its policy holds it to that.
func (m *Module) ownPage() (page, error) {
	t, err := template.New("").Parse(indexHTML)
	if err != nil {
		return page{}, err
	}
	style := strings.ReplaceAll(styleCSS, "UI_COLOR", m.Color)
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Reply
		Style template.CSS
		Image template.URL
		Root  string
	}{m.reply, template.CSS(style), m.image(), m.host.Prefix()})
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; img-src 'self' http: https: data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return page{b.Bytes(), policy}, err
}

// image is the logo that was chosen, or "" for the page's own, which needs no
// network. Whatever its scheme, the policy lets the browser load no script.
func (m *Module) image() template.URL {
	for _, s := range m.host.Settings() {
		if s.Key == registry.EnvPrefix+"UI_LOGO" && s.Source == registry.FromDefault {
			return ""
		}
	}
	return template.URL(m.Logo)
}

// givenPage is vue.html of the directory that was given, filled in as upstream
// does. It may have scripts of its own, so it gets no policy.
func (m *Module) givenPage() (p page, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(m.Path, "vue.html"))
	if errors.Is(err, fs.ErrNotExist) {
		return page{}, false, nil
	}
	if err != nil {
		return page{}, false, err
	}
	t, err := template.New("vue.html").Parse(string(text))
	if err != nil {
		return page{}, false, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct{ Title, Logo, Prefix string }{m.reply.Hostname, m.Logo, m.host.Prefix()})
	return page{html: b.Bytes()}, true, err
}
