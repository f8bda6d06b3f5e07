#!/bin/sh
# Run once by the Postgres image on an empty data folder: the owner of the
# API's database, and the role soakd watches with (pg_monitor, read-only).
set -eu
secrets=${SECRETS_DIR:-/run/soakd}
PGPASSWORD=$(cat "$secrets/postgres_password")
export PGPASSWORD
psql --no-psqlrc -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
\\set app \`cat '$secrets/app_password'\`
\\set monitor \`cat '$secrets/monitor_password'\`
CREATE ROLE app LOGIN PASSWORD :'app';
CREATE DATABASE app OWNER app;
CREATE ROLE soakd LOGIN PASSWORD :'monitor' CONNECTION LIMIT 5;
GRANT pg_monitor TO soakd;
ALTER ROLE soakd SET default_transaction_read_only = on;
ALTER ROLE soakd SET statement_timeout = '5s';
ALTER ROLE soakd SET lock_timeout = '1s';
\\connect app
CREATE EXTENSION pg_stat_statements;
SQL
