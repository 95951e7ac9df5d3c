package manifests

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// checkScenario has podinfo judge the scenario in its file of faults, and checks
// that the file is followed: that the module is on, and that what the ConfigMap
// holds gets to the running pod.
func (s *settings) checkScenario(pod *corev1.PodTemplateSpec, c *corev1.Container, file string, args, env []string, all []*object) error {
	modules, err := s.table("modules", args, env)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(modules, func(row []string) bool { return row[0] == "faults" && row[1] != "off" }) {
		return errors.New("PODINFO_FAULTS_FILE has no effect, as the module faults is off")
	}
	text, err := mounted(pod, c, file, all)
	if err != nil {
		return fmt.Errorf("PODINFO_FAULTS_FILE: %w", err)
	}
	_, err = s.table("settings", nil, []string{"PODINFO_FAULTS=" + text})
	return err
}

// mounted is the text of a container's file, which has to be of a ConfigMap and
// to change with it.
func mounted(pod *corev1.PodTemplateSpec, c *corev1.Container, file string, all []*object) (string, error) {
	for _, mount := range c.VolumeMounts {
		key, under := strings.CutPrefix(path.Clean(file), path.Clean(mount.MountPath)+"/")
		if mount.SubPath != "" && (under || mount.MountPath == file) {
			return "", fmt.Errorf("%s is mounted by subPath, and will never change", file)
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
			return "", fmt.Errorf("ConfigMap %s has no %s", v.ConfigMap.Name, key)
		}
	}
	return "", fmt.Errorf("no ConfigMap is mounted that holds %s", file)
}
