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
	objects, err := c.check(version, manifest, func(o *object, all []*object) error {
		return errors.Join(c.security.check(version, o), c.settings.check(o, all))
	})
	if err != nil {
		return err
	}
	return checkNames(objects)
}

// CheckSchemas returns where a manifest violates the schemas of a version of
// Kubernetes. Unlike for Check, its objects may refer to others that it does not
// contain.
func (c *Checker) CheckSchemas(version string, manifest []byte) error {
	_, err := c.check(version, manifest, func(*object, []*object) error { return nil })
	return err
}

// check returns the objects of a manifest, and the errors of their schemas and of
// more, which relies on the types of the schema.
func (c *Checker) check(version string, manifest []byte, more func(o *object, all []*object) error) ([]*object, error) {
	schemas, ok := c.schemas[version]
	if !ok {
		return nil, fmt.Errorf("no schemas for Kubernetes %q, only for %q", version, Versions)
	}
	objects, err := parse(manifest)
	if err == nil && len(objects) == 0 {
		err = errors.New("the manifest is empty")
	}
	errs := []error{err}
	for _, o := range objects {
		wrong := schemas.check(o)
		if wrong == nil {
			wrong = more(o, objects)
		}
		if wrong != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o, wrong))
		}
	}
	return objects, errors.Join(errs...)
}
