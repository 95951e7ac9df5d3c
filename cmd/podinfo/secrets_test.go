package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/env/envpb"
	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/internal/otlp/otlptest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// canary is a secret without a part that an output has by chance.
const canary = "Zq7Xv9Wk3Jp5Yh2N"

// noCanary fails the test if text has four characters of the canary.
func noCanary(t *testing.T, where, text string) {
	t.Helper()
	for i := range len(canary) - 3 {
		if at := strings.Index(text, canary[i:i+4]); at >= 0 {
			t.Errorf("%s shows a secret: …%s…", where, text[max(0, at-200):min(len(text), at+100)])
			return
		}
	}
}

// secretNames are names of variables whose values are secrets.
var secretNames = strings.Fields(`PGPASSWORD MYSQL_PWD MYSQL_ROOT_PASSWORD POSTGRES_PASSWORD DB_PASS DB_PASSWD DATABASE_PASSWORD REDIS_AUTH REDIS_PASSWORD
	REDISCLI_AUTH RABBITMQ_DEFAULT_PASS RABBITMQ_ERLANG_COOKIE MONGO_INITDB_ROOT_PASSWORD ELASTIC_PASSWORD API_KEY API_KEYS APIKEY OPENAI_API_KEY STRIPE_SECRET_KEY
	GITHUB_PAT GITHUB_TOKEN GH_TOKEN GITLAB_TOKEN NPM_TOKEN VAULT_TOKEN SLACK_BOT_TOKEN SLACK_WEBHOOK_URL SECRET_KEY_BASE DJANGO_SECRET_KEY RAILS_MASTER_KEY
	AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_SECRET AZURE_STORAGE_KEY GOOGLE_CREDENTIALS SENTRY_DSN DATABASE_DSN JWT_SIGNING_KEY
	PRIVATE_KEY TLS_PRIVATE ENCRYPTION_KEY SSHPASS BASIC_AUTH OAUTH_CLIENT_SECRET appPassword accessToken my.api-key OTEL_EXPORTER_OTLP_HEADERS
	OTEL_EXPORTER_OTLP_LOGS_HEADERS PODINFO_JWT_SECRETS`)

// shapes are values that are secrets whatever their name is.
var shapes = []string{
	"redis://u:" + canary + "@h:1", "redis://:12#" + canary + "@h", "redis://u:12/" + canary + "@h", "redis://u:1?" + canary + "@h", "redis://u:@" + canary + "@h", "redis://u:1 " + canary + "@h",
	"h.example:6380,password=" + canary + "=,ssl=True", "tcp://h:6380,password=" + canary, "http://h:1/?password=" + canary, "http://h:1/?x=1&api_key=" + canary,
	"u:" + canary + "@tcp(h:1)/db", "https://" + canary + "@h/", "eyJ" + canary + ".eyJ" + canary + "." + canary, "Bearer " + canary,
	"-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----", `{"password": "` + canary + `"}`, "AccountName=a;AccountKey=" + canary + ";x=y",
}

// planted returns an environment with the canary in every setting that may hold a
// secret, in the OTEL variables, in secretNames, and in ordinary variables in
// every shape.
func planted(closed string, collector *otlptest.Collector, config string) []string {
	environ := []string{
		"PODINFO_LEVEL=debug", "PODINFO_UI_ADMIN=true", "PODINFO_FAULTS_ADMIN=true", "PODINFO_FAULTS=true", "PODINFO_CACHE_REQUIRED=true", "PODINFO_CONFIG_PATH=" + config,
		"PODINFO_BACKEND_URL=http://u:" + canary + "@" + closed + "/?api_key=" + canary + ",http://" + closed + "/?x=" + canary,
		"PODINFO_CACHE_SERVER=redis://u:" + canary + "@" + closed + "/0?client_name=" + canary,
		"PODINFO_UI_LOGO=https://u:" + canary + "@h/logo.png", "PODINFO_UI_MESSAGE=hello Linkerd",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.HTTP + "/?api-key=" + canary, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_RESOURCE_ATTRIBUTES=api.token=" + canary + ",db=redis://u:" + canary + "@h", "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BLRP_SCHEDULE_DELAY=10",
	}
	for _, s := range declared() {
		if s.Secret && s.Key != "PODINFO_UI_ADMIN_TOKEN" { // in the config file
			environ = append(environ, s.Key+"="+canary+canary)
		}
	}
	for _, name := range secretNames {
		environ = append(environ, name+"=x="+canary)
	}
	for i, value := range shapes {
		environ = append(environ, fmt.Sprintf("ORDINARY_%d=%s", i, value))
	}
	return environ
}

