#!/bin/sh
# Run once by the Postgres image on an empty data folder: the owner of the
# API's database, and the role soakd watches with.
set -eu
secrets=${SECRETS_DIR:-/run/soakd}
role=${ROLE_SQL:-/postgres-role.sql}
PGPASSWORD=$(cat "$secrets/postgres_password")
export PGPASSWORD
psql --no-psqlrc -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
-- It would keep the passwords, and show them to every role with pg_monitor.
SET pg_stat_statements.track_utility = off;
\\set app \`cat '$secrets/app_password'\`
CREATE ROLE app LOGIN PASSWORD :'app';
CREATE DATABASE app OWNER app;
SQL
psql --no-psqlrc --quiet -v password_file="$secrets/monitor_password" --file "$role" \
	--username "${POSTGRES_USER:-postgres}" --dbname app
