package postgres

import (
	"context"
	"strings"

	"soakd/internal/probes"
)

// cluster reads the views of one row that tell of the whole server, all in one
// query: the write-ahead log, checkpoints, the background writer, the archiver,
// and when each of them was reset.
type cluster struct {
	columns []column
	resets  *resets
}

func newCluster(d *probes.Descs, resets *resets) *cluster {
	of := func(view, name string, desc *probes.Desc, labels ...string) column {
		return column{view: view, name: name, desc: desc, labels: labels}
	}
	milliseconds := func(c column) column { c.scale = " / 1000"; return c }
	const wal, writer, checkpointer, archiver, prepared = "pg_stat_wal", "pg_stat_bgwriter", "pg_stat_checkpointer", "pg_stat_archiver", "pg_prepared_xacts"
	checkpoints := d.Counter("soakd_postgres_checkpoints_total", "Checkpoints of the server, by whether they were due (timed) or demanded, as by too much log (requested).", "kind")
	checkpointTime := d.Counter("soakd_postgres_checkpoint_seconds_total", "Time that checkpoints spent writing and syncing files.", "phase")
	restartpoints := d.Counter("soakd_postgres_restartpoints_total", "Restart points of a replica, by whether they were due (timed) or demanded (requested); from Postgres 17.", "kind")
	buffers := d.Counter("soakd_postgres_buffers_written_total", "Buffers written, by whom: checkpointer, background_writer, and until Postgres 16 backend, which had to write itself before it could read (from 17 see soakd_postgres_io_operations_total).", "by")
	archived := d.Counter("soakd_postgres_wal_archived_total", "Files of write-ahead log that the archiver tried to archive, by result: ok or failed.", "result")
	walTime := d.Counter("soakd_postgres_wal_io_seconds_total", "Time spent writing and syncing write-ahead log (0 while the server's track_wal_io_timing is off); Postgres 14 to 17, later in soakd_postgres_io_seconds_total.", "operation")
	walOperations := d.Counter("soakd_postgres_wal_io_operations_total", "Writes and syncs of write-ahead log; Postgres 14 to 17, later in soakd_postgres_io_operations_total.", "operation")
	return &cluster{
		resets: resets,
		columns: append(resets.columns(), []column{
			of(wal, "wal_bytes", d.Counter("soakd_postgres_wal_bytes_total", "Bytes of write-ahead log that the server made; from Postgres 14.")),
			of(wal, "wal_records", d.Counter("soakd_postgres_wal_records_total", "Records of write-ahead log that the server made; from Postgres 14.")),
			of(wal, "wal_fpi", d.Counter("soakd_postgres_wal_full_page_images_total", "Whole pages in the write-ahead log: each page's first change after a checkpoint; from Postgres 14.")),
			of(wal, "wal_buffers_full", d.Counter("soakd_postgres_wal_buffers_full_total", "How often log had to be written because its buffers were full; from Postgres 14.")),
			of(wal, "wal_write", walOperations, "write"), of(wal, "wal_sync", walOperations, "sync"),
			milliseconds(of(wal, "wal_write_time", walTime, "write")), milliseconds(of(wal, "wal_sync_time", walTime, "sync")),
			// Until 16 in pg_stat_bgwriter, from 17 in a view of their own.
			of(writer, "checkpoints_timed", checkpoints, "timed"), of(writer, "checkpoints_req", checkpoints, "requested"),
			of(checkpointer, "num_timed", checkpoints, "timed"), of(checkpointer, "num_requested", checkpoints, "requested"),
			milliseconds(of(writer, "checkpoint_write_time", checkpointTime, "write")), milliseconds(of(writer, "checkpoint_sync_time", checkpointTime, "sync")),
			milliseconds(of(checkpointer, "write_time", checkpointTime, "write")), milliseconds(of(checkpointer, "sync_time", checkpointTime, "sync")),
			of(checkpointer, "restartpoints_timed", restartpoints, "timed"), of(checkpointer, "restartpoints_req", restartpoints, "requested"),
			of(writer, "buffers_checkpoint", buffers, "checkpointer"), of(checkpointer, "buffers_written", buffers, "checkpointer"),
			of(writer, "buffers_clean", buffers, "background_writer"), of(writer, "buffers_backend", buffers, "backend"),
			of(writer, "maxwritten_clean", d.Counter("soakd_postgres_background_writer_stops_total", "How often the background writer stopped because it had written as much as it may (bgwriter_lru_maxpages).")),
			of(writer, "buffers_alloc", d.Counter("soakd_postgres_buffers_allocated_total", "Buffers allocated.")),
			{
				view: prepared, expression: "SELECT count(*) FROM pg_prepared_xacts", needs: []string{"prepared"},
				desc: d.Gauge("soakd_postgres_prepared_transactions", "Prepared transactions that are neither committed nor rolled back: a forgotten one holds its locks through restarts."),
			},
			{
				view: prepared, expression: "SELECT extract(epoch FROM clock_timestamp() - min(prepared)) FROM pg_prepared_xacts", needs: []string{"prepared"},
				desc: d.Gauge("soakd_postgres_prepared_transaction_oldest_seconds", "Age of the oldest of them; absent when there is none."),
			},
			// No view of statistics: where there are sessions there is this.
			{
				view: "pg_stat_activity", expression: "SELECT max(age(datfrozenxid)) FROM pg_database",
				desc: d.Gauge("soakd_postgres_transaction_id_age", "Transactions since the oldest that any database still has to freeze. The server stops taking writes near 2^31; autovacuum freezes from autovacuum_freeze_max_age on (200 million)."),
			},
			of(archiver, "archived_count", archived, "ok"), of(archiver, "failed_count", archived, "failed"),
		}...),
	}
}

