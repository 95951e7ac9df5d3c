package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// vault declares secrets in each way.
type vault struct {
	Seal  string   `env:"SEAL" secret:"true"`
	Addr  string   `env:"ADDR" secret:"part" accepts:"a URL"`
	Addrs []string `env:"ADDRS" secret:"part"`
	Pass  string   `env:"PASS"`
	Keys  []string `env:"KEYS"`
	Max   int      `env:"MAX_KEYS"`
	Path  string   `env:"KEY_FILE" secret:"false"`
	Plain string   `env:"PLAIN"`
	refused
}

// refused is the field that Validate refuses.
type refused string

func (*vault) Info() registry.Info { return registry.Info{Name: "vault"} }

func (v *vault) Validate() error {
	if v.refused != "" {
		return registry.Invalid(string(v.refused), "something else")
	}
	return nil
}

func TestSecretTags(t *testing.T) {
	got := map[string][2]bool{}
	for _, s := range registry.Settings(mods(new(vault))) {
		if s.Module == "vault" {
			got[strings.TrimPrefix(s.Key, "PODINFO_VAULT_")] = [2]bool{s.Secret, s.MayHoldSecret}
		}
	}
	want := map[string][2]bool{
		"SEAL": {true, false}, "ADDR": {false, true}, "ADDRS": {false, true}, "PASS": {true, false}, "KEYS": {true, false},
		"MAX_KEYS": {}, "KEY_FILE": {}, "PLAIN": {}, "ENABLED": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	type wrong struct {
		vault
		Typo string `env:"TYPO" secret:"yes"`
	}
	_, err := registry.New(mods(new(wrong)))
	if err == nil || !strings.Contains(err.Error(), `field Typo: secret tag "yes" is not supported: use true, part or false`) {
		t.Error(err)
	}
}

func TestRefusedSecrets(t *testing.T) {
	const hint = "; percent-encode special characters in a user name or password, such as %23 for #, %2F for /, %3F for ? and %40 for @"
	for _, c := range []struct{ field, key, value, want string }{
		{"Seal", "SEAL", "hush", `"REDACTED": want something else`},
		{"Addr", "ADDR", "hush", `"REDACTED": want something else` + hint},
		{"Addr", "ADDR", "http://h:1", `"http://h:1": want something else`}, // nothing to encode
		{"Addrs", "ADDRS", "http://a,http://u:hu#sh@b", `"REDACTED": want something else` + hint},
		{"Keys", "KEYS", "hush,hush", `"REDACTED": want something else`},
		{"Path", "KEY_FILE", "/run/key", `"/run/key": want something else`},
		{"Plain", "PLAIN", "text", `"text": want something else`},
		{"Plain", "PLAIN", "redis://:hush#hush@h", `"redis://:REDACTED@h": want something else`},
		{"Plain", "PLAIN", "h:6380,password=hush,ssl=True", `"h:6380,password=REDACTED,ssl=True": want something else`},
	} {
		_, err := registry.New(mods(&vault{refused: refused(c.field)}), registry.Env(map[string]string{"PODINFO_VAULT_" + c.key: c.value}))
		if want := "PODINFO_VAULT_" + c.key + "=" + c.want; err == nil || err.Error() != want {
			t.Errorf("%s=%s: %v, want %s", c.key, c.value, err, want)
		}
	}
	err := error(&registry.SettingError{Key: "K", Value: "v", Problem: "no such host in redis://u:hush@h"})
	if _, ok := errors.AsType[*registry.SettingError](err); !ok || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}
