package ui

import (
	"errors"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/static"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// page is a page and the policy that goes with it.
type page struct {
	*static.File
	policy string // "" for none
}

// pages are the page for a path that ends with a slash, and for one that does
// not, from which a browser resolves references another way.
type pages struct{ slash, bare page }

func (m *Module) servePage(w http.ResponseWriter, r *http.Request) {
	p := m.pages.bare
	if strings.HasSuffix(r.URL.Path, "/") {
		p = m.pages.slash
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

// ownPages are the page that this module has. Its references are relative, so
// that it works behind a proxy that strips or adds a prefix.
func (m *Module) ownPages() pages {
	at := func(base string) page {
		text := strings.NewReplacer(
			"__BASE__", html.EscapeString(base),
			"__ASSETS__", "ui/assets/"+m.files.hash,
			"__FILES__", m.files.names,
			"__TITLE__", html.EscapeString(m.instance.Hostname),
			"__MESSAGE__", html.EscapeString(m.about().Message),
		).Replace(m.files.index)
		return page{static.New("index.html", []byte(text)), policy(m.about().Logo)}
	}
	return pages{slash: at("./"), bare: at(url.PathEscape(path.Base(m.host.Prefix())) + "/")}
}

// policy lets the page load its own files and a logo that was chosen, and
// nothing else. No part of it depends on an inline script or style.
func policy(logo string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:" + origin(logo) +
		"; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
}

var hostPort = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)

// origin is " " and the origin of an image elsewhere, "" for one that needs
// none.
func origin(logo string) string {
	u, err := url.Parse(logo)
	if err != nil || !hostPort.MatchString(u.Host) {
		return ""
	}
	switch u.Scheme {
	case "http", "https":
		return " " + u.Scheme + "://" + u.Host
	case "": // //example.com/logo.png, over the page's own scheme
		return " " + u.Host
	}
	return ""
}

// givenPage is vue.html of the directory that was given, filled in. It may
// have scripts of its own, so it gets no policy.
func (m *Module) givenPage() (p page, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(m.Path, "vue.html"))
	if errors.Is(err, fs.ErrNotExist) {
		return page{}, false, nil
	}
	if err != nil {
		return page{}, false, err
	}
	filled, err := fill(string(text), map[string]string{"Title": m.instance.Hostname, "Logo": m.setting("UI_LOGO").Value, "Prefix": m.host.Prefix()})
	return page{File: static.New("vue.html", []byte(filled))}, true, err
}

// setting is a setting of another module, as that one is given it also when it
// is off.
func (m *Module) setting(key string) registry.Setting {
	for _, s := range m.host.Settings() {
		if s.Key == registry.EnvPrefix+key {
			return s
		}
	}
	return registry.Setting{}
}
