package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// check prints that the settings are valid. What New or a module only warns of is an
// error, and so is a file that cannot be read.
func (p *Program) check(_ context.Context, app *registry.App) error {
	var errs []error
	for _, w := range app.CheckSettings() {
		errs = append(errs, errors.New(w))
	}
	on := modulesOn(app)
	errs = append(errs, missingFiles(app, on)...)
	if len(errs) > 0 {
		return usageError{errors.Join(errs...)}
	}
	_, err := fmt.Fprintf(p.Stdout, "OK: the settings are valid, %d modules are on\n", len(on))
	return err
}

// modulesOn returns the names of the modules that are not off.
func modulesOn(app *registry.App) map[string]bool {
	on := map[string]bool{}
	for _, m := range app.Modules() {
		if m.State != registry.Off {
			on[m.Info.Name] = true
		}
	}
	return on
}

// missingFiles returns an error for each file that a setting of a module names and
// that cannot be read: from any of the sources, or from all if none is given.
func missingFiles(app *registry.App, on map[string]bool, from ...registry.Source) (errs []error) {
	for _, s := range app.Settings() {
		if s.Takes != "FILE" || s.Value == "" || !on[s.Module] || from != nil && !slices.Contains(from, s.Source) {
			continue
		}
		if _, err := os.ReadFile(s.Value); err != nil {
			errs = append(errs, &registry.SettingError{Key: s.Key, Value: s.Value, Source: s.Source, Problem: err.Error() + "; correct the path or create the file"})
		}
	}
	return errs
}
