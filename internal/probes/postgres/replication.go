package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"soakd/internal/probes"
)

// maxReplicas bounds the labels replica and slot at a time, maxNames over the
// life of the probe: anybody who replicates may choose a name, and some tools
// choose one with a process number in it. All others are other.
const (
	maxReplicas = 10
	maxNames    = 100
)

// replication reads how far replicas are behind: on a replica its own lag, on a
// primary that of each replica and of the worst.
type replication struct {
	replica        []column
	each, slots    table
	replicas, kept *names
	// low are the metrics whose lowest value is the worst.
	low []*probes.Desc
	// The first is not by replica: it counts the rows of each and of all.
	connected, lagBytes, lagSeconds, maxLagBytes, maxLagSeconds *probes.Desc
}

// names are the label values that were given out.
type names struct {
	given     map[string]bool
	limit, of int
}

// newNames gives out limit names at a time, of as many as of over the time.
func newNames(limit, of int) *names { return &names{given: map[string]bool{}, limit: limit, of: of} }

// choose returns those of present that are labels: first those that were before,
// so that a series stays while its replica does, then others while there is room.
func (n *names) choose(present []string) map[string]bool {
	chosen := map[string]bool{}
	for _, wantKnown := range []bool{true, false} {
		for _, name := range present {
			if len(chosen) < n.limit && name != other && n.given[name] == wantKnown && (wantKnown || len(n.given) < n.of) {
				chosen[name], n.given[name] = true, true
			}
		}
	}
	return chosen
}

func newReplication(d *probes.Descs) *replication {
	r := &replication{replicas: newNames(maxReplicas, maxNames), kept: newNames(maxReplicas, maxNames)}
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
			   WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
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
	r.connected = d.Gauge("soakd_postgres_replicas", "Replicas and other receivers of the log that are connected to this primary.")
	r.lagBytes, r.maxLagBytes = lagBytes, d.Gauge("soakd_postgres_replica_max_lag_bytes", "Log that the replica furthest behind has not replayed yet; absent without replicas.")
	r.lagSeconds, r.maxLagSeconds = lagSeconds, d.Gauge("soakd_postgres_replica_max_lag_seconds", "Time until the replica furthest behind had replayed recent log; absent without replicas and while they are idle.")
	streaming := d.Gauge("soakd_postgres_replica_streaming", "Whether a replica, by its application_name, streams (1) or still catches up (0).", "replica")
	synchronous := d.Gauge("soakd_postgres_replica_synchronous", "Whether commits wait for a replica, by its application_name (1), or not (0).", "replica")
	r.low = append(r.low, streaming)
	r.each = table{
		// The row without a name is of all.
		labels: []string{"CASE WHEN grouping(application_name) = 1 THEN '' ELSE coalesce(nullif(application_name, ''), 'none') END"},
		from:   "pg_stat_replication GROUP BY GROUPING SETS ((application_name), ()) ORDER BY 1",
		columns: []column{
			{view: view, needs: []string{"pid"}, expression: "count(*)", desc: r.connected},
			{view: view, needs: []string{"state"}, expression: "min((state = 'streaming')::int)", desc: streaming},
			{view: view, needs: []string{"sync_state"}, expression: "max((sync_state IN ('sync', 'quorum'))::int)", desc: synchronous},
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
	active := d.Gauge("soakd_postgres_replication_slot_active", "Whether somebody receives from a replication slot (1) or it only holds log back (0).", "slot")
	r.low = append(r.low, active)
	r.slots = table{
		// A temporary slot ends with its session and has a name of the moment.
		labels: []string{"CASE WHEN temporary THEN '" + other + "' ELSE slot_name::text END"}, from: "pg_replication_slots ORDER BY 1",
		columns: []column{
			{view: view, needs: []string{"active"}, expression: "active::int", desc: active},
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
	slots := r.readSlots(ctx, s, reading)
	if s.inRecovery {
		return errors.Join(slots, readColumns(ctx, s, reading, r.replica, receiver))
	}
	return errors.Join(slots, r.readReplicas(ctx, s, reading))
}

func (r *replication) readSlots(ctx context.Context, s *session, reading *probes.Reading) error {
	var found probes.Reading
	if err := r.slots.read(ctx, s, &found, nil); err != nil {
		return err
	}
	r.addBounded(reading, found.Samples, r.kept)
	return nil
}

func (r *replication) readReplicas(ctx context.Context, s *session, reading *probes.Reading) error {
	var found probes.Reading
	if err := r.each.read(ctx, s, &found, nil); err != nil {
		return err
	}
	var each []probes.Sample
	for _, sample := range found.Samples {
		switch {
		case sample.Labels[0] != "" && sample.Desc != r.connected:
			each = append(each, sample)
		case sample.Labels[0] == "":
			r.addTotal(reading, sample)
		}
	}
	r.addBounded(reading, each, r.replicas)
	return nil
}

// addTotal adds a value of the row of all replicas, as far as there is a metric
// for it.
func (r *replication) addTotal(reading *probes.Reading, sample probes.Sample) {
	replayed := slices.Equal(sample.Labels[1:], []string{"replay"})
	switch {
	case sample.Desc == r.connected:
		reading.Add(r.connected, sample.Value)
	case sample.Desc == r.lagBytes && replayed:
		reading.Add(r.maxLagBytes, sample.Value)
	case sample.Desc == r.lagSeconds && replayed:
		reading.Add(r.maxLagSeconds, sample.Value)
	}
}

// addBounded adds samples whose first label anybody can give a value. Of those
// that are folded into one the worst value counts.
func (r *replication) addBounded(reading *probes.Reading, samples []probes.Sample, named *names) {
	var present []string
	for _, sample := range samples {
		if !slices.Contains(present, sample.Labels[0]) {
			present = append(present, sample.Labels[0])
		}
	}
	chosen := named.choose(present)
	reading.Overflow += len(present) - len(chosen)
	at := map[string]int{}
	for _, sample := range samples {
		if !chosen[sample.Labels[0]] {
			sample.Labels[0] = other
		}
		key := sample.Desc.Name + "\xff" + strings.Join(sample.Labels, "\xff")
		first, again := at[key]
		switch {
		case !again:
			at[key] = len(reading.Samples)
			reading.Samples = append(reading.Samples, sample)
		case slices.Contains(r.low, sample.Desc):
			reading.Samples[first].Value = min(reading.Samples[first].Value, sample.Value)
		default:
			reading.Samples[first].Value = max(reading.Samples[first].Value, sample.Value)
		}
	}
}
