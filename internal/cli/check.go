package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// check prints that the settings are valid. What New or a module only warns of is an
// error, and so is a file that cannot be read.
func (p *Program) check(_ context.Context, app *registry.App) error {
	var errs []error
	for _, w := range app.CheckSettings() {
		errs = append(errs, errors.New(w))
	}
	on := map[string]bool{}
	for _, m := range app.Modules() {
		if m.State != registry.Off {
			on[m.Info.Name] = true
		}
	}
	for _, s := range app.Settings() {
		if s.Takes != "FILE" || s.Value == "" || !on[s.Module] {
			continue
		}
		if _, err := os.ReadFile(s.Value); err != nil {
			errs = append(errs, &registry.SettingError{Key: s.Key, Value: s.Value, Source: s.Source, Problem: err.Error()})
		}
	}
	if len(errs) > 0 {
		return usageError{errors.Join(errs...)}
	}
	_, err := fmt.Fprintf(p.Stdout, "OK: the settings are valid, %d modules are on\n", len(on))
	return err
}
