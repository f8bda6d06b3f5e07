-- The role and the table of soakd's canary (SOAKD_POSTGRES_CANARY_URL), which
-- writes, reads and deletes one row at each poll. Run it in the database where
-- the canary is to live, as its owner or as superuser, as often as you like:
--
--   psql -d DATABASE -v password=... -f postgres-canary.sql
--
-- More variables: role (default soakd_canary), schema (default soakd_canary,
-- SOAKD_POSTGRES_CANARY_SCHEMA). Without a password the role is made without
-- one, or keeps the one that it has. pg_stat_statements shows the password to
-- every role with pg_monitor unless a superuser runs this: else use \password.
--
-- To remove it all: DROP SCHEMA soakd_canary CASCADE; DROP OWNED BY soakd_canary;
-- DROP ROLE soakd_canary;
\set ON_ERROR_STOP on
\if :{?role} \else \set role soakd_canary \endif
\if :{?schema} \else \set schema soakd_canary \endif

SELECT format('CREATE ROLE %I LOGIN CONNECTION LIMIT 20', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
\if :{?password}
-- For this session pg_stat_statements keeps no statements that make roles.
DO $$ BEGIN
  PERFORM set_config('pg_stat_statements.track_utility', 'off', false);
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'pg_stat_statements may show the password: this role may not keep it from that';
END $$;
ALTER ROLE :"role" PASSWORD :'password';
\endif

CREATE SCHEMA IF NOT EXISTS :"schema";
-- The row of each soakd is gone after each poll. Autovacuum comes after 500 dead
-- rows; for an empty table its usual threshold would be 50.
CREATE TABLE IF NOT EXISTS :"schema".canary (
  id bigint PRIMARY KEY,
  instance text NOT NULL,
  value text NOT NULL,
  written timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT, INSERT, DELETE ON :"schema".canary TO :"role";
