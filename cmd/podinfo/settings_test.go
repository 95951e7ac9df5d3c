package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// secret is long enough for the jwt module.
var secret = strings.Repeat("s", 32)

// TestSettingsOfModulesThatAreOff starts podinfo with settings whose module is
// off. Each is refused, turns its module on, or is part of one warning.
func TestSettingsOfModulesThatAreOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "faults.yaml")
	if err := os.WriteFile(file, []byte("rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, words string
		code        int    // of podinfo check
		want        string // in the error, if serve does not start either
		warning     string // of serve, and the error of check
		on          string // in the output of podinfo modules
	}{
		{"a value that is not accepted", "PODINFO_RANDOM_ERROR_RATE=50%", 2, `PODINFO_RANDOM_ERROR_RATE="50%": want a number from 0 to 1`, "", ""},
		{"a value that Validate refuses", "PODINFO_RANDOM_ERROR_RATE=1.5", 2, `PODINFO_RANDOM_ERROR_RATE="1.5": want a number from 0 to 1`, "", ""},
		{"a value of a module that is turned off", "PODINFO_MODULES=-echo --backend-url=backend", 2, `PODINFO_BACKEND_URL="REDACTED" (flag --backend-url): want`, "", ""},
		{"settings that need another", "PODINFO_CACHE_REQUIRED=true PODINFO_BACKEND_MAX_BYTES=5 PODINFO_UI_ADMIN_HOSTS=x", 2, "", "PODINFO_CACHE_REQUIRED (needs PODINFO_CACHE_SERVER)", ""},
		{"a switch that is not accepted", "PODINFO_GRPC_PORT=70000 PODINFO_MODULES=-grpc-server", 2, `PODINFO_GRPC_PORT="70000": want a port number`, "", ""},
		{"a setting of a module that is off", "PODINFO_FAULTS_MAX_HELD=5", 2, "",
			"settings have no effect: PODINFO_FAULTS_MAX_HELD (module faults is off, set PODINFO_FAULTS_ENABLED=true to turn it on)", "faults\toff\tdefault"},
		{"by-header enables", "PODINFO_FAULTS_BY_HEADER=true", 0, "", "", "faults\ton\tPODINFO_FAULTS_BY_HEADER\t"},
		{"admin enables", "PODINFO_FAULTS_ADMIN=true PODINFO_PORT_METRICS=1", 0, "", "", "faults\ton\tPODINFO_FAULTS_ADMIN\t"},
		{"admin is weaker than the module's switch", "PODINFO_FAULTS_ADMIN=true PODINFO_PORT_METRICS=1 PODINFO_FAULTS_ENABLED=false", 2, "",
			"PODINFO_FAULTS_ADMIN (module faults is off by PODINFO_FAULTS_ENABLED, ", "faults\toff\tPODINFO_FAULTS_ENABLED\t"},
		{"several modules, one warning", "PODINFO_RANDOM_ERROR_RATE=0.5 --random-delay-max=9 --random-delay-min=1", 2, "",
			"settings have no effect: PODINFO_RANDOM_DELAY_MAX, PODINFO_RANDOM_DELAY_MIN (module random-delay is off, set PODINFO_RANDOM_DELAY=true to turn it on), " +
				"PODINFO_RANDOM_ERROR_RATE (module random-error is off, set PODINFO_RANDOM_ERROR=true to turn it on)", ""},
		{"turned off by PODINFO_MODULES", "--modules=-random-error --random-error --random-error-rate=0.5", 2, "",
			"PODINFO_RANDOM_ERROR_RATE (module random-error is off by PODINFO_MODULES, set PODINFO_RANDOM_ERROR_ENABLED=true to turn it on)", ""},
		{"a port that is zero", "--port-metrics=0 --grpc-port=0 --grpc-service-name=other", 2, "",
			"settings have no effect: PODINFO_GRPC_SERVICE_NAME (module grpc-server is off by PODINFO_GRPC_PORT, set PODINFO_GRPC_PORT to turn it on)", ""},
		{"a port of a module that is turned off", "--grpc-port=9999 --modules=-grpc-server", 2, "",
			"PODINFO_GRPC_PORT (module grpc-server is off by PODINFO_MODULES, set PODINFO_GRPC_SERVER_ENABLED=true to turn it on)", ""},
		{"a guard that is turned off", "PODINFO_JWT_PATHS=/cache/* PODINFO_JWT_ENABLED=false", 2, "",
			"PODINFO_JWT_PATHS (module jwt is off by PODINFO_JWT_ENABLED, set PODINFO_JWT_ENABLED=true to turn it on)", ""},
		{"defaults", "PODINFO_RANDOM_DELAY_MAX=5 PODINFO_FAULTS_BY_HEADER=false PODINFO_RANDOM_DELAY=false --random-error=0", 0, "", "", ""},
		{"shared with a module that is on", "PODINFO_UI_COLOR=red PODINFO_MODULES=-info", 0, "", "", ""},
		{"jwt-paths enables", "--jwt-paths=/cache/* PODINFO_JWT_SECRET=" + secret, 0, "", "", "jwt\ton\tPODINFO_JWT_PATHS\t"},
		{"jwt-paths without a secret", "--jwt-paths=/cache/*", 2, "PODINFO_JWT_SECRET=", "", ""},
		{"faults-file enables", "PODINFO_FAULTS_FILE=" + file, 0, "", "", "faults\ton\tPODINFO_FAULTS_FILE\t"},
		{"a file that is missing", "PODINFO_FAULTS_FILE=/nonexistent", 2, "", "", "faults\ton\tPODINFO_FAULTS_FILE\t"},
		{"faults-file is weaker than upstream's variable", "PODINFO_FAULTS=false PODINFO_FAULTS_FILE=" + file, 2, "", "PODINFO_FAULTS_FILE (module faults is off by PODINFO_FAULTS, ", "faults\toff\tPODINFO_FAULTS\t"},
		{"faults-file is weaker than PODINFO_MODULES", "--modules=-faults PODINFO_FAULTS_FILE=" + file, 2, "", "PODINFO_FAULTS_FILE (module faults is off by PODINFO_MODULES, ", "faults\toff\tPODINFO_MODULES\t"},
		{"admin needs the metrics port", "PODINFO_FAULTS=true PODINFO_FAULTS_ADMIN=true PODINFO_FAULTS_ADMIN_TOKEN=x", 2, "",
			"settings have no effect: PODINFO_FAULTS_ADMIN (needs PODINFO_PORT_METRICS)", ""},
		{"admin with the metrics port", "PODINFO_FAULTS=true PODINFO_FAULTS_ADMIN=true PODINFO_PORT_METRICS=1", 0, "", "", ""},
		{"a percentage needs by-header", "PODINFO_FAULTS=true PODINFO_FAULTS_BY_HEADER_PERCENT=5", 2, "", "PODINFO_FAULTS_BY_HEADER_PERCENT (needs PODINFO_FAULTS_BY_HEADER)", ""},
		{"unknown variable", "PODINFO_FAULT_FILE=x", 2, "", "unknown variables: PODINFO_FAULT_FILE (did you mean", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			words := strings.Fields(c.words)
			stdout, stderr, code := run(t, append([]string{"check"}, words...)...)
			if code != c.code || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, c.warning) || strings.Count(stdout+stderr, "\n") != 1 {
				t.Errorf("podinfo check: exit %d %s%s", code, stdout, stderr)
			}
			if (code == 0) != strings.HasPrefix(stdout, "OK: ") {
				t.Errorf("podinfo check: exit %d %q", code, stdout)
			}
			if stdout, _, _ := run(t, append([]string{"modules"}, words...)...); !strings.Contains(columns(stdout), c.on) {
				t.Errorf("podinfo modules: want %q in\n%s", c.on, stdout)
			}
			if c.want != "" {
				if _, stderr, code := run(t, words...); code != 2 || !strings.Contains(stderr, c.want) {
					t.Errorf("podinfo: exit %d %s", code, stderr)
				}
				return
			}
			words = append(words, "PODINFO_HOST=127.0.0.1", fmt.Sprintf("--port=%d", registrytest.FreePort(t)))
			if c.code != 0 && c.warning == "" || c.name == "admin with the metrics port" {
				return
			}
			p := launch(t, words...)
			p.await(t, "http://127.0.0.1:"+strings.TrimPrefix(p.cmd.Args[len(p.cmd.Args)-1], "--port=")+"/healthz")
			p.stop(t)
			warnings := 0
			for line := range strings.Lines(p.log.String()) {
				if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "PODINFO_") && !strings.Contains(line, "public default") {
					warnings++
				}
			}
			if want := min(len(c.warning), 1); warnings != want || !strings.Contains(p.log.String(), c.warning) {
				t.Errorf("%d warnings, want %d, %q: %s", warnings, want, c.warning, p.log)
			}
		})
	}
}

