#!/usr/bin/env bash
# Sees to it that everything the tests run is installed: PostgreSQL, Redis,
# Prometheus (with promtool), Alertmanager, Pushgateway, PgBouncer, curl and a C compiler
# for the race detector.
#
# As root on Debian or Ubuntu it installs what is missing, without starting any
# system service: the tests run private servers of their own. Elsewhere it says
# what is missing and how to install it, and exits with 1.
set -euo pipefail

# have_postgres: a server's programs are not on PATH in Debian.
have_postgres() {
	command -v initdb >/dev/null ||
		compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
		compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null ||
		compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null
}

have_redis() { command -v redis-server >/dev/null || command -v valkey-server >/dev/null; }

have_prometheus() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

# have_alertmanager: Debian gives it a longer name.
have_alertmanager() { command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null; }

# have_pushgateway: so does it to this one.
have_pushgateway() { command -v prometheus-pushgateway >/dev/null || command -v pushgateway >/dev/null; }

# have_pgbouncer: not on the PATH of Debian's ordinary users.
have_pgbouncer() { command -v pgbouncer >/dev/null || [[ -x /usr/sbin/pgbouncer ]]; }

have_xmllint() { command -v xmllint >/dev/null; }

# have_c: a compiler and the C library's headers, by compiling and linking.
have_c() {
	local dir status=0
	dir=$(mktemp -d) || return 1
	echo '#include <stdlib.h>
		int main(void) { return EXIT_SUCCESS; }' >"$dir/a.c"
	"$(go env CC)" -o "$dir/a" "$dir/a.c" >/dev/null 2>&1 || status=1
	rm -rf "$dir"
	return "$status"
}

command -v go >/dev/null || {
	echo "test-deps: Go is not installed: see https://go.dev/doc/install" >&2
	exit 1
}

missing=() # for people
packages=() # Debian's names
have_postgres || { missing+=("PostgreSQL server") packages+=(postgresql); }
have_redis || { missing+=("Redis server") packages+=(redis-server); }
have_prometheus || { missing+=("Prometheus with promtool") packages+=(prometheus); }
have_alertmanager || { missing+=("Alertmanager") packages+=(prometheus-alertmanager); }
have_pushgateway || { missing+=("Pushgateway") packages+=(prometheus-pushgateway); }
have_pgbouncer || { missing+=("PgBouncer") packages+=(pgbouncer); }
have_xmllint || { missing+=("xmllint") packages+=(libxml2-utils); }
command -v curl >/dev/null || { missing+=("curl") packages+=(curl); }
have_c || { missing+=("C compiler and headers, for go test -race") packages+=(gcc libc6-dev); }

# VictoriaMetrics is for `make test-victoria` alone. Debian has it (22 MiB), not every
# system does.
if [[ -n ${TEST_VICTORIA:-} && $(id -u) -eq 0 && -z $(command -v victoria-metrics) ]] && apt-cache show victoria-metrics >/dev/null 2>&1; then
	missing+=("VictoriaMetrics") packages+=(victoria-metrics)
fi

[[ ${#missing[@]} -gt 0 ]] || exit 0
printf 'test-deps: missing: %s\n' "${missing[@]}" >&2

if ! command -v apt-get >/dev/null; then
	echo "test-deps: install these with the package manager of your system" \
		"(Fedora: dnf install postgresql-server postgresql-contrib valkey golang-github-prometheus golang-github-prometheus-alertmanager pgbouncer libxml2 gcc;" \
		"macOS: brew install postgresql@17 redis prometheus alertmanager pgbouncer libxml2, xcode-select --install;" \
		"Pushgateway also from https://prometheus.io/download/)" >&2
	exit 1
fi
install=(apt-get install -y --no-install-recommends "${packages[@]}")
if [[ $(id -u) -ne 0 ]]; then
	echo "test-deps: install them with: sudo ${install[*]}" >&2
	exit 1
fi

# A policy of 101 forbids package scripts to start services
# (https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt).
# A policy that is there already is the administrator's and stays as it is.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy && ! -L $policy ]]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
"${install[@]}"

# Believe the programs, not the package manager.
have_postgres && have_redis && have_prometheus && have_alertmanager && have_pushgateway && have_pgbouncer && have_xmllint && have_c || {
	echo "test-deps: something is still missing after the installation of ${packages[*]}" >&2
	exit 1
}
