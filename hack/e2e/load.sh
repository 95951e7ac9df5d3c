# shellcheck shell=sh disable=SC2154
# Load on the Service podinfo while something happens. podcli load sends requests at
# a steady rate from Pods of the same namespace.

# job starts a load: job NAMESPACE NAME SECONDS ARGUMENTS…
job() {
	load_in=$1
	load=$2
	duration=$3
	shift 3
	kubectl -n "$load_in" delete job "$load" --ignore-not-found >/dev/null
	{
		cat <<-EOF
			apiVersion: batch/v1
			kind: Job
			metadata: {name: $load}
			spec:
			  backoffLimit: 0
			  template:
			    spec:
			      restartPolicy: Never
			      containers:
			        - name: load
			          image: $IMAGE:$TAG
			          securityContext:
			            allowPrivilegeEscalation: false
			            capabilities: {drop: [ALL]}
			            readOnlyRootFilesystem: true
			            runAsNonRoot: true
			            seccompProfile: {type: RuntimeDefault}
			          command:
		EOF
		for arg in podcli load "$@" --rate=30 --connections=10 --timeout=20s --duration="${duration}s" --output=json; do
			echo "            - '$arg'"
		done
	} | kubectl -n "$load_in" apply -f - >/dev/null
}

loads="get post grpc"

# verdict prints the result of a load. A request is lost if it failed in any way but
# a timeout: a slow machine delays requests, it does not end them. Requests that were
# not sent, because all connections were busy, are no loss either.
verdict() {
	kubectl -n "$1" logs "job/$2" >"$tmp/$2"
	answered=$(sed -n 's/.*"answered":\([0-9]*\).*/\1/p' "$tmp/$2")
	errors=$(sed -n 's/.*"errors":{\([^}]*\)}.*/\1/p' "$tmp/$2")
	statuses=$(sed -n 's/.*"status":{\([^}]*\)}.*/\1/p' "$tmp/$2")
	echo "   $2: ${answered:-no} responses, status {$statuses}, errors {$errors}"
	[ "${answered:-0}" -gt 0 ] || fail "no response to $2"
	lost=$(printf '%s' "$errors" | tr ',' '\n' | grep -v '^"timeout":' || true)
	wrong=$(printf '%s' "$statuses" | tr ',' '\n' | grep -vE '^"(200|202|OK)":' || true)
	[ -z "$lost$wrong" ] || fail "requests of $2 were lost: $lost $wrong"
}

# active counts the loads that still run.
active() {
	for load in $loads; do
		kubectl -n "$1" get job "$load" -o jsonpath='{.status.active}'
	done
}

# under_load runs a command during a load, and fails if a request is lost: under_load
# NAMESPACE COMMAND… If the command takes longer than the load, both are repeated
# with a longer load.
under_load() {
	loaded=$1
	shift
	seconds=45
	# Not by name: a slow name server is no failure of podinfo.
	address=$(kubectl -n "$loaded" get service podinfo -o jsonpath='{.spec.clusterIP}')
	case $address in *:*) address="[$address]" ;; esac
	while :; do
		job "$loaded" get "$seconds" "http://$address:9898/api/info"
		job "$loaded" post "$seconds" "http://$address:9898/echo" --method=POST --body=x
		job "$loaded" grpc "$seconds" "$address:9999" --grpc=echo
		for load in $loads; do
			kubectl -n "$loaded" wait "job/$load" --for=jsonpath='{.status.ready}'=1 --timeout="${PATIENCE}s" >/dev/null
		done
		"$@"
		[ "$(active "$loaded")" != 111 ] || break
		[ "$seconds" -lt 600 ] || fail "$* took longer than $seconds seconds of load"
		seconds=$((seconds * 2))
		echo "   it took longer than the load, again with $seconds seconds"
	done
	for load in $loads; do
		kubectl -n "$loaded" wait "job/$load" --for=jsonpath='{.status.ready}'=0 --timeout="$((seconds + PATIENCE))s" >/dev/null
		verdict "$loaded" "$load"
	done
}