func (*cluster) name() string { return "cluster" }

// views are those of one row that the server has.
func (*cluster) views(by *catalogue) []string {
	var views []string
	for _, view := range []string{"pg_stat_wal", "pg_stat_bgwriter", "pg_stat_checkpointer", "pg_stat_archiver"} {
		if by.has(view) {
			views = append(views, view)
		}
	}
	return views
}

func (c *cluster) read(ctx context.Context, s *session, reading *probes.Reading) error {
	views := c.views(s.catalogue)
	if len(views) == 0 {
		return errNoViews
	}
	var found probes.Reading
	if err := readColumns(ctx, s, &found, c.columns, strings.Join(views, " CROSS JOIN ")); err != nil {
		return err
	}
	c.resets.add(reading, found)
	return nil
}

// inputOutput reads pg_stat_io, which is new in Postgres 16.
type inputOutput struct{ stats table }

// ioBackends gives backend types the label values; all others are other.
const ioBackends = `CASE backend_type WHEN 'client backend' THEN 'client' WHEN 'autovacuum worker' THEN 'autovacuum'
WHEN 'background writer' THEN 'background_writer' WHEN 'checkpointer' THEN 'checkpointer' WHEN 'walwriter' THEN 'wal_writer' ELSE 'other' END`

// ioObjects does so for what is read and written.
const ioObjects = `CASE object WHEN 'relation' THEN 'relation' WHEN 'temp relation' THEN 'temporary' WHEN 'wal' THEN 'wal' ELSE 'other' END`

func newIO(d *probes.Descs) *inputOutput {
	labels := []string{"backend", "object", "operation"}
	operations := d.Counter("soakd_postgres_io_operations_total", "Input and output, by who did it (client, autovacuum, background_writer, checkpointer, wal_writer, other), on what (relation, temporary, wal, other) and how (hit: found in the cache; evict, reuse: a buffer taken for something else); from Postgres 16.", labels...)
	bytes := d.Counter("soakd_postgres_io_bytes_total", "Bytes read, written and extended by these; from Postgres 16.", labels...)
	times := d.Counter("soakd_postgres_io_seconds_total", "Time that these took; absent while the server's track_io_timing (track_wal_io_timing) is off; from Postgres 16.", labels...)
	i := &inputOutput{table{
		labels: []string{ioBackends, ioObjects}, from: "pg_stat_io GROUP BY 1, 2",
	}}
	sum := func(desc *probes.Desc, expression, operation string, needs ...string) {
		i.stats.columns = append(i.stats.columns, column{view: "pg_stat_io", expression: expression, needs: needs, desc: desc, labels: []string{operation}})
	}
	for _, o := range [][2]string{
		{"reads", "read"}, {"writes", "write"}, {"extends", "extend"}, {"writebacks", "writeback"}, {"hits", "hit"}, {"evictions", "evict"}, {"reuses", "reuse"}, {"fsyncs", "fsync"},
	} {
		sum(operations, "sum("+o[0]+")", o[1], o[0])
	}
	for _, o := range [][3]string{{"reads", "read_bytes", "read"}, {"writes", "write_bytes", "write"}, {"extends", "extend_bytes", "extend"}} {
		sum(bytes, "sum("+o[1]+")", o[2], o[1])                        // from 18
		sum(bytes, "sum("+o[0]+" * op_bytes)", o[2], o[0], "op_bytes") // 16 and 17
	}
	for _, o := range [][2]string{{"read_time", "read"}, {"write_time", "write"}, {"extend_time", "extend"}, {"writeback_time", "writeback"}, {"fsync_time", "fsync"}} {
		sum(times, "nullif(sum("+o[0]+"), 0) / 1000", o[1], o[0])
	}
	return i
}

func (*inputOutput) name() string { return "io" }

func (i *inputOutput) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if !s.catalogue.has("pg_stat_io") {
		return nil
	}
	return i.stats.read(ctx, s, reading, nil)
}