// TestGrammarOfValues gives settings in the spellings that people and tools use.
func TestGrammarOfValues(t *testing.T) {
	for _, c := range []struct {
		words  []string
		want   string // line of podinfo settings
		notice string // of podinfo check
	}{
		{[]string{"PODINFO_UI_MESSAGE= hello world \n"}, "PODINFO_UI_MESSAGE\thello world\tenvironment", ""},
		{[]string{"PODINFO_PORT=9898\n"}, "PODINFO_PORT\t9898\tenvironment", ""},
		{[]string{"PODINFO_PORT= \n"}, "PODINFO_PORT\t9898\tdefault", ""},
		{[]string{"PODINFO_H2C=\ttrue "}, "PODINFO_H2C\ttrue\t", ""},
		{[]string{"--h2c= TRUE"}, "PODINFO_H2C\ttrue\tflag", ""},
		{[]string{"PODINFO_SHUTDOWN_GRACE= 1s\n"}, "PODINFO_SHUTDOWN_GRACE\t1s\t", ""},
		{[]string{"PODINFO_RANDOM_ERROR=true\n", "PODINFO_RANDOM_ERROR_CODES= 500, 503 \n"}, "PODINFO_RANDOM_ERROR_CODES\t500,503\t", ""},
		{[]string{"PODINFO_RANDOM_ERROR= true", "PODINFO_RANDOM_ERROR_GRPC_CODES=NOT_FOUND, NotFound, not-found, 5, CANCELLED"}, "PODINFO_RANDOM_ERROR_GRPC_CODES\tNotFound,NotFound,NotFound,NotFound,Canceled\t", ""},
		{[]string{"PODINFO_RANDOM_DELAY=1 ", "PODINFO_RANDOM_DELAY_UNIT=Milliseconds"}, "PODINFO_RANDOM_DELAY_UNIT\tMilliseconds\t", ""},
		{[]string{"PODINFO_LEVEL=WARNING\n"}, "PODINFO_LEVEL\tWARNING\t", ""},
		{[]string{"PODINFO_ACCESS_LOG_LEVEL= Info"}, "PODINFO_ACCESS_LOG_LEVEL\tinfo\t", ""},
		{[]string{"PODINFO_MODULES= -Panic , +random_error\n"}, "PODINFO_MODULES\t-Panic,+random_error\t", ""},
		{[]string{"PODINFO_PPROF_ENABLED=Standby\n"}, "PODINFO_PPROF_ENABLED\tStandby\t", ""},
		{[]string{"PODINFO_BACKEND_URL=http://a, http://b\n"}, "PODINFO_BACKEND_URL\thttp://a,http://b\t", ""},
		{[]string{"PODINFO_FAULTS=\n  rules:\n  - name: a\n    delay: 1ms\n"}, "PODINFO_FAULTS\t", ""},
		{[]string{"PODINFO_JWT_SECRET=" + secret + "\n"}, "PODINFO_JWT_SECRET\tREDACTED\t", "PODINFO_JWT_SECRET ends in white space, which is part of the secret"},
		{[]string{"PODINFO_UI_ADMIN=true", "PODINFO_UI_ADMIN_TOKEN=\n"}, "PODINFO_UI_ADMIN_TOKEN\tREDACTED\tenvironment", "PODINFO_UI_ADMIN_TOKEN ends in white space"},
		{[]string{"PODINFO_UI_COLOR=34577c"}, "PODINFO_UI_COLOR\t#34577c\tdefault", `PODINFO_UI_COLOR="34577c": want a CSS colour: #rgb, #rrggbb or a name; using the default "#34577c"`},
		{[]string{"PODINFO_UI_COLOR=rgb(1,2,3)"}, "PODINFO_UI_COLOR\t#34577c\tdefault", `PODINFO_UI_COLOR="rgb(1,2,3)": want a CSS colour`},
		{[]string{"PODINFO_UI_COLOR=#fff\n"}, "PODINFO_UI_COLOR\t#fff\tenvironment", ""},
	} {
		stdout, stderr, code := run(t, append([]string{"settings"}, c.words...)...)
		if code != 0 || !strings.Contains(columns(stdout), c.want) {
			t.Errorf("%q: exit %d %s, want %q in\n%s", c.words, code, stderr, c.want, stdout)
		}
		stdout, stderr, code = run(t, append([]string{"check"}, c.words...)...)
		if (code == 0) != (c.notice == "") || !strings.Contains(stderr, c.notice) {
			t.Errorf("%q: podinfo check: exit %d %s%s", c.words, code, stdout, stderr)
		}
	}
	p := serve(t, "PODINFO_UI_COLOR=rgb(1,2,3)")
	if _, body := p.call(t, "GET", "/api/info", ""); !strings.Contains(body, `"color": "#34577c"`) || strings.Count(p.log.String(), "PODINFO_UI_COLOR") != 1 {
		t.Errorf("%s %s", body, p.log)
	}
}
