package postgres

import (
	"context"
	"errors"

	"soakd/internal/probes"
)

// maxReplicas bounds the labels replica and slot: the first that are seen keep
// their names, all others are other.
const maxReplicas = 10

// replication reads how far replicas are behind: on a replica its own lag, on a
// primary that of each replica and of the worst.
type replication struct {
	replica, primary []column
	each, slots      table
	replicas, kept   *names
}

// names are the label values that were given out.
type names struct {
	known map[string]bool
	limit int
}

func newNames(limit int) *names { return &names{known: map[string]bool{}, limit: limit} }

// label returns name while there is room, else other.
func (n *names) label(name string) string {
	switch {
	case n.known[name]:
	case len(n.known) >= n.limit || name == other:
		return other
	default:
		n.known[name] = true
	}
	return name
}

func newReplication(d *probes.Descs) *replication {
	r := &replication{replicas: newNames(maxReplicas), kept: newNames(maxReplicas)}
	r.describeReplica(d)
	r.describePrimary(d)
	r.describeSlots(d)
	return r
}

func (r *replication) describeReplica(d *probes.Descs) {
	const view = "pg_stat_wal_receiver"
	r.replica = []column{
		{
			view: view, needs: []string{"status"}, expression: `CASE WHEN hidden = 0 THEN streaming END`,
			desc: d.Gauge("soakd_postgres_wal_receiver_up", "On a replica, whether it receives the log of its primary (1) or is cut off (0); a silent cut shows after the server's wal_receiver_timeout. Absent without the right to see it."),
		},
		{
			// pg_last_wal_receive_lsn() keeps its value when the receiver dies: a
			// replica that is cut off has replayed all it received, for ever. One that
			// receives from an idle primary has too, and its lag must not grow.
			view: view, needs: []string{"status"}, expression: `CASE WHEN streaming + hidden = 0 OR pg_last_wal_receive_lsn() IS NULL THEN NULL
			   WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
			   ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END`,
			desc: d.Gauge("soakd_postgres_replication_lag_seconds", "Age of what this replica has replayed; 0 when it has replayed all it received, absent while it receives none."),
		},
		{
			view: view, needs: []string{"status"}, expression: `pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())`,
			desc: d.Gauge("soakd_postgres_replication_lag_bytes", "Log that this replica has received and not replayed yet; it says nothing of log that it has not received."),
		},
		{
			view: view, needs: []string{"status"}, expression: `CASE WHEN pg_is_wal_replay_paused() THEN 1 ELSE 0 END`,
			desc: d.Gauge("soakd_postgres_replay_paused", "On a replica, whether somebody has paused its replay (1)."),
		},
	}
}

func (r *replication) describePrimary(d *probes.Descs) {
	const view = "pg_stat_replication"
	lagBytes := d.Gauge("soakd_postgres_replica_lag_bytes", "Log that a replica, by its application_name, has not been sent, or not written, flushed or replayed yet, by stage.", "replica", "stage")
	lagSeconds := d.Gauge("soakd_postgres_replica_lag_seconds", "Time until a replica, by its application_name, had written, flushed or replayed recent log, by stage; absent while it is idle.", "replica", "stage")
	r.primary = []column{
		{view: view, needs: []string{"pid"}, expression: "count(*)", desc: d.Gauge("soakd_postgres_replicas", "Replicas and other receivers of the log that are connected to this primary.")},
		{
			view: view, needs: []string{"replay_lsn"}, expression: "max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))",
			desc: d.Gauge("soakd_postgres_replica_max_lag_bytes", "Log that the replica furthest behind has not replayed yet; absent without replicas."),
		},
		{
			view: view, needs: []string{"replay_lag"}, expression: "max(extract(epoch FROM replay_lag))",
			desc: d.Gauge("soakd_postgres_replica_max_lag_seconds", "Time until the replica furthest behind had replayed recent log; absent without replicas and while they are idle."),
		},
	}
	r.each = table{
		// Replicas beyond the first ones, by name, are one: the worst of them.
		labels: []string{"coalesce(nullif(application_name, ''), 'none')"}, from: "pg_stat_replication GROUP BY 1 ORDER BY 1",
		columns: []column{
			{view: view, needs: []string{"state"}, expression: "min((state = 'streaming')::int)", desc: d.Gauge("soakd_postgres_replica_streaming", "Whether a replica, by its application_name, streams (1) or still catches up (0).", "replica")},
			{view: view, needs: []string{"sync_state"}, expression: "max((sync_state IN ('sync', 'quorum'))::int)", desc: d.Gauge("soakd_postgres_replica_synchronous", "Whether commits wait for a replica, by its application_name (1), or not (0).", "replica")},
		},
	}
	for _, stage := range [][2]string{{"sent", "sent_lsn"}, {"write", "write_lsn"}, {"flush", "flush_lsn"}, {"replay", "replay_lsn"}} {
		r.each.columns = append(r.each.columns, column{
			view: view, needs: []string{stage[1]}, expression: "max(pg_wal_lsn_diff(pg_current_wal_lsn(), " + stage[1] + "))", desc: lagBytes, labels: []string{stage[0]},
		})
	}
	for _, stage := range [][2]string{{"write", "write_lag"}, {"flush", "flush_lag"}, {"replay", "replay_lag"}} {
		r.each.columns = append(r.each.columns, column{
			view: view, needs: []string{stage[1]}, expression: "max(extract(epoch FROM " + stage[1] + "))", desc: lagSeconds, labels: []string{stage[0]},
		})
	}
}

