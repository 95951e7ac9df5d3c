package manifests

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Build builds the podinfo program from its repository.
func Build(root, program string) error {
	if out, err := exec.Command("go", "build", "-C", root, "-o", program, "./cmd/podinfo").CombinedOutput(); err != nil {
		return fmt.Errorf("building podinfo: %w\n%s", err, out)
	}
	return nil
}

const prefix = "PODINFO_"

// settings validates flags and variables by running podinfo itself.
type settings struct {
	program string
	known   map[string]bool
	tables  sync.Map // of functions that return the output of a command, by the command
}

func readSettings(program string) (*settings, error) {
	s := &settings{program: program, known: map[string]bool{}}
	rows, err := s.run(nil, nil)
	for name := range rows {
		s.known[name] = true
	}
	return s, err
}

// A row is one setting as podinfo prints it.
type row struct{ value, source string }

// unset is the text that podinfo prints for an empty value.
const unset = "-"

// run returns the settings of podinfo, or its error about them.
func (s *settings) run(args, env []string) (map[string]row, error) {
	table, err := s.table("settings", args, env)
	rows := map[string]row{}
	for _, columns := range table {
		if strings.HasPrefix(columns[0], prefix) {
			rows[columns[0]] = row{columns[1], columns[2]}
		}
	}
	return rows, err
}

// table returns the output of a podinfo command, by rows and columns. The same
// command is run once: many manifests differ in objects that are not podinfo's.
func (s *settings) table(command string, args, env []string) ([][]string, error) {
	key := fmt.Sprintf("%q %q %q", command, args, env)
	run := func() ([][]string, error) { return s.exec(command, args, env) }
	known, _ := s.tables.LoadOrStore(key, sync.OnceValues(run))
	return known.(func() ([][]string, error))()
}

func (s *settings) exec(command string, args, env []string) (rows [][]string, err error) {
	cmd := exec.Command(s.program, append([]string{command, "--output=json"}, args...)...)
	cmd.Env = append([]string{}, env...) // not nil, which would pass on the environment of this process
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil, errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return nil, err
	}
	var list []struct{ Name, Value, Source, State string }
	err = json.Unmarshal(out, &list)
	for _, x := range list {
		rows = append(rows, []string{x.Name, cmp.Or(x.Value, x.State, unset), x.Source})
	}
	return rows, err
}

func (s *settings) check(o *object, all []*object) error {
	pod, err := o.pod()
	if pod == nil || err != nil {
		return err
	}
	errs := []error{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if args, ok := podinfoArgs(&c); ok {
			if err := s.checkContainer(pod, &c, args, all); err != nil {
				errs = append(errs, fmt.Errorf("container %s: %w", c.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// podinfoArgs returns the flags of a container that runs podinfo.
func podinfoArgs(c *corev1.Container) (args []string, ok bool) {
	command := slices.Concat(c.Command, c.Args)
	if len(c.Command) == 0 { // the command of the image, which args would replace
		image, _, _ := strings.Cut(path.Base(c.Image), ":")
		return c.Args, image == "podinfo" && len(c.Args) == 0
	}
	return command[1:], path.Base(command[0]) == "podinfo"
}

func (s *settings) checkContainer(pod *corev1.PodTemplateSpec, c *corev1.Container, args []string, all []*object) error {
	values, err := environment(c, all)
	if err != nil {
		return err
	}
	var errs []error
	var env []string
	for name, value := range values {
		if strings.HasPrefix(name, prefix) && !s.known[name] {
			errs = append(errs, fmt.Errorf("unknown setting %s", name))
		}
		env = append(env, name+"="+value)
	}
	if len(args) > 1 && args[0] == "proxy" { // the command settings takes no URL
		target := os.Expand(strings.NewReplacer("$(", "${", ")", "}").Replace(args[1]), func(name string) string { return values[name] })
		if target == "" {
			errs = append(errs, fmt.Errorf("no URL for podinfo proxy: %s is empty", args[1]))
		}
		args, env = args[2:], append(env, prefix+"PROXY_URL="+target)
	}
	slices.Sort(env)
	rows, err := s.run(args, env)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for name := range values {
		if rows[name].source == "flag" {
			errs = append(errs, fmt.Errorf("%s has no effect: a flag overrides it", name))
		}
	}
	if file := rows["PODINFO_FAULTS_FILE"].value; file != unset {
		errs = append(errs, s.checkScenario(pod, c, file, args, env, all))
	}
	errs = append(errs, checkCache(rows["PODINFO_CACHE_SERVER"].value, all))
	return errors.Join(append(errs, checkDrain(pod, rows))...)
}

// checkDrain checks that podinfo has time to shut down before it is killed.
func checkDrain(pod *corev1.PodTemplateSpec, rows map[string]row) error {
	grace, err := time.ParseDuration(rows["PODINFO_SHUTDOWN_GRACE"].value)
	if err != nil {
		return err
	}
	timeout, err := time.ParseDuration(rows["PODINFO_SERVER_SHUTDOWN_TIMEOUT"].value)
	if err != nil {
		return err
	}
	allowed := 30 * time.Second // default of Kubernetes
	if seconds := pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		allowed = time.Duration(*seconds) * time.Second
	}
	if allowed <= grace+timeout {
		return fmt.Errorf("terminationGracePeriodSeconds is %v, but podinfo takes up to %v to shut down", allowed, grace+timeout)
	}
	return nil
}

// standIn replaces values that are not in the manifest. It is long enough for a
// token secret.
const standIn = "0123456789abcdef0123456789abcdef"

// environment returns the variables of a container.
func environment(c *corev1.Container, all []*object) (map[string]string, error) {
	values := map[string]string{}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			data, err := configMap(from.ConfigMapRef.Name, all)
			if err != nil {
				return nil, err
			}
			for key, value := range data {
				values[from.Prefix+key] = value
			}
		}
	}
	for _, e := range c.Env {
		values[e.Name] = e.Value
		if e.ValueFrom == nil {
			continue
		}
		values[e.Name] = standIn
		if ref := e.ValueFrom.ConfigMapKeyRef; ref != nil {
			data, err := configMap(ref.Name, all)
			if err != nil {
				return nil, err
			}
			values[e.Name] = data[ref.Key]
		}
	}
	return values, nil
}

func configMap(name string, all []*object) (data map[string]string, err error) {
	for _, o := range all {
		if o.gvk() == "v1/ConfigMap" && o.Metadata.Name == name {
			return data, o.into(&data, "data")
		}
	}
	return nil, fmt.Errorf("no ConfigMap %s", name)
}
