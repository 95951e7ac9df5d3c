package registry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// knobs has a setting of each kind.
type knobs struct {
	Max    int           `env:"MAX" envDefault:"5" doc:"the most"`
	Rate   float64       `env:"RATE" envDefault:"0.5"`
	On     bool          `env:"ON"`
	Wait   time.Duration `env:"WAIT" envDefault:"1s"`
	Words  []string      `env:"WORDS"`
	Codes  []int         `env:"CODES" envDefault:"500,400"`
	Unit   string        `env:"UNIT" envDefault:"s" accepts:"s or ms"`
	Secret string        `env:"SECRET" envDefault:"hush" secret:"true"`
	Pin    int           `env:"PIN" secret:"true"`
	Any    any           `env:"-"`
}

func (*knobs) Info() registry.Info { return registry.Info{Name: "my-knobs", OptIn: true} }

func (k *knobs) Validate() error {
	if k.Unit != "s" && k.Unit != "ms" {
		return registry.Invalid("Unit", "s or ms")
	}
	return nil
}

func TestPrecedence(t *testing.T) {
	k := &knobs{Max: 7, Rate: 0.25, Unit: "ms"}
	app, err := registry.New(mods(k),
		registry.File(map[string]string{"PODINFO_MY_KNOBS_ENABLED": "true", "PODINFO_MY_KNOBS_RATE": "0.1", "PODINFO_MY_KNOBS_WAIT": "3s", "PODINFO_MY_KNOBS_WORDS": "file"}),
		registry.Env(map[string]string{"PODINFO_MY_KNOBS_WAIT": "4s", "PODINFO_MY_KNOBS_ON": "true", "PODINFO_MY_KNOBS_WORDS": "a,b", "PODINFO_MY_KNOBS_RATE": ""}),
		registry.Flags(map[string]string{"PODINFO_MY_KNOBS_WORDS": "c,d", "PODINFO_MY_KNOBS_ON": ""}))
	if err != nil {
		t.Fatal(err)
	}
	want := &knobs{Max: 7, Rate: 0.1, Wait: 4 * time.Second, Words: []string{"c", "d"}, Codes: []int{500, 400}, Unit: "ms", Secret: "hush"}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Error(diff)
	}
	got := map[string]string{}
	for _, s := range app.Settings() {
		if s.Module == "my-knobs" {
			got[s.Flag()] = string(s.Source) + " " + s.Shown()
		}
	}
	if diff := cmp.Diff(map[string]string{
		"my-knobs-max": "code 7", "my-knobs-rate": "config file 0.1", "my-knobs-on": "default false", "my-knobs-wait": "environment 4s",
		"my-knobs-words": "flag c,d", "my-knobs-codes": "default 500,400", "my-knobs-unit": "code ms", "my-knobs-secret": "default REDACTED",
		"my-knobs-pin": "default REDACTED", "my-knobs-enabled": "config file true",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"MAX", "many", `PODINFO_MY_KNOBS_MAX="many": want a whole number`},
		{"RATE", "x", `PODINFO_MY_KNOBS_RATE="x": want a number`},
		{"ON", "yes", `PODINFO_MY_KNOBS_ON="yes": want true or false`},
		{"WAIT", "30", `PODINFO_MY_KNOBS_WAIT="30": want a duration such as 250ms, 1.5s or 2m`},
		{"CODES", "1,b", `PODINFO_MY_KNOBS_CODES="1,b": want a comma-separated list, each a whole number`},
		{"UNIT", "h", `PODINFO_MY_KNOBS_UNIT="h": want s or ms`},
		{"PIN", "abc", `PODINFO_MY_KNOBS_PIN="REDACTED": want a whole number`},
	} {
		_, err := registry.New(mods(new(knobs)), registry.Env(map[string]string{"PODINFO_MY_KNOBS_ENABLED": "true", "PODINFO_MY_KNOBS_" + c.key: c.value}))
		if err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	_, err := registry.New(mods(new(knobs)), registry.Env(registrytest.Vars("PODINFO_MY_KNOBS_ENABLED=true PODINFO_MY_KNOBS_MAX=x PODINFO_MY_KNOBS_ON=y PODINFO_LEVEL=z")))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every error at once: %v", err)
	}
	_, err = registry.New(mods(new(knobs)), registry.Flags(registrytest.Vars("PODINFO_MY_KNOBS_ENABLED=true PODINFO_MY_KNOBS_MAX=x")))
	if err == nil || !strings.Contains(err.Error(), "(flag --my-knobs-max)") {
		t.Errorf("flag: %v", err)
	}
}

