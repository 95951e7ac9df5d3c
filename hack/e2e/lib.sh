# shellcheck shell=sh disable=SC2034
# What the parts of hack/e2e have in common. A part is a script that makes its own
# namespaces and removes them. It exits with 77 if it cannot run on this cluster.

set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
cd "$root"

repository=ghcr.io/seed-4591fe7d/podinfo
release=$(sed -n 's/^[[:space:]]*release  *= "\(.*\)"/\1/p' podinfo.go)
IMAGE=${IMAGE:-$repository}
TAG=${TAG:-$release}
HELM=${HELM:-helm}
PATIENCE=${PATIENCE:-300} # seconds; nothing is measured by it
tmp=$(mktemp -d)
namespaces=

fail() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

# finish prints the state of the namespaces after a failure, and cleans up.
finish() {
	code=$1
	trap - EXIT
	set +e
	for namespace in $namespaces; do
		if [ "$code" != 0 ] && [ "$code" != 77 ]; then
			kubectl -n "$namespace" get all
			kubectl -n "$namespace" get events --sort-by=.lastTimestamp | tail -n 40
			for pod in $(kubectl -n "$namespace" get pods -o name); do
				echo "-- $pod"
				kubectl -n "$namespace" logs "$pod" --all-containers --tail=30
			done
		fi
		[ -n "${KEEP:-}" ] || kubectl delete namespace "$namespace" --wait=false
	done
	rm -rf "$tmp"
	exit "$code"
}
trap 'finish $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# namespace creates a namespace that enforces the restricted Pod Security level. It
# fails if the namespace exists, so that finish deletes only new ones.
namespace() {
	kubectl create namespace "$1" --save-config
	namespaces="$namespaces $1"
	kubectl label namespace "$1" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted >/dev/null
}

# leave removes a namespace before the end, so that a small node has room for more.
leave() {
	[ -n "${KEEP:-}" ] || kubectl delete namespace "$1" --wait=false
	namespaces=$(printf '%s' "$namespaces" | sed "s/ $1\b//")
}

# image puts the image under test into manifests.
image() {
	sed "s|image: \"*$repository:[^\" ]*\"*|image: $IMAGE:$TAG|"
}

# apply applies the manifests of standard input. A warning of the API server is a
# failure.
apply() {
	kubectl "$@" apply -f - >"$tmp/applied" 2>"$tmp/warnings" || {
		cat "$tmp/applied" "$tmp/warnings" >&2
		fail "kubectl apply failed"
	}
	[ ! -s "$tmp/warnings" ] || fail "the API server warns: $(cat "$tmp/warnings")"
}

# ready waits for all Deployments of a namespace.
ready() {
	for deployment in $(kubectl -n "$1" get deployments -o name); do
		kubectl -n "$1" rollout status "$deployment" --timeout="${PATIENCE}s"
	done
}

# check calls podinfo from inside a Pod: check NAMESPACE DEPLOYMENT ADDRESS FLAGS…
check() {
	in=$1
	deployment=$2
	shift 2
	kubectl -n "$in" exec "deployment/$deployment" -- podcli check http "$@" --retry=5 --timeout=20s
}

# install installs or upgrades the chart as podinfo: install NAMESPACE FLAGS…
install() {
	in=$1
	shift
	"$HELM" -n "$in" upgrade --install podinfo charts/podinfo --wait --timeout "${PATIENCE}s" \
		--set "image.repository=$IMAGE" --set-string "image.tag=$TAG" "$@" >"$tmp/helm"
}

# eventually repeats a command until it succeeds.
eventually() {
	left=$PATIENCE
	until "$@" >/dev/null 2>&1; do
		[ "$left" -gt 0 ] || fail "timeout: $*"
		left=$((left - 1))
		sleep 1
	done
}

# definitions applies the CustomResourceDefinitions of a Go module, unless the
# cluster has them: definitions RESOURCE MODULE@VERSION FILES.
definitions() {
	kubectl get crd "$1" >/dev/null 2>&1 && return
	dir=$(go mod download -json "$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	[ -n "$dir" ] || fail "cannot download $2"
	for file in "$dir"/$3; do
		kubectl apply --server-side -f "$file" >/dev/null || fail "$file"
	done
	kubectl wait crd --all --for=condition=Established --timeout="${PATIENCE}s" >/dev/null
}

# pods prints each Pod of podinfo with its restarts.
pods() {
	kubectl -n "$1" get pods -l app.kubernetes.io/name=podinfo --field-selector=status.phase=Running \
		-o jsonpath='{range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\n"}{end}'
}

# count checks the number of Pods that run: count NAMESPACE NUMBER.
count() {
	[ "$(pods "$1" | wc -l)" -eq "$2" ]
}
