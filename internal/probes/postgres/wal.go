package postgres

import (
	"context"
	"errors"

	"soakd/internal/probes"
)

// wal reads what the server writes ahead and how often it checkpoints.
type wal struct {
	bytes       []column
	checkpoints *probes.Desc
}

func newWAL(d *probes.Descs) *wal {
	return &wal{
		bytes:       []column{{"wal_bytes", d.Counter("soakd_postgres_wal_bytes_total", "Bytes of write-ahead log that the server made; from Postgres 14."), nil}},
		checkpoints: d.Counter("soakd_postgres_checkpoints_total", "Checkpoints of the server, by whether they were due (timed) or demanded, as by too much log (requested).", "kind"),
	}
}

func (w *wal) collector() collector { return collector{"wal", w.read} }

func (w *wal) read(ctx context.Context, s *session, reading *probes.Reading) error {
	var errs []error
	if s.version >= 140000 {
		errs = append(errs, readColumns(ctx, s, reading, w.bytes, "pg_stat_wal"))
	}
	// Their columns moved from pg_stat_bgwriter to a view of their own in 17.
	view, timed, requested := "pg_stat_checkpointer", "num_timed", "num_requested"
	if s.version < 170000 {
		view, timed, requested = "pg_stat_bgwriter", "checkpoints_timed", "checkpoints_req"
	}
	columns := []column{{timed, w.checkpoints, []string{"timed"}}, {requested, w.checkpoints, []string{"requested"}}}
	errs = append(errs, readColumns(ctx, s, reading, columns, view))
	return errors.Join(errs...)
}