func (r *replication) describeSlots(d *probes.Descs) {
	const view = "pg_replication_slots"
	r.slots = table{
		labels: []string{"slot_name::text"}, from: "pg_replication_slots ORDER BY slot_name",
		columns: []column{
			{view: view, needs: []string{"active"}, expression: "active::int", desc: d.Gauge("soakd_postgres_replication_slot_active", "Whether somebody receives from a replication slot (1) or it only holds log back (0).", "slot")},
			{
				view: view, needs: []string{"restart_lsn"},
				expression: "pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)",
				desc:       d.Gauge("soakd_postgres_replication_slot_retained_bytes", "Log that the server keeps for a replication slot.", "slot"),
			},
			{view: view, needs: []string{"wal_status"}, expression: "(wal_status = 'lost')::int", desc: d.Gauge("soakd_postgres_replication_slot_lost", "Whether log that a replication slot needed is gone (1): its receiver must be made anew.", "slot")},
		},
	}
}

// receiver is the state of the log's receiver: a view without a row while none
// runs, and with one whose columns but the pid are NULL for a role without
// pg_read_all_stats.
const receiver = `(SELECT count(*) FILTER (WHERE status = 'streaming') AS streaming,
       count(*) FILTER (WHERE status IS NULL) AS hidden FROM pg_stat_wal_receiver) AS receiver`

func (*replication) name() string { return "replication" }

func (r *replication) read(ctx context.Context, s *session, reading *probes.Reading) error {
	slots := readBounded(ctx, s, reading, r.slots, r.kept)
	if s.inRecovery {
		return errors.Join(slots, readColumns(ctx, s, reading, r.replica, receiver))
	}
	return errors.Join(slots, readColumns(ctx, s, reading, r.primary, "pg_stat_replication"), readBounded(ctx, s, reading, r.each, r.replicas))
}

// readBounded reads a table whose one label anybody can give a value. Of the rows
// that are folded into one the highest value counts.
func readBounded(ctx context.Context, s *session, reading *probes.Reading, t table, named *names) error {
	var found probes.Reading
	err := t.read(ctx, s, &found, func(labels []string) bool {
		if label := named.label(labels[0]); label != labels[0] {
			labels[0] = label
			found.Overflow++
		}
		return true
	})
	if err != nil {
		return err
	}
	reading.Overflow += found.Overflow
	worst := map[string]int{}
	for _, sample := range found.Samples {
		key := sample.Desc.Name
		for _, label := range sample.Labels {
			key += "\xff" + label
		}
		if at, ok := worst[key]; ok {
			reading.Samples[at].Value = max(reading.Samples[at].Value, sample.Value)
			continue
		}
		worst[key] = len(reading.Samples)
		reading.Samples = append(reading.Samples, sample)
	}
	return nil
}
