package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
)

// ownMetrics tell of soakd's own way to the server, not of the target's.
type ownMetrics struct {
	connections, maximum, acquire, roundTrip, pooled *probes.Desc
}

func describeOwn(d *probes.Descs) ownMetrics {
	return ownMetrics{
		connections: d.Gauge("soakd_postgres_pool_connections", "Connections of soakd's own pool to Postgres, before a poll takes one. The target's pool is soakd_api_pool_connections.", "state"),
		maximum:     d.Gauge("soakd_postgres_pool_max_connections", "Largest size of soakd's own pool to Postgres."),
		acquire:     d.Gauge("soakd_postgres_acquire_seconds", "Time to get a connection of soakd's own pool, with the connect when none was open."),
		roundTrip:   d.Gauge("soakd_postgres_round_trip_seconds", "Time of a SELECT 1 on an open connection."),
		pooled:      d.Gauge("soakd_postgres_behind_pooler", "Whether soakd reaches the server through a pooler such as PgBouncer (1) or itself (0). Behind one the sessions, their applications and their waits are those of the pooler."),
	}
}

func (m ownMetrics) add(reading *probes.Reading, stat *pgxpool.Stat, waited time.Duration, pooled bool) {
	reading.Add(m.connections, float64(stat.IdleConns()), "idle")
	reading.Add(m.connections, float64(stat.AcquiredConns()), "in_use")
	reading.Add(m.connections, float64(stat.ConstructingConns()), "constructing")
	reading.Add(m.maximum, float64(stat.MaxConns()))
	reading.Add(m.acquire, waited.Seconds())
	reading.Add(m.pooled, number(pooled))
}

// readRoundTrip comes after another query, so that a new connection's first
// steps are not counted in.
func (m ownMetrics) readRoundTrip(ctx context.Context, s *session, reading *probes.Reading) error {
	var one int
	start := time.Now()
	if err := s.row(ctx, "SELECT 1", &one); err != nil {
		return fmt.Errorf("round trip: %w", err)
	}
	reading.Add(m.roundTrip, time.Since(start).Seconds())
	return nil
}

// serverMetrics are what every other group needs to know of the server.
type serverMetrics struct {
	info, start, recovery, usable *probes.Desc
}

func describeServer(d *probes.Descs) serverMetrics {
	return serverMetrics{
		info:     d.Gauge("soakd_postgres_server_info", "1, with the server's version.", "version"),
		start:    d.Gauge("soakd_postgres_start_time_seconds", "When the server started, in seconds since 1970."),
		recovery: d.Gauge("soakd_postgres_in_recovery", "Whether the server is a replica or still recovers (1) or takes writes (0)."),
		usable:   d.Gauge("soakd_postgres_max_connections", "Connections for ordinary roles: max_connections less the reserved ones."),
	}
}

// reserved_connections is new in 16.
const serverQuery = `
SELECT current_setting('server_version_num')::int,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
       pg_is_in_recovery(),
       extract(epoch FROM pg_postmaster_start_time())::float8`

func (m serverMetrics) read(ctx context.Context, s *session, reading *probes.Reading) error {
	var version int
	if err := s.row(ctx, serverQuery, &version, &s.usable, &s.inRecovery, &s.start); err != nil {
		return err
	}
	reading.Add(m.info, 1, versionText(version))
	reading.Add(m.start, s.start)
	reading.Add(m.usable, float64(s.usable))
	reading.Add(m.recovery, number(s.inRecovery))
	return nil
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// versionText turns 150004 into 15.4.
func versionText(number int) string { return fmt.Sprintf("%d.%d", number/10000, number%10000) }
