package packagingtest

import (
	"strings"
	"testing"
)

const base = `
apiVersion: v1
kind: Pod
metadata:
  name: a
  labels: {app.kubernetes.io/name: a}
spec:
  replicas: 1
  containers:
    - name: one
      command: [./one, --port=1]
      env: [{name: A, value: "1"}, {name: B, value: "2"}]
    - name: two
  rules: [{from: x}, {from: z}]
  script: |
    first
    second
---
kind: Service
metadata: {name: a}
`

// TestChanges edits a manifest and expects the summary to show the edit and
// nothing else.
func TestChanges(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"nothing":         {"", "", ""},
		"order of names":  {`[{name: A, value: "1"}, {name: B, value: "2"}]`, `[{name: B, value: "2"}, {name: A, value: "1"}]`, ""},
		"number":          {"replicas: 1", "replicas: 2", "~ Pod a\n  - spec.replicas: 1\n  + spec.replicas: 2\n"},
		"type":            {"replicas: 1", `replicas: "1"`, "~ Pod a\n  - spec.replicas: 1\n  + spec.replicas: \"1\"\n"},
		"new field":       {"replicas: 1", "replicas: 1\n  paused: {by: me}", "~ Pod a\n  + spec.paused: {\"by\":\"me\"}\n"},
		"label":           {"io/name: a", "io/name: b", "~ Pod a\n  - metadata.labels[app.kubernetes.io/name]: \"a\"\n  + metadata.labels[app.kubernetes.io/name]: \"b\"\n"},
		"argument":        {"--port=1", "--port=1, --port=1", "~ Pod a\n  + spec.containers[one].command[]: \"--port=1\"\n"},
		"order of a list": {"[./one, --port=1]", "[--port=1, ./one]", "~ Pod a\n  - spec.containers[one].command: [\"./one\",\"--port=1\"]\n  + spec.containers[one].command: [\"--port=1\",\"./one\"]\n"},
		"variable":        {`value: "2"`, `value: "3"`, "~ Pod a\n  - spec.containers[one].env[B].value: \"2\"\n  + spec.containers[one].env[B].value: \"3\"\n"},
		"duplicate name":  {`{name: B, value: "2"}`, `{name: A, value: "2"}`, "~ Pod a\n  - spec.containers[one].env[1].name: \"B\"\n  + spec.containers[one].env[1].name: \"A\"\n"},
		"other container": {"name: two", "name: three", "~ Pod a\n  + spec.containers[three]: {}\n  - spec.containers[two]: {}\n"},
		"item":            {", {from: z}", "", "~ Pod a\n  - spec.rules[1]: {\"from\":\"z\"}\n"},
		"line":            {"second", "third", "~ Pod a\n  - spec.script[]: \"second\"\n  + spec.script[]: \"third\"\n"},
		"other name":      {"kind: Service\nmetadata: {name: a}", "kind: Service\nmetadata: {name: b}", "- Service a\n+ Service b\n"},
		"null":            {"replicas: 1", "replicas: null", "~ Pod a\n  - spec.replicas: 1\n"},
	} {
		WantSummary(t, name, tc.want, Changes(t, base, strings.Replace(base, tc.old, tc.new, 1)))
	}
}

func TestReport(t *testing.T) {
	got := Report(Changes(t, base, base+"---\n# From a file.\nkind: Secret\nmetadata: {name: b}\n"))
	if want := "+ Secret b\n---\n# From a file.\nkind: Secret\nmetadata: {name: b}\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