func TestUnknownNames(t *testing.T) {
	_, err := registry.New(mods(new(knobs)), registry.File(map[string]string{"PODINFO_MY_KNOBS_MIX": "1"}))
	if err == nil || !strings.Contains(err.Error(), `"my-knobs-mix" (did you mean "my-knobs-max"?)`) {
		t.Error(err)
	}
	_, log := registrytest.New(t, map[string]string{
		"PODINFO_MY_KNOBS_MIX": "1", "PODINFO_OTHER_PEOPLES_THING": "2", "PATH": "x",
		// What the kubelet injects for Services podinfo and podinfo-my-knobs-on.
		"PODINFO_PORT": "tcp://10.0.0.1:9898", "PODINFO_SERVICE_HOST": "10.0.0.1", "PODINFO_SERVICE_PORT": "9898", "PODINFO_SERVICE_PORT_HTTP": "9898",
		"PODINFO_PORT_9898_TCP": "tcp://10.0.0.1:9898", "PODINFO_PORT_9898_TCP_PROTO": "tcp", "PODINFO_PORT_9898_TCP_PORT": "9898", "PODINFO_PORT_9898_TCP_ADDR": "10.0.0.1",
	}, new(knobs))
	if got := log.String(); strings.Count(got, "warn") != 1 || !strings.Contains(got, `PODINFO_MY_KNOBS_MIX (did you mean \"PODINFO_MY_KNOBS_MAX\"?), PODINFO_OTHER_PEOPLES_THING"`) {
		t.Errorf("want one warning: %s", got)
	}
}

func TestLevel(t *testing.T) {
	for env, want := range map[string]logrus.Level{"": logrus.TraceLevel, "PODINFO_LEVEL=warn": logrus.WarnLevel} {
		l := logrus.New()
		l.SetLevel(logrus.TraceLevel)
		if _, err := registry.New(nil, registry.Logger(l), registry.Env(registrytest.Vars(env))); err != nil || l.GetLevel() != want {
			t.Errorf("%q: %v %v", env, l.GetLevel(), err)
		}
	}
}

func TestSettingsListsEachVariableOnce(t *testing.T) {
	seen := map[string]int{}
	for _, s := range registry.Settings(mods(new(knobs), new(knobs))) {
		seen[s.Key]++
		if s.Accepts == "" {
			t.Errorf("%s does not say what it accepts", s.Key)
		}
	}
	for k, n := range seen {
		if n != 1 {
			t.Errorf("%s is listed %d times", k, n)
		}
	}
	if _, ok := seen["PODINFO_MY_KNOBS_ANY"]; ok || seen["PODINFO_SEED"] != 1 {
		t.Error(seen)
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://user:hunter2@redis:6379":                   "tcp://user:REDACTED@redis:6379",
		"redis://:hunter2@redis/0":                        "redis://:REDACTED@redis/0",
		"http://a:b@x,http://c:d@y":                       "http://a:REDACTED@x,http://c:REDACTED@y",
		"http://plain/path?x=1":                           "http://plain/path?x=1",
		"no url":                                          "no url",
		"redis://:a,b@host":                               "redis://:REDACTED@host",
		"redis://:a@b@host/1":                             "redis://:REDACTED@host/1",
		"dial redis://u:p@h:1: connection refused, sorry": "dial redis://u:REDACTED@h:1: connection refused, sorry",
	} {
		if got := registry.RedactURL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"http://a/echo?token=s3cret&x=1#f":     "http://a/echo?token=REDACTED&x=REDACTED#f",
		"http://u:pw@a/?k=a,b;l=c http://b/?m": "http://u:REDACTED@a/?k=REDACTED;l=REDACTED http://b/?m",
		"http://a/?k=x,http://b/":              "http://a/?k=REDACTED",
		"http://a/?k=&l=a=b":                   "http://a/?k=&l=REDACTED",
		"what?is=it":                           "what?is=it",
		"http://a/b":                           "http://a/b",
	} {
		if got := (registry.Setting{Value: in}).Shown(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := (registry.Setting{Value: "x", Secret: true}).Shown(); got != registry.Redacted {
		t.Error(got)
	}
}
