package redact_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

func TestName(t *testing.T) {
	for _, name := range strings.Fields(`PASS DB_PASS SSHPASS PASSWORD PASSWORDS PGPASSWORD dbPassword MYSQL_PWD DBPWD PW DB_PW PASSPHRASE
		SECRET SECRET_KEY_BASE CLIENT_SECRETS TOKEN TOKENS MYTOKEN MYCREDS LDAP_BINDPW GITHUB_TOKEN accessToken NPM_AUTHTOKEN token1 KEY KEYS API_KEY API_KEYS APIKEY apiKeys
		AWS_ACCESS_KEY_ID AWSAccessKeyId SIGNKEY dir/x_key AUTH REDIS_AUTH OAUTH2 OAuth BASICAUTH proxy-authorization AWS_CREDENTIALS credential CREDS DSN SENTRY_DSN
		GITHUB_PAT PAT PRIVATE private_pem SAS X-Amz-Signature X-Goog-Signature sig HTTP_COOKIE OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_LOGS_HEADERS
		SLACK_WEBHOOK_URL PASSword PassWord jsessionid`) {
		if !redact.Name(name) {
			t.Errorf("%s is not the name of a secret", name)
		}
	}
	for _, name := range strings.Fields(`PATH MONKEY KEYBOARD COMPASS BYPASS PASSENGER PWD OLDPWD TOKENIZERS_PARALLELISM AUTHOR COMPAT PATTERN GOPATH KEYCLOAK_HOST
		PODINFO_UI_MESSAGE PODINFO_PORT PODINFO_TOKEN_ENABLED HOME HOSTNAME LANG HEADER_SIZE MAX_HEADER_BYTES SIGNAL TURKEY Hotkeys KUBERNETES_SERVICE_HOST monkeyHouse spatial a q`) {
		if redact.Name(name) {
			t.Errorf("%s is the name of a secret", name)
		}
	}
}

const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		// URLs.
		"tcp://user:hunter2@redis:6379":                   "tcp://user:REDACTED@redis:6379",
		"redis://:hunter2@redis/0":                        "redis://:REDACTED@redis/0",
		"http://a:b@x,http://c:d@y":                       "http://a:REDACTED@x,http://c:REDACTED@y",
		"http://a:80,http://c:d@y":                        "http://a:80,http://c:REDACTED@y",
		"redis://:a,b@host":                               "redis://:REDACTED@host",
		"dial redis://u:p@h:1: connection refused, sorry": "dial redis://u:REDACTED@h:1: connection refused, sorry",
		"redis://joe@corp.com:pw@h":                       "redis://REDACTED@h",
		"https://ghp_0123456789abcdef@github.com/x":       "https://REDACTED@github.com/x",
		"https://0123456789abcdef:x-oauth-basic@h":        "https://REDACTED@h",
		"https://token:@h":                                "https://REDACTED@h",
		"ssh://git@github.com/x":                          "ssh://git@github.com/x",
		"http://[::1]:80/x":                               "http://[::1]:80/x",
		"redis://u:p@[::1]:80/x":                          "redis://u:REDACTED@[::1]:80/x",
		`Post "http://u:p@h/": mail joe@x`:                `Post "http://u:REDACTED@h/": mail joe@x`,
		"https://mirror.example.org/@scope/package":       "https://mirror.example.org/@scope/package",
		// URLs that are not well-formed.
		"redis://:p#w@h":       "redis://:REDACTED@h",
		"redis://:p/w@h":       "redis://:REDACTED@h",
		"redis://:p?w@h":       "redis://:REDACTED@h",
		"redis://:p@w@h":       "redis://:REDACTED@h",
		"redis://:p w@h":       "redis://:REDACTED@h",
		"redis://u:12/34@h":    "redis://u:REDACTED@h",
		"redis://u:p,x://y@h":  "redis://u:REDACTED@h",
		"redis://u:hunter2":    "redis://u:REDACTED",
		"redis://u/x:pw@h":     "redis://REDACTED@h",
		"root:pw@tcp(db)/x":    "root:REDACTED@tcp(db)/x",
		"root:p w@tcp(db)/x":   "root:REDACTED@tcp(db)/x",
		"u:p@ss@host":          "u:REDACTED@host",
		"http://h:80\nx@y":     "http://h:80\nx@y",
		"podinfo:1@sha256:0a1": "podinfo:1@sha256:0a1",
		// Assignments.
		"h.example:6380,password=p,=w,ssl=True,abortConnect=False":        "h.example:6380,password=REDACTED,ssl=True,abortConnect=False",
		"host=db password='p w' user=u":                                   "host=db password=REDACTED user=u",
		"AccountName=a;AccountKey=c2VjcmV0==;EndpointSuffix=x":            "AccountName=a;AccountKey=REDACTED;EndpointSuffix=x",
		`Post "http://h/?api_key=x&a=1": dial tcp: connection refused`:    `Post "http://h/?api_key=REDACTED&a=1": dial tcp: connection refused`,
		`Post "http://h/?a=1&api%5Fkey=x": dial tcp: connection refused`:  `Post "http://h/?a=1&api%5Fkey=REDACTED": dial tcp: connection refused`,
		`Post "http://h/?api_key=x\"y": dial tcp: connection refused`:     `Post "http://h/?api_key=REDACTED": dial tcp: connection refused`,
		"http://h/?X-Amz-Signature=a,b&X-Amz-Date=2026":                   "http://h/?X-Amz-Signature=REDACTED&X-Amz-Date=2026",
		"api-key=x,authorization=Basic eDp5":                              "api-key=REDACTED,authorization=REDACTED",
		"http://h/?a=1&monkey=2":                                          "http://h/?a=1&monkey=2",
		"token=":                                                          "token=",
		`{"user":"u","password":"p\"w","n":1}`:                            `{"user":"u","password":"REDACTED","n":1}`,
		"a " + jwt + " b":                                                 "a REDACTED b",
		"Authorization: Bearer abc1":                                      "Authorization: Bearer REDACTED",
		"Basic functionality":                                             "Basic functionality",
		"a\n-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\nb": "a\nREDACTED\nb",
		"-----BEGIN RSA PRIVATE KEY-----\nx":                              "REDACTED",
		"":                                                                "",
		"greetings, mail joe@example.com":                                 "greetings, mail joe@example.com",
		"http://plain/path?x=1":                                           "http://plain/path?x=1",
	} {
		if got := redact.Text(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
		if got := redact.Text(want); got != want {
			t.Errorf("%q: %q the second time", want, got)
		}
	}
}

