package postgres

import (
	"soakd/internal/probes"
)

// resets tells of resets of the server's statistics, after which counters begin
// at 0 as after a restart.
type resets struct {
	at, seen *probes.Desc
	// last is the time of the last reset of each view, in seconds since 1970.
	last   map[string]float64
	counts map[string]float64
}

func newResets(d *probes.Descs) *resets {
	return &resets{
		at:   d.Gauge("soakd_postgres_statistics_reset_timestamp_seconds", "When the statistics of a view were reset, in seconds since 1970; absent when they never were.", "view"),
		seen: d.Counter("soakd_postgres_statistics_resets_total", "Resets of the statistics of a view that soakd has seen: its counters began at 0 then.", "view"),
		last: map[string]float64{}, counts: map[string]float64{},
	}
}

// columns read when each view was reset, 0 for never, but for that of an
// extension. Of pg_stat_database it is the row of the connected database.
func (r *resets) columns() []column {
	from := func(view, from string) column {
		return column{view: view, expression: "coalesce((" + from + "), 0)", needs: []string{"stats_reset"}, desc: r.at, labels: []string{view}}
	}
	return []column{
		from("pg_stat_wal", "extract(epoch FROM pg_stat_wal.stats_reset)"),
		from("pg_stat_bgwriter", "extract(epoch FROM pg_stat_bgwriter.stats_reset)"),
		from("pg_stat_checkpointer", "extract(epoch FROM pg_stat_checkpointer.stats_reset)"),
		from("pg_stat_archiver", "extract(epoch FROM pg_stat_archiver.stats_reset)"),
		from("pg_stat_database", "SELECT extract(epoch FROM stats_reset) FROM pg_stat_database WHERE datname = current_database()"),
		from("pg_stat_io", "SELECT extract(epoch FROM max(stats_reset)) FROM pg_stat_io"),
	}
}

// add adds what was read, and counts the resets in it.
func (r *resets) add(reading *probes.Reading, found probes.Reading) {
	for _, sample := range found.Samples {
		if sample.Desc == r.at {
			r.count(reading, sample.Labels[0], sample.Value)
			continue
		}
		reading.Samples = append(reading.Samples, sample)
	}
}

// count adds when a view was reset, 0 for never, and how often that was seen.
func (r *resets) count(reading *probes.Reading, view string, at float64) {
	r.note(view, at)
	reading.Add(r.seen, r.counts[view], view)
	if at > 0 {
		reading.Add(r.at, at, view)
	}
}

// note takes in when a view was reset. What was reset before soakd's first look
// does not count.
func (r *resets) note(view string, at float64) {
	if last, known := r.last[view]; known && at > last {
		r.counts[view]++
	}
	r.last[view] = at
}
