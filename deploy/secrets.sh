#!/bin/sh
# Draws every password of compose.yaml into the volume /run/soakd, once. The
# volume is mounted only by the services of that file, whose users differ, so
# the files can be read by all of them.
set -eu
cd "${SECRETS_DIR:-/run/soakd}"
[ ! -e complete ] || exit 0
umask 022

draw() { # 128 random bits in hexadecimal: nothing that has to be quoted
	od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

app=$(draw) monitor=$(draw) cache=$(draw) cache_monitor=$(draw)
draw >postgres_password
draw >jwt_secret
draw >grafana_password
printf %s "$app" >app_password
printf %s "$monitor" >monitor_password
printf %s "$cache" >redis_password
printf 'user default on >%s ~* &* +@all\nuser soakd on >%s +ping +info +slowlog|get +latency|latest +latency|histogram\n' \
	"$cache" "$cache_monitor" >redis_users.conf
printf 'postgres://app:%s@postgres:5432/app?sslmode=disable' "$app" >refapi_postgres_url
printf 'postgres://soakd:%s@postgres:5432/app?sslmode=disable' "$monitor" >soakd_postgres_url
printf 'redis://default:%s@redis:6379/0' "$cache" >refapi_redis_url
printf 'redis://soakd:%s@redis:6379/0' "$cache_monitor" >soakd_redis_url
: >complete # last: a start that was cut short begins anew
