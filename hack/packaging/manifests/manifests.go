package manifests

import (
	"errors"
	"fmt"
)

// Versions are the versions of Kubernetes that the package has schemas for.
var Versions = []string{"1.29", "1.35"}

// A Checker checks manifests. It is safe for concurrent use.
type Checker struct {
	schemas  map[string]*schemas // by version
	security *security
	settings *settings
}

// New returns a checker that asks the podinfo program in that file about settings.
func New(program string) (*Checker, error) {
	c := &Checker{schemas: map[string]*schemas{}}
	var errs []error
	for _, version := range Versions {
		var err error
		c.schemas[version], err = loadSchemas(version)
		errs = append(errs, err)
	}
	var err error
	c.security, err = newSecurity()
	errs = append(errs, err)
	c.settings, err = readSettings(program)
	return c, errors.Join(append(errs, err)...)
}

// Check returns what is wrong with a manifest for a version of Kubernetes.
func (c *Checker) Check(version string, manifest []byte) error {
	schemas, ok := c.schemas[version]
	if !ok {
		return fmt.Errorf("no schemas for Kubernetes %q, only for %q", version, Versions)
	}
	objects, err := parse(manifest)
	if err == nil && len(objects) == 0 {
		err = errors.New("the manifest is empty")
	}
	errs := []error{err}
	for _, o := range objects {
		wrong := schemas.check(o)
		if wrong == nil { // the other checks rely on the types of the schema
			wrong = errors.Join(c.security.check(version, o), c.settings.check(o, objects))
		}
		if wrong != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o, wrong))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return checkNames(objects)
}
