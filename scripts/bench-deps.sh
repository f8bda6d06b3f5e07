#!/usr/bin/env bash
# Installs what soakd is compared with and comes from the system, from apt, as
# root: wrk and Locust, or with the argument `exporters` Prometheus' exporters for
# PostgreSQL and Redis. No service is started. What cannot be had is named and
# left to the caller to miss, so this always succeeds. k6 is not installed: it is
# used when it is on PATH (https://grafana.com/docs/k6/latest/set-up/install-k6/).
set -euo pipefail

declare -A package=(
	[wrk]=wrk [locust]=python3-locust [taskset]=util-linux
	[prometheus-postgres-exporter]=prometheus-postgres-exporter [prometheus-redis-exporter]=prometheus-redis-exporter
)
programs=(wrk locust taskset)
if [[ ${1:-} == exporters ]]; then
	programs=(prometheus-postgres-exporter prometheus-redis-exporter)
else
	command -v k6 >/dev/null || echo "bench-deps: no k6 on PATH: it is left out" >&2
fi
missing=()
for program in "${programs[@]}"; do
	command -v "$program" >/dev/null || missing+=("$program")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "bench-deps: missing: ${missing[*]}; install them with the package manager of your system" >&2
	exit 0
fi
if [[ $(id -u) -ne 0 ]]; then
	for program in "${missing[@]}"; do
		echo "bench-deps: missing: $program; install it with: sudo apt-get install --no-install-recommends ${package[$program]}" >&2
	done
	exit 0
fi

# As in test-deps.sh: no package script may start a service.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy && ! -L $policy ]]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null || echo "bench-deps: apt-get update failed: what apt knows already is used" >&2
for program in "${missing[@]}"; do
	apt-get install -qy --no-install-recommends "${package[$program]}" >/dev/null ||
		echo "bench-deps: $program cannot be had from apt (${package[$program]}): it is left out" >&2
done
