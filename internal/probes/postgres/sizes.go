package postgres

import (
	"context"
	"time"

	"soakd/internal/probes"
)

// sizesInterval is how often the sizes of databases are read. The server looks
// at every file of a database for its size, which is thousands of system calls
// for one with many tables.
const sizesInterval = time.Minute

// sizes reads how large the watched databases are. Unlike the sizes of tables,
// which wait behind an ALTER TABLE, that takes no lock.
type sizes struct {
	databases []string
	desc      *probes.Desc
	now       func() time.Time

	readAt time.Time
	// latest are the sizes of readAt, none after a failure.
	latest probes.Reading
}

func newSizes(d *probes.Descs, databases []string) *sizes {
	return &sizes{
		databases: databases, now: time.Now,
		desc: d.Gauge("soakd_postgres_database_bytes", "Size of the database on disk, read once a minute.", "database"),
	}
}

func (*sizes) name() string { return "sizes" }

// Of a database that the role may not see the size of there is none.
const sizesQuery = `
SELECT datname::text, pg_database_size(oid)::float8 FROM pg_database` + databaseRows + `
  AND (pg_has_role('pg_read_all_stats', 'MEMBER') OR has_database_privilege(oid, 'CONNECT'))`

func (z *sizes) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if now := z.now(); z.readAt.IsZero() || now.Sub(z.readAt) >= sizesInterval {
		z.latest = probes.Reading{}
		var name string
		var size float64
		err := s.rows(ctx, sizesQuery, []any{z.databases}, []any{&name, &size}, func() error {
			z.latest.Add(z.desc, size, name)
			return nil
		})
		if err != nil {
			z.latest, z.readAt = probes.Reading{}, time.Time{}
			return err
		}
		z.readAt = now
	}
	reading.Samples = append(reading.Samples, z.latest.Samples...)
	return nil
}