func TestSetting(t *testing.T) {
	for in, want := range map[string]string{
		"http://a/echo?token=s3cret&x=1#f":     "http://a/echo?token=REDACTED&x=REDACTED#f",
		"http://u:pw@a/?k=a,b;l=c http://b/?m": "http://u:REDACTED@a/?k=REDACTED;l=REDACTED http://b/?m",
		"http://a/?k=x,http://b/":              "http://a/?k=REDACTED",
		"http://a/?k=&l=a=b":                   "http://a/?k=&l=REDACTED",
		"http://u:p?k=x@a/":                    "http://u:REDACTED@a/",
		`Post "http://a/?k=x": refused`:        `Post "http://a/?k=REDACTED": refused`,
		`Post "http://a/?k=x\"y&l=z": refused`: `Post "http://a/?k=REDACTED&l=REDACTED": refused`,
		`http://a/?k=x"y`:                      `http://a/?k=REDACTED`,
		"what?is=it":                           "what?is=it",
	} {
		if got := redact.Setting(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestQuery(t *testing.T) {
	for in, want := range map[string]string{
		"a=1&token=x&sig=y&b":             "a=1&token=REDACTED&sig=REDACTED&b",
		"X-Amz-Signature=x;a=1":           "X-Amz-Signature=REDACTED;a=1",
		"%74oken=x":                       "%74oken=REDACTED",
		"%zz=x":                           "%zz=REDACTED",
		"token=&key=":                     "token=&key=",
		"a=" + jwt:                        "a=REDACTED",
		jwt:                               "REDACTED",
		"to=http%3A%2F%2Fu%3Ap%40h":       "to=REDACTED",
		"to=/x%3Ftoken%3Dy&q=a%20b":       "to=REDACTED&q=a%20b",
		"to=http://h/&q=1":                "to=http://h/&q=1",
		"":                                "",
		"a=1&&b":                          "a=1&&b",
		"keyboard=us&path=/x&q=%C3%A4%zz": "keyboard=us&path=/x&q=%C3%A4%zz",
	} {
		if got := redact.Query(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"/a?token=x":               "/a?token=REDACTED",
		"/a?x=1":                   "/a?x=1",
		"/a":                       "/a",
		"/a?":                      "/a?",
		"/token/" + jwt + "?x=1":   "/token/REDACTED?x=1",
		"http://u:p@h/a?key=x":     "http://u:REDACTED@h/a?key=REDACTED",
		"*":                        "*",
		"/?a=1?token=x":            "/?a=REDACTED",
		"example.com:443":          "example.com:443",
		"/u:p@h":                   "/u:p@h",
		"/item/7?page=2&sort=name": "/item/7?page=2&sort=name",
	} {
		if got := redact.RequestURI(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestURL(t *testing.T) {
	u, err := url.Parse("http://u:p@h/a?token=x&a=1#token=y")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := redact.URL(u), "http://REDACTED:REDACTED@h/a?token=REDACTED&a=REDACTED"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, uri := range []string{"/", "/status/200?a=1&page=2&sort=name", "/?monkey=1&path=/x&q=a;b=c"} {
		if n := testing.AllocsPerRun(100, func() { redact.RequestURI(uri) }); n > 0 {
			t.Errorf("%s: %v allocations", uri, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { redact.Text("request completed") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequestURI(b *testing.B) {
	for name, uri := range map[string]string{"none": "/status/200", "query": "/status/200?a=1&page=2&sort=name", "secret": "/status/200?a=1&token=x"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				redact.RequestURI(uri)
			}
		})
	}
}

// canary is a password without a part that a text has by chance.
const canary = "Zq7Xv9Wk3Jp5Yh2N"

// shows reports whether a text has four characters of the canary.
func shows(text string) bool {
	for i := range len(canary) - 3 {
		if strings.Contains(text, canary[i:i+4]) {
			return true
		}
	}
	return false
}

// FuzzURL puts the canary into the password and the query of a URL, with any
// characters around it, in any text: no part of it is shown.
func FuzzURL(f *testing.F) {
	for _, around := range []string{"", "#", "/", "?", "@", " ", "%", ",", ":", "\"", "12/", "&x=", "=", "p w", "{", "\\"} {
		f.Add("redis", "u", around, "", "h:6379/0", "")
		f.Add("", "", "", around, "h", "say ")
		f.Add("https", "joe@x", around, around, "[::1]:1/?a=1", "dial ")
	}
	f.Fuzz(func(t *testing.T, scheme, user, before, after, host, text string) {
		for _, s := range []string{scheme, user, before, after, host, text} {
			if strings.ContainsAny(s, "\n\r") || strings.Contains(s, "://") || shows(s) {
				t.Skip("more than one line or URL")
			}
		}
		if strings.ContainsAny(user, "[]") || strings.ContainsAny(scheme+text, "\"'`") {
			t.Skip("an address in place of a user, or a quote that strconv.Quote did not write")
		}
		u := scheme + "://" + user + ":" + before + canary + after + "@" + host
		for _, got := range []string{redact.Text(u), redact.Setting(u), redact.Text(text + " " + u), redact.Text(text + strconv.Quote(u) + text)} {
			if shows(got) {
				t.Errorf("%q shows %q", u, got)
			}
		}
		for _, name := range []string{"token", "api_key", "X-Amz-Signature"} {
			q := name + "=" + url.QueryEscape(before+canary+after)
			for _, got := range []string{redact.Query(q), redact.RequestURI("/?a=1&" + q), redact.Text(u + "?" + q), redact.Setting("http://h/?" + q)} {
				if shows(got) {
					t.Errorf("%q shows %q", q, got)
				}
			}
		}
	})
}

func TestOrigin(t *testing.T) {
	for url, want := range map[string]string{
		"http://a": "http://a", "ftp://a:1/": "ftp://a:1/", "http://u:p@a": "http://u:REDACTED@a", "http://u@a/": "http://REDACTED@a/",
		"http://a/?x": "http://a/REDACTED", "http://a/b": "http://a/REDACTED", "http://a#b": "http://a/REDACTED", "http://[::1]:80/x": "http://[::1]:80/REDACTED",
		"http://u:12/3@a": redact.Mark, "http://u:12?3@a": redact.Mark, "http://u:p@q@a": redact.Mark, "http://a,http://b": redact.Mark, "p": redact.Mark, "a:b": redact.Mark, "http://u:x y@a": redact.Mark, "": redact.Mark,
	} {
		if got := redact.Origin(url); got != want {
			t.Errorf("%q: %q, want %q", url, got, want)
		}
	}
}
