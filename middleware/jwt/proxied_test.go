package jwt_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
)

// TestProxiedPaths checks which paths of a service behind the proxy need a token,
// however the service may read them.
func TestProxiedPaths(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	for _, c := range []struct {
		paths         string
		guarded, open string // paths, separated by spaces
		log           string
		proxy         []string // settings
	}{
		{"/admin/*", "/admin /admin/ /admin/x //admin/x /x/../admin /admin%2Fx /admin;x=1/users /admin;/x /x;/..;/admin /x/..;/admin/y /public/..;x/admin /admin%3Bx/y" +
			` /x\..\admin\y /admin\x /%2561dmin/x /%252561dmin/x /x%252F..%252Fadmin /%25252525252525252561dmin`,
			"/ /x /ADMIN/x /admin%20/x /administrator /admins/x /x;admin /x;/admin2 /x/admin /100%25 /x%25zz /;/x", `"open":"/{path...}","routes":"/admin/*"`, nil},
		{"/*,!/public/*", "/ /x /public /public/../x /public/..;/x /public;/x /public/%252e%252e/x /public/..%5cx /x/..;/public/y", "/public/x /public/x;v=1 /public/x;v=1/y /public/ü",
			`"open":"/{path...}","routes":"/*, !/public/*"`, nil},
		{"/*", "/ /x /public/x", "", `"open":"","routes":"/{path...}"`, nil},
		{"/admin/*", "/files/../admin/x /files/..;/admin/x /files/..%2fadmin/x", "/files/x /files/x;y", `"routes":"/admin/*"`, []string{"PODINFO_PROXY_ROUTES=/files/{rest...}"}},
		{"/admin", "/admin# /admin#/x /admin#?x /admin%23 /admin%3Fx /admin%2523x /x/../admin#y /admin;x#y", "/x#/admin /admins#x /%23admin", `"routes":"/admin"`, nil}, // nginx reads /admin#x as /admin
		{"/v1.2/*", "/v1.2/x", "/v1.1/x", `"routes":"/v1.2/*"`, nil},                                                                                                    // like the name of a gRPC service
		{"/a.B/*,!/a.B/Open", "/a.B/C", "/a.B/Open /a.C/D", `"routes":"/a.B/*, !/a.B/Open"`, nil},
	} {
		tokens := new(token.Module)
		s := registrytest.Serve(t, env(c.paths, append(c.proxy, "PODINFO_PROXY_URL="+service.URL, "PODINFO_PROXY_ALL=true")...), new(jwt.Module), tokens, new(proxy.Module))
		signed, _, err := tokens.Issue("ann")
		if err != nil {
			t.Fatal(err)
		}
		for code, paths := range map[int]string{401: c.guarded, 200: c.open} {
			for path := range strings.FieldsSeq(paths) {
				if got := raw(t, s.Listener.Addr().String(), "GET "+path); got != code {
					t.Errorf("%s: GET %s: %d, want %d", c.paths, path, got, code)
				}
				if res, _ := s.Call(t, "GET", "/"+strings.Trim(path, `/;%\`), "", "Authorization", "Bearer "+signed); !strings.ContainsAny(path, `;%\`) && res.StatusCode != 200 {
					t.Errorf("%s: GET %s with a token: %d", c.paths, path, res.StatusCode)
				}
			}
		}
		if !strings.Contains(s.Log.String(), c.log) || strings.Contains(s.Log.String(), "/token") {
			t.Errorf("%s: want %s: %s", c.paths, c.log, s.Log)
		}
	}
}
