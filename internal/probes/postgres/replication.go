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
			{
				`CASE WHEN hidden = 0 THEN streaming END`,
				d.Gauge("soakd_postgres_wal_receiver_up", "On a replica, whether it receives the log of its primary (1) or is cut off (0); a silent cut shows after the server's wal_receiver_timeout. Absent without the right to see it."), nil,
			},
			{
				// pg_last_wal_receive_lsn() keeps its value when the receiver dies: a
				// replica that is cut off has replayed all it received, for ever. One that
				// receives from an idle primary has too, and its lag must not grow.
				`CASE WHEN streaming + hidden = 0 OR pg_last_wal_receive_lsn() IS NULL THEN NULL
			   WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
			   ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END`,
				d.Gauge("soakd_postgres_replication_lag_seconds", "Age of what this replica has replayed; 0 when it has replayed all it received, absent while it receives none."), nil,
			},
			{
				`pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())`,
				d.Gauge("soakd_postgres_replication_lag_bytes", "Log that this replica has received and not replayed yet; it says nothing of log that it has not received."), nil,
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

// receiver is the state of the log's receiver: a view without a row while none
// runs, and with one whose columns but the pid are NULL for a role without
// pg_read_all_stats.
const receiver = `(SELECT count(*) FILTER (WHERE status = 'streaming') AS streaming,
       count(*) FILTER (WHERE status IS NULL) AS hidden FROM pg_stat_wal_receiver) AS receiver`

func (r *replication) collector() collector { return collector{"replication", r.read} }

func (r *replication) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if s.inRecovery {
		return readColumns(ctx, s, reading, r.replica, receiver)
	}
	return readColumns(ctx, s, reading, r.primary, "pg_stat_replication")
}