func declared() []registry.Setting {
	return registry.Settings(slices.Concat(podinfo.Modules(), podinfo.Listeners()))
}

// TestSecretsAreNotShown plants secrets everywhere and reads everything that
// podinfo shows.
func TestSecretsAreNotShown(t *testing.T) {
	config := t.TempDir()
	if err := os.WriteFile(filepath.Join(config, "config.yaml"), []byte("ui-admin-token: "+canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	collector := otlptest.Start(t)
	closed, admin, rpcs := fmt.Sprintf("127.0.0.1:%d", registrytest.FreePort(t)), registrytest.FreePort(t), registrytest.FreePort(t)
	environ := planted(closed, collector, config)
	port := registrytest.FreePort(t)
	p := launchWith(t, append(environ, "PODINFO_HOST=127.0.0.1", fmt.Sprintf("PODINFO_PORT=%d", port), fmt.Sprintf("PODINFO_PORT_METRICS=%d", admin),
		fmt.Sprintf("PODINFO_GRPC_PORT=%d", rpcs), "PODINFO_DATA_PATH="+t.TempDir()))
	p.port, p.url = port, fmt.Sprintf("http://127.0.0.1:%d", port)
	p.await(t, p.url+"/version")

	for _, request := range []string{
		"GET /", "GET /api/info", "GET /env", "POST /env", "GET /ui/model", "GET /configs", "POST /echo", "POST /api/echo", "GET /cache/k", "PUT /cache/k", "DELETE /cache/k", "GET /readyz",
		"GET /swagger.json", "GET /metrics", "GET /token/validate", "GET /nowhere", "GET /status/500",
	} {
		method, path, _ := strings.Cut(request, " ")
		for _, query := range []string{"", "?token=" + canary + "&X-Amz-Signature=" + canary + "&a=1", "?to=http%3A%2F%2Fu%3A" + canary + "%40h", "?%74oken=" + canary, "?eyJ" + canary + ".x.y"} {
			res, body := p.call(t, method, path+query, "x", "User-Agent", map[bool]string{true: "Mozilla", false: "curl"}[path == "/"])
			noCanary(t, request, body)
			noCanary(t, request+": headers", fmt.Sprint(res.Header))
			if path == "/env" && query == "" {
				var vars []string
				if err := json.Unmarshal([]byte(body), &vars); err != nil || !slices.Contains(vars, "PODINFO_UI_MESSAGE=hello Linkerd") || !slices.Contains(vars, "PATH="+os.Getenv("PATH")) {
					t.Errorf("%v: ordinary variables are not readable: %s", err, body)
				}
			}
			if strings.HasSuffix(path, "/echo") && strings.Count(body, "call failed") != 2 {
				t.Error(body)
			}
		}
	}
	ops := &process{url: fmt.Sprintf("http://127.0.0.1:%d", admin), log: p.log}
	for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/cmdline", "/faults", "/"} {
		_, body := ops.call(t, "GET", path+"?token="+canary, "")
		noCanary(t, path+" of the metrics port", body)
	}
	p.raw(t, "GET http://u:"+canary+"@h/version?key="+canary+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	noCanary(t, "the env RPC", envRPC(t, rpcs))
	if code := p.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	noCanary(t, "the output", p.log.String())
	if !strings.Contains(p.log.String(), "token=REDACTED&X-Amz-Signature=REDACTED&a=1") || !strings.Contains(p.log.String(), "cache server is unavailable") {
		t.Errorf("lines are missing: %s", p.log)
	}
	spans, records := collector.Spans(), collector.Records()
	if len(spans) < 50 || len(records) < 50 {
		t.Errorf("%d spans and %d records", len(spans), len(records))
	}
	noCanary(t, "the spans", fmt.Sprintf("%+v", spans))
	noCanary(t, "the OTLP logs", fmt.Sprintf("%+v", records))

	for _, command := range []string{"settings", "modules", "help", "version"} {
		stdout, stderr, code := runWith(environ, command)
		noCanary(t, command, stdout+stderr)
		if code != 0 || stdout == "" {
			t.Errorf("%s: exit %d: %s", command, code, stderr)
		}
	}
}

func envRPC(t *testing.T, port int) string {
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	res, err := envpb.NewEnvServiceClient(conn).Env(t.Context(), &envpb.EnvRequest{})
	if err != nil || len(res.GetEnvVars()) < 50 {
		t.Fatal(res, err)
	}
	return strings.Join(res.GetEnvVars(), "\n")
}

// TestSecretsInRefusedValuesAreNotShown gives secrets in every shape to every
// setting and OTEL variable, most of which refuse them: all together, and each by
// itself, as a variable, a flag and a key of the config file.
func TestSecretsInRefusedValuesAreNotShown(t *testing.T) {
	turnOn := []string{"PODINFO_OTEL_SERVICE_NAME=x"}
	for _, s := range declared() {
		if strings.HasSuffix(s.Key, "_ENABLED") {
			turnOn = append(turnOn, s.Key+"=true")
		}
	}
	var keys []string
	for _, s := range declared() {
		if s.Key != "PODINFO_CONFIG_PATH" && s.Key != "PODINFO_CONFIG" {
			keys = append(keys, s.Key)
		}
	}
	other := otelVariables(reflect.TypeFor[otlp.Settings](), "")
	for _, value := range append(shapes, "'"+canary) {
		all := slices.Clone(turnOn)
		var flags []string
		for _, key := range slices.Concat(keys, other) {
			all = append(all, key+"="+value)
		}
		for _, key := range keys {
			flags = append(flags, "--"+(registry.Setting{Key: key}).Flag()+"="+value)
		}
		if value[0] == '\'' { // no shape: only what is declared to be secret
			all, flags = slices.Clone(turnOn), nil
			for _, s := range declared() {
				if s.Secret || s.MayHoldSecret {
					all = append(all, s.Key+"="+value)
				}
			}
			all = append(all, "OTEL_EXPORTER_OTLP_HEADERS="+value, "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://"+value, "OTEL_RESOURCE_ATTRIBUTES="+value)
		}
		stdout, stderr, code := runWith(all, "settings")
		noCanary(t, "settings", stdout+stderr)
		if code != 2 || strings.Count(stderr, "REDACTED") < 2 {
			t.Errorf("%s: exit %d: %s", value, code, stderr)
		}
		if flags == nil {
			continue
		}
		for _, words := range [][]string{flags, {value}, {"settings", value}, {"-jwt-secret=" + value}, {"--config=" + value}, {"--config-path=" + value, "--config=x"}} {
			stdout, stderr, _ = runWith([]string{"PODINFO_PORT=0"}, append(words, "help")...)
			noCanary(t, fmt.Sprintf("podinfo %.40q", words), stdout+stderr)
		}
	}
	dir := t.TempDir()
	for i, text := range []string{canary, "jwt-secret: *" + canary, "backend-url: ['http://u:" + canary + ",@h']", "cache-server: " + shapes[1], "jwt-secret: {a: " + canary + "}"} {
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if stdout, stderr, code := runWith([]string{"PODINFO_CONFIG_PATH=" + dir}, "settings"); code != 2 {
			t.Errorf("config file %d: exit %d %s", i, code, stdout)
		} else {
			noCanary(t, "the error about the config file", stderr)
		}
	}
	for _, s := range declared() {
		if s.Secret || s.MayHoldSecret || s.Bool() || s.Key == "PODINFO_LEVEL" || s.Key == "PODINFO_MODULES" {
			continue
		}
		// Some are only found to be wrong when the server starts.
		for _, value := range shapes[4:5] {
			p := launch(t, append(turnOn, "OTEL_SDK_DISABLED=true", "PODINFO_GRPC_SERVER_ENABLED=false", "PODINFO_STRESS_ENABLED=false", "PODINFO_JWT_ENABLED=false", "PODINFO_HOST=127.0.0.1", fmt.Sprintf("PODINFO_PORT=%d", registrytest.FreePort(t)), "PODINFO_LEVEL=debug", "PODINFO_DATA_PATH="+t.TempDir(), s.Key+"="+value)...)
			for began := time.Now(); time.Since(began) < 20*time.Second && !strings.Contains(p.log.String(), "Starting HTTP Server"); {
				select {
				case <-p.done:
					began = time.Time{}
				case <-time.After(2 * time.Millisecond):
				}
			}
			p.stop(t)
			noCanary(t, s.Key+"="+value, p.log.String())
		}
	}
}

// otelVariables returns the names of the variables in the env tags of t.
func otelVariables(t reflect.Type, prefix string) (names []string) {
	for f := range t.Fields() {
		if key := f.Tag.Get("env"); key != "" {
			if !strings.HasSuffix(key, "_LIMIT") { // a dependency of OpenTelemetry's packages prints these before main
				names = append(names, prefix+key)
			}
		} else if f.Type.Kind() == reflect.Struct {
			names = append(names, otelVariables(f.Type, prefix+f.Tag.Get("envPrefix"))...)
		}
	}
	return names
}
