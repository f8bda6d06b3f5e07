-- The role that soakd watches a PostgreSQL server with, 13 to 18. It reads the
-- server's statistics (pg_monitor), not the tables of others, and writes nothing.
-- To be run in the database that soakd connects to, by a role that may make
-- roles and may grant pg_monitor; running it again does no harm.
--
--   psql -v password_file=/path/to/password -f deploy/postgres-role.sql DATABASE
--
--   password_file   file with the password; or
--   password        the password itself, which the list of processes then shows
--   role            name of the role, soakd when not given
--
-- Neither is needed where the role logs in by certificate or by its name on the
-- system. A server that logs statements of DDL logs the password too, and
-- pg_stat_statements shows it to every role with pg_monitor unless a superuser
-- runs this: make it there with \password.
\set ON_ERROR_STOP on
\if :{?role}
\else
  \set role soakd
\endif
\if :{?password_file}
  \set password `cat :'password_file'`
\endif

-- From 14 on the default; 13 would keep the password as MD5.
SET password_encryption = 'scram-sha-256';

SELECT format('CREATE ROLE %I', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

-- soakd holds two sessions at most. One that was cut off can be there for a
-- moment longer, and a second soakd may take over from the first.
ALTER ROLE :"role" LOGIN CONNECTION LIMIT 4;
\if :{?password}
  SELECT :'password' = '' AS no_password \gset
  \if :no_password
    DO $$ BEGIN RAISE EXCEPTION 'the password is empty or its file cannot be read'; END $$;
  \endif
  -- For this session pg_stat_statements keeps no statements that make roles.
  DO $$ BEGIN
    PERFORM set_config('pg_stat_statements.track_utility', 'off', false);
  EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'pg_stat_statements may show the password: this role may not keep it from that';
  END $$;
  ALTER ROLE :"role" PASSWORD :'password';
\endif
SELECT format('GRANT pg_monitor TO %I', :'role')
WHERE NOT pg_has_role(:'role', 'pg_monitor', 'MEMBER') \gexec

-- soakd sets shorter ones for its sessions. These hold where it cannot, and for
-- whoever else has the password.
ALTER ROLE :"role" SET default_transaction_read_only = on;
ALTER ROLE :"role" SET statement_timeout = '5s';
ALTER ROLE :"role" SET lock_timeout = '1s';
ALTER ROLE :"role" SET idle_in_transaction_session_timeout = '10s';

-- For SOAKD_POSTGRES_STATEMENTS, where the server has loaded the library.
SELECT 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements'
WHERE EXISTS (SELECT FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting LIKE '%pg_stat_statements%')
  AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') \gexec
