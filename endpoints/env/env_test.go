package env_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/env"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// vault is a module with a secret whose name no pattern matches.
type vault struct {
	Seal string `env:"SEAL" secret:"true"`
	Open string `env:"OPEN"`
}

func (*vault) Info() registry.Info { return registry.Info{Name: "vault"} }

func TestRedaction(t *testing.T) {
	process := []string{
		"PATH=/bin", "PWD=/home", "MONKEY=m", "PODINFO_UI_MESSAGE=m", "OTEL_EXPORTER_OTLP_HEADERS=x=y", "PGPASSWORD=p", "MYSQL_PWD=p", "REDIS_AUTH=a", "API_KEYS=a,b", "GITHUB_PAT=p",
		"SECRET_KEY_BASE=s", "SENTRY_DSN=https://a@b/1", "MYSQL=u:p@tcp(h)/d", "AZURE=h:6380,password=p,ssl=True", "BLOB=http://h/?sig=s&sv=1", "TOKEN_FILE=/run/token", "TOKEN_PATH=x",
		"A_TOKEN=t", "TOKEN=t", "a_token=t", "TOKENS=t", "TOKENIZER=t", "MYTOKEN=t", "DB_PASSWORD=p=q", "PASSWORD=p", "DB_PASS=p", "PASS=p",
		"COMPASS=n", "BYPASS=b", "KEY=k", "API_KEY=k", "KEYBOARD=us", "AWS_CREDENTIALS=c", "PODINFO_JWT_SECRET=s", "PODINFO_VAULT_SEAL=s", "PODINFO_VAULT_OPEN=o",
		"URL=tcp://user:pw@host:1/x", "URLS=http://a:b@c,redis://:p@d", "PLAIN=http://host/x", "EMPTY_SECRET=", "ODD", "dir/x_key=k", "",
	}
	var redacted []string // by default
	for _, c := range []struct {
		name string
		vars map[string]string
		want []string // variables that differ from process
	}{
		{"default", nil, []string{
			"OTEL_EXPORTER_OTLP_HEADERS=REDACTED", "PGPASSWORD=REDACTED", "MYSQL_PWD=REDACTED", "REDIS_AUTH=REDACTED", "API_KEYS=REDACTED", "GITHUB_PAT=REDACTED",
			"SECRET_KEY_BASE=REDACTED", "SENTRY_DSN=REDACTED", "MYSQL=u:REDACTED@tcp(h)/d", "AZURE=h:6380,password=REDACTED,ssl=True", "BLOB=http://h/?sig=REDACTED&sv=1", "TOKEN_PATH=REDACTED",
			"TOKENS=REDACTED", "MYTOKEN=REDACTED",
			"A_TOKEN=REDACTED", "TOKEN=REDACTED", "a_token=REDACTED", "DB_PASSWORD=REDACTED", "PASSWORD=REDACTED", "DB_PASS=REDACTED", "PASS=REDACTED",
			"KEY=REDACTED", "API_KEY=REDACTED", "AWS_CREDENTIALS=REDACTED", "PODINFO_JWT_SECRET=REDACTED", "PODINFO_VAULT_SEAL=REDACTED",
			"URL=tcp://user:REDACTED@host:1/x", "URLS=http://a:REDACTED@c,redis://:REDACTED@d", "dir/x_key=REDACTED",
		}},
		{"own patterns", map[string]string{"PODINFO_ENV_REDACT": "path,*pass"}, []string{
			"MYSQL=u:REDACTED@tcp(h)/d", "AZURE=h:6380,password=REDACTED,ssl=True", "BLOB=http://h/?sig=REDACTED&sv=1",
			"PATH=REDACTED", "DB_PASS=REDACTED", "PASS=REDACTED", "COMPASS=REDACTED", "BYPASS=REDACTED", "PODINFO_VAULT_SEAL=REDACTED",
			"URL=tcp://user:REDACTED@host:1/x", "URLS=http://a:REDACTED@c,redis://:REDACTED@d",
		}},
		{"default and own patterns", map[string]string{"PODINFO_ENV_REDACT": "default,path"}, nil},
		{"reveal", map[string]string{"PODINFO_ENV_REVEAL": "true"}, nil},
	} {
		m := &env.Module{Environ: process}
		s := registrytest.Serve(t, c.vars, m, new(vault))
		want := append([]string{}, process...)
		if c.name == "default" {
			redacted = c.want
		}
		if c.name == "default and own patterns" {
			c.want = append([]string{"PATH=REDACTED"}, redacted...)
		}
		for _, kv := range c.want {
			name, _, _ := strings.Cut(kv, "=")
			for i, p := range process {
				if strings.HasPrefix(p, name+"=") {
					want[i] = kv
				}
			}
		}
		for _, method := range []string{"GET", "POST"} {
			res, body := s.Call(t, method, "/env", "ignored")
			var got []string
			if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 {
				t.Fatal(res.StatusCode, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: %s", c.name, method, diff)
			}
		}
		if diff := cmp.Diff(want, m.Redacted()); diff != "" {
			t.Errorf("%s, Redacted: %s", c.name, diff)
		}
	}
}

func TestNoEnvironment(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_LEVEL": "debug"}, new(env.Module))
	if _, body := s.Call(t, "GET", "/env", ""); body != "[]" {
		t.Errorf("%s, want []", body)
	}
}

func TestBadPattern(t *testing.T) {
	_, err := registry.New([]registry.Module{new(env.Module)}, registry.Env(map[string]string{"PODINFO_ENV_REDACT": "*_KEY,[a"}))
	if err == nil || !strings.Contains(err.Error(), "PODINFO_ENV_REDACT") {
		t.Errorf("%v, want an error about PODINFO_ENV_REDACT", err)
	}
}
