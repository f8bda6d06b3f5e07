package postgres

import (
	"context"
	"fmt"
	"strings"

	"soakd/internal/probes"
)

// tables reads pg_stat_user_tables for the operator's list. It asks for no
// sizes: those would wait behind an ALTER TABLE.
type tables struct {
	list []tableName

	live, dead, seqScans, seqRows, indexScans *probes.Desc
}

func newTables(d *probes.Descs, list []tableName) *tables {
	return &tables{
		list:       list,
		live:       d.Gauge("soakd_postgres_table_live_rows", "Estimated live rows of a table of SOAKD_POSTGRES_TABLES.", "table"),
		dead:       d.Gauge("soakd_postgres_table_dead_rows", "Estimated dead rows of a table of SOAKD_POSTGRES_TABLES.", "table"),
		seqScans:   d.Counter("soakd_postgres_table_sequential_scans_total", "Sequential scans of a table of SOAKD_POSTGRES_TABLES.", "table"),
		seqRows:    d.Counter("soakd_postgres_table_sequential_rows_total", "Live rows that sequential scans of a table of SOAKD_POSTGRES_TABLES read.", "table"),
		indexScans: d.Counter("soakd_postgres_table_index_scans_total", "Index scans of a table of SOAKD_POSTGRES_TABLES; absent for one without an index.", "table"),
	}
}

func (t *tables) collector() collector { return collector{"tables", t.read} }

const tablesQuery = `
SELECT schemaname, relname, n_live_tup::float8, n_dead_tup::float8, seq_scan::float8, seq_tup_read::float8, idx_scan::float8
FROM pg_stat_user_tables
JOIN unnest($1::text[], $2::text[]) AS wanted(wanted_schema, wanted_name)
  ON schemaname = wanted_schema AND relname = wanted_name`

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
	var table tableName
	var live, dead, seqScans, seqRows, indexScans *float64
	targets := []any{&table.schema, &table.name, &live, &dead, &seqScans, &seqRows, &indexScans}
	err := s.rows(ctx, tablesQuery, []any{schemas, names}, targets, func() error {
		delete(missing, table)
		addIf(reading, t.live, live, table.String())
		addIf(reading, t.dead, dead, table.String())
		addIf(reading, t.seqScans, seqScans, table.String())
		addIf(reading, t.seqRows, seqRows, table.String())
		addIf(reading, t.indexScans, indexScans, table.String())
		return nil
	})
	if err != nil {
		return err
	}
	return t.checkMissing(missing)
}

func (t *tables) checkMissing(missing map[tableName]bool) error {
	var names []string
	for _, table := range t.list {
		if missing[table] {
			names = append(names, table.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("not in this database: %s", strings.Join(names, ", "))
}
