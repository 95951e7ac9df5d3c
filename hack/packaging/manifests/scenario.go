package manifests

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// checkScenario lets podinfo validate the fault scenario in the file. It also
// checks that the file takes effect: the module is on, and a change of the
// ConfigMap reaches the running pod.
func (s *settings) checkScenario(pod *corev1.PodTemplateSpec, c *corev1.Container, file string, args, env []string, all []*object) error {
	modules, err := s.table("modules", args, env)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(modules, func(row []string) bool { return row[0] == "faults" && row[1] != "off" }) {
		return errors.New("PODINFO_FAULTS_FILE has no effect: the module faults is off")
	}
	text, err := mounted(pod, c, file, all)
	if err != nil {
		return fmt.Errorf("PODINFO_FAULTS_FILE: %w", err)
	}
	_, err = s.table("settings", nil, []string{"PODINFO_FAULTS=" + text})
	return err
}

// mounted returns the text of a file in a container, which has to come from a
// ConfigMap and to change with it.
func mounted(pod *corev1.PodTemplateSpec, c *corev1.Container, file string, all []*object) (string, error) {
	for _, mount := range c.VolumeMounts {
		key, under := strings.CutPrefix(path.Clean(file), path.Clean(mount.MountPath)+"/")
		if mount.SubPath != "" && (under || mount.MountPath == file) {
			return "", fmt.Errorf("%s is mounted by subPath, so running pods would never see a change", file)
		}
		if !under {
			continue
		}
		for _, v := range pod.Spec.Volumes {
			if v.Name != mount.Name || v.ConfigMap == nil {
				continue
			}
			data, err := configMap(v.ConfigMap.Name, all)
			if err != nil {
				return "", err
			}
			if text, ok := data[key]; ok {
				return text, nil
			}
			return "", fmt.Errorf("ConfigMap %s has no key %s", v.ConfigMap.Name, key)
		}
	}
	return "", fmt.Errorf("no mounted ConfigMap contains %s", file)
}
