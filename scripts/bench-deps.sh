#!/usr/bin/env bash
# Installs the tools that soakd is compared with and that come from the system:
# wrk and Locust, from apt, as root. What cannot be had is named and skipped by
# the benchmark, so this always succeeds. k6 is not installed: it is used when it
# is on PATH (https://grafana.com/docs/k6/latest/set-up/install-k6/).
set -euo pipefail

declare -A package=([wrk]=wrk [locust]=python3-locust [taskset]=util-linux)
missing=()
for program in wrk locust taskset; do
	command -v "$program" >/dev/null || missing+=("$program")
done
command -v k6 >/dev/null || echo "bench-deps: no k6 on PATH: it is left out" >&2
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
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null || echo "bench-deps: apt-get update failed: what apt knows already is used" >&2
for program in "${missing[@]}"; do
	apt-get install -qy --no-install-recommends "${package[$program]}" >/dev/null ||
		echo "bench-deps: $program cannot be had from apt (${package[$program]}): it is left out" >&2
done
