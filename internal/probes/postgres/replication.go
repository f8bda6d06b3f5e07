package postgres

import (
	"context"

	"soakd/internal/probes"
)

// replication reads how far replicas are behind: on a replica its own lag, on a
// primary that of the worst replica.
type replication struct {
	replica, primary []column
}

func newReplication(d *probes.Descs) *replication {
	return &replication{
		replica: []column{
			// Without this the lag of a replica of an idle primary would grow for ever.
			{
				`CASE WHEN pg_last_wal_receive_lsn() IS NULL THEN NULL
			   WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
			   ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END`,
				d.Gauge("soakd_postgres_replication_lag_seconds", "Age of what this replica has replayed; 0 when it has replayed all it received, absent when it receives none."), nil,
			},
			{
				`pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())`,
				d.Gauge("soakd_postgres_replication_lag_bytes", "Log that this replica has received and not replayed yet."), nil,
			},
		},
		primary: []column{
			{"count(*)", d.Gauge("soakd_postgres_replicas", "Replicas and other receivers of the log that are connected to this primary."), nil},
			{
				"max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))",
				d.Gauge("soakd_postgres_replica_max_lag_bytes", "Log that the replica furthest behind has not replayed yet; absent without replicas."), nil,
			},
			{
				"max(extract(epoch FROM replay_lag))",
				d.Gauge("soakd_postgres_replica_max_lag_seconds", "Time until the replica furthest behind had replayed recent log; absent without replicas and while they are idle."), nil,
			},
		},
	}
}

func (r *replication) collector() collector { return collector{"replication", r.read} }

func (r *replication) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if s.inRecovery {
		return readColumns(ctx, s, reading, r.replica, "(SELECT) AS one")
	}
	return readColumns(ctx, s, reading, r.primary, "pg_stat_replication")
}
