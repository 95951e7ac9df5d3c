package manifests

import (
	"errors"
	"fmt"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// security checks the "restricted" level of the Pod Security Standards.
type security struct {
	evaluator policy.Evaluator
}

func newSecurity() (*security, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	return &security{evaluator}, err
}

func (s *security) check(version string, o *object) error {
	pod, err := o.pod()
	if pod == nil || err != nil {
		return err
	}
	at, err := api.ParseVersion("v" + version)
	if err != nil {
		return err
	}
	var errs []error
	for _, result := range s.evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: at}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			errs = append(errs, fmt.Errorf("not restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return errors.Join(errs...)
}
