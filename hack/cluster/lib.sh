# shellcheck shell=sh disable=SC2034
# What the scripts of hack/cluster have in common: where things are, and how
# programs are started and stopped.

CLUSTER_DIR=${CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/podinfo-cluster}
kubernetes=1.35.4
programs=$CLUSTER_DIR/bin
run=$CLUSTER_DIR/run
socket=$run/containerd/containerd.sock

# Addresses. Pods are in 10.88.77.0/24, and the node is the first one of them.
bridge=podinfo0
node_ip=10.88.77.1
pod_cidr=10.88.77.0/24
service_cidr=10.96.0.0/24
api_port=${API_PORT:-$(cat "$run/api_port" 2>/dev/null || echo 30443)} # the second call of up uses the port of the first
api=https://127.0.0.1:$api_port
sysctls="vm.overcommit_memory kernel.panic kernel.panic_on_oops net.ipv4.ip_forward net.ipv4.conf.all.route_localnet"

export PATH="$programs:/usr/sbin:/sbin:$PATH"
export KUBECONFIG="$run/kubeconfig"

fail() {
	echo "hack/cluster: $*" >&2
	exit 1
}

as_root() {
	[ "$(id -u)" = 0 ] || fail "needs root: it makes network interfaces, mounts and control groups"
}

# running checks whether a program that was started still runs.
running() {
	[ -f "$run/pids/$1" ] && kill -0 "$(cat "$run/pids/$1")" 2>/dev/null
}

# start runs a program in the background under a name, once.
start() {
	name=$1
	shift
	running "$name" && return
	setsid "$@" >"$run/log/$name.log" 2>&1 </dev/null &
	echo $! >"$run/pids/$name"
}

# stop ends a program, by force after 10 seconds.
stop() {
	[ -f "$run/pids/$1" ] || return 0
	pid=$(cat "$run/pids/$1")
	kill "$pid" 2>/dev/null || true
	tries=100
	while kill -0 "$pid" 2>/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || kill -9 "$pid" 2>/dev/null || true
		sleep 0.1
	done
	rm -f "$run/pids/$1"
}

# eventually repeats a command once a second until it succeeds: eventually SECONDS WHAT COMMAND…
eventually() {
	left=$1
	what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || fail "$what: not within the time; see $run/log"
		sleep 1
	done
}

containers() {
	ctr --address "$socket" --namespace k8s.io "$@"
}
