package ui

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/internal/static"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// page is an HTML page with its Content-Security-Policy.
type page struct {
	*static.File
	policy string // "" for none
}

// pages holds two variants of the page. A browser resolves relative references
// differently when the page's path ends with a slash than when it does not.
type pages struct{ slash, bare page }

func (m *Module) servePage(w http.ResponseWriter, r *http.Request) {
	p := m.pages().bare
	if strings.HasSuffix(r.URL.Path, "/") {
		p = m.pages().slash
	}
	h := w.Header()
	h.Set("Vary", "User-Agent, Accept")
	h.Set("Cache-Control", "no-cache")
	if p.policy != "" {
		h.Set("Content-Security-Policy", p.policy)
		h.Set("Referrer-Policy", "no-referrer")
	}
	p.ServeHTTP(w, r)
}

// builtinPages returns the page in assets. Its references are relative, so it
// works behind a proxy that strips or adds a prefix.
func (m *Module) builtinPages() pages {
	about := m.about()
	render := func(base string) page {
		text := strings.NewReplacer(
			"__BASE__", html.EscapeString(base),
			"__ASSETS__", "ui/assets/"+m.files.hash,
			"__FILES__", m.files.names,
			"__LOADER__", m.files.loader,
			"__TITLE__", html.EscapeString(m.instance.Hostname),
			"__MESSAGE__", html.EscapeString(about.Message),
		).Replace(m.files.index)
		return page{static.New("index.html", []byte(text)), policy(about.Logo, m.files.loader)}
	}
	return pages{slash: render("./"), bare: render(url.PathEscape(path.Base(m.host.Prefix())) + "/")}
}

// policy returns a Content-Security-Policy that allows the page's own files, the
// configured logo and the loader. It forbids other inline scripts, and styles.
func policy(logo, loader string) string {
	hash := sha256.Sum256([]byte(loader))
	return "default-src 'none'; script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; style-src 'self'; img-src 'self' data:" + logoOrigin(logo) +
		"; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
}

var hostPort = lazyregexp.New(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)

// logoOrigin returns a space and the origin of a logo on another host, or "" when
// the logo needs no permission.
func logoOrigin(logo string) string {
	u, err := url.Parse(logo)
	if err != nil || !hostPort().MatchString(u.Host) {
		return ""
	}
	switch u.Scheme {
	case "http", "https":
		return " " + u.Scheme + "://" + u.Host
	case "": // as in //example.com/logo.png, which has the page's scheme
		return " " + u.Host
	}
	return ""
}

// customPage returns the vue.html in Path with its template actions filled in.
// It has no policy, because it may contain inline scripts.
func (m *Module) customPage() (p page, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(m.Path, "vue.html"))
	if errors.Is(err, fs.ErrNotExist) {
		return page{}, false, nil
	}
	if err != nil {
		return page{}, false, err
	}
	filled, err := fillTemplate(string(text), map[string]string{"Title": m.instance.Hostname, "Logo": m.setting("UI_LOGO").Value, "Prefix": m.host.Prefix()})
	return page{File: static.New("vue.html", []byte(filled))}, true, err
}

// setting returns the setting of any module, which may be off.
func (m *Module) setting(key string) registry.Setting {
	for _, s := range m.host.Settings() {
		if s.Key == registry.EnvPrefix+key {
			return s
		}
	}
	return registry.Setting{}
}
