package postgres

import (
	"context"
	"strings"

	"soakd/internal/probes"
)

// tables reads pg_stat_user_tables for the operator's list. It asks for no
// sizes: those would wait behind an ALTER TABLE.
type tables struct {
	list []tableName

	stats table
	// optional tells that a table that is not there is none to watch.
	optional bool
}

// lookedAt: a new table has 0 pages, and from Postgres 14 on -1 rows.
const lookedAt = "pg_class.reltuples >= 0 AND coalesce(last_vacuum, last_autovacuum, last_analyze, last_autoanalyze) IS NOT NULL"

func newTables(d *probes.Descs, list []tableName) *tables {
	const watched = " of a table of SOAKD_POSTGRES_TABLES"
	of := func(name string, desc *probes.Desc, labels ...string) column {
		return column{view: "pg_stat_user_tables", name: name, desc: desc, labels: labels}
	}
	gauge := func(name, help string) *probes.Desc {
		return d.Gauge("soakd_postgres_table_"+name, help, "table")
	}
	counter := func(name, help string, labels ...string) *probes.Desc {
		return d.Counter("soakd_postgres_table_"+name, help, append([]string{"table"}, labels...)...)
	}
	age := func(name, help string, columns ...string) column {
		return column{
			view: "pg_stat_user_tables", expression: "extract(epoch FROM clock_timestamp() - greatest(" + strings.Join(columns, ", ") + "))", needs: columns,
			desc: gauge(name, help),
		}
	}
	changed := counter("rows_changed_total", "Rows"+watched+" that were changed, by how: inserted, updated (hot ones among them), hot_updated (without touching an index), deleted.", "operation")
	vacuums := counter("vacuums_total", "Vacuums"+watched+", by who began them: manual or auto.", "kind")
	return &tables{
		list: list,
		stats: table{
			labels: []string{"schemaname::text", "pg_stat_user_tables.relname::text"},
			// The names stand twice: only what is in WHERE goes into the view, which else
			// groups every table and index of the database.
			from: `pg_stat_user_tables
JOIN unnest($1::text[], $2::text[]) AS wanted(wanted_schema, wanted_name) ON schemaname = wanted_schema AND pg_stat_user_tables.relname = wanted_name
JOIN pg_class ON pg_class.oid = pg_stat_user_tables.relid
WHERE schemaname = ANY($1::text[]::name[]) AND pg_stat_user_tables.relname = ANY($2::text[]::name[])`,
			columns: []column{
				of("n_live_tup", gauge("live_rows", "Estimated live rows"+watched+".")),
				of("n_dead_tup", gauge("dead_rows", "Estimated dead rows"+watched+".")),
				of("n_mod_since_analyze", gauge("rows_changed_since_analyze", "Estimated rows"+watched+" that were changed since its statistics were made.")),
				// Not pg_relation_size(), which waits behind ALTER TABLE. 0 pages are only
				// believed of a table that was looked at; partitioned ones have -1.
				{view: "pg_stat_user_tables", expression: "CASE WHEN pg_class.relpages > 0 OR pg_class.relpages = 0 AND " + lookedAt + " THEN pg_class.relpages END", needs: []string{"relid"}, desc: gauge("pages", "Pages"+watched+" as its last vacuum or analyze found them: growth beyond that of its live rows is bloat.")},
				of("seq_scan", counter("sequential_scans_total", "Sequential scans"+watched+".")),
				of("seq_tup_read", counter("sequential_rows_total", "Live rows that sequential scans"+watched+" read.")),
				of("idx_scan", counter("index_scans_total", "Index scans"+watched+"; absent for one without an index.")),
				of("n_tup_ins", changed, "inserted"), of("n_tup_upd", changed, "updated"), of("n_tup_hot_upd", changed, "hot_updated"), of("n_tup_del", changed, "deleted"),
				of("vacuum_count", vacuums, "manual"), of("autovacuum_count", vacuums, "auto"),
				age("last_vacuum_seconds", "Time since the last vacuum"+watched+", by whomever; absent when there was none.", "last_vacuum", "last_autovacuum"),
				age("last_analyze_seconds", "Time since the statistics"+watched+" were made, by whomever; absent when they never were.", "last_analyze", "last_autoanalyze"),
			},
		},
	}
}

func (*tables) name() string { return "tables" }

func (t *tables) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if len(t.list) == 0 {
		return nil
	}
	missing := map[tableName]bool{}
	var schemas, names []string
	for _, table := range t.list {
		missing[table] = true
		schemas, names = append(schemas, table.schema), append(names, table.name)
	}
	var found probes.Reading
	err := t.stats.read(ctx, s, &found, func(labels []string) bool {
		delete(missing, tableName{labels[0], labels[1]})
		return true
	}, schemas, names)
	if err != nil {
		return err
	}
	for _, sample := range found.Samples { // one label instead of schema and name
		name := tableName{sample.Labels[0], sample.Labels[1]}.String()
		reading.Add(sample.Desc, sample.Value, append([]string{name}, sample.Labels[2:]...)...)
	}
	if t.optional {
		return nil
	}
	return notThere("not in this database", t.list, missing, tableName.String)
}
