package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"soakd/internal/probes"
)

const (
	// sweepInterval is how often rows are looked for that instances left which
	// were killed.
	sweepInterval = 10 * time.Minute
	// canaryCloseTimeout bounds the removal of the own row at the end, within the
	// time that the poller gives a close.
	canaryCloseTimeout = time.Second
)

// The steps of a poll, in their order: values of the label operation.
const (
	stepConnect = "connect"
	stepPrepare = "prepare"
	stepWrite   = "write"
	stepRead    = "read"
	stepDelete  = "delete"
)

// What a read that went well can find instead of what was written: values of
// the label cause.
const (
	causeMissing  = "missing"
	causeMismatch = "mismatch"
)

// canary writes, reads and deletes one row. Poll is not called concurrently.
type canary struct {
	*link
	sql canarySQL
	// instance tells the rows of this soakd from those of others.
	instance string

	// ready means that the table is there.
	ready bool
	// dirty means that a row of this instance may be left in the table.
	dirty     bool
	nextSweep time.Time

	descs   probes.Descs
	metrics canaryMetrics
}

// canarySQL are the canary's statements.
type canarySQL struct {
	exists, createSchema, createTable, write, read, remove, removeOwn, sweep string
}

// newCanarySQL returns the statements for a schema whose name needs no quotes.
//
// Each poll has a key of its own. With the same key again and again, a read
// would have to step over all its dead versions, and the canary would get slow
// by itself where a long transaction of somebody else keeps vacuum from them.
// Autovacuum comes after 500 dead rows; with one live row its usual
// threshold would be 50.
func newCanarySQL(schema string) canarySQL {
	table := schema + ".canary"
	return canarySQL{
		// A plain look: CREATE ... IF NOT EXISTS needs the right to create even
		// where there is nothing to create.
		exists:       "SELECT to_regnamespace('" + schema + "') IS NOT NULL, to_regclass('" + table + "') IS NOT NULL",
		createSchema: "CREATE SCHEMA IF NOT EXISTS " + schema,
		createTable: "CREATE TABLE IF NOT EXISTS " + table + ` (
  id bigint PRIMARY KEY,
  instance text NOT NULL,
  value text NOT NULL,
  written timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)`,
		write:     "INSERT INTO " + table + " (id, instance, value) VALUES ($1, $2, $3)",
		read:      "SELECT value FROM " + table + " WHERE id = $1",
		remove:    "DELETE FROM " + table + " WHERE id = $1",
		removeOwn: "DELETE FROM " + table + " WHERE instance = $1",
		sweep: "DELETE FROM " + table + " WHERE id IN (SELECT id FROM " + table +
			" WHERE written < now() - interval '1 hour' ORDER BY written LIMIT 1000)",
	}
}

// canaryMetrics are the descriptions and what is counted.
type canaryMetrics struct {
	times, failures, wrong, swept *probes.Desc

	timesOf    map[string]*probes.Times
	failuresOf map[string]int
	wrongOf    map[string]int
	sweptRows  int64
}

func newCanaryMetrics(d *probes.Descs) canaryMetrics {
	m := canaryMetrics{
		times:      d.Histogram("soakd_postgres_canary_seconds", "Time of the canary's INSERT, SELECT and DELETE of one row by its key, each a transaction of its own on an open connection; without those that failed.", "operation"),
		failures:   d.Counter("soakd_postgres_canary_failures_total", "Steps of the canary that failed: to connect, to find or make the table (prepare), to write, read and delete.", "operation"),
		wrong:      d.Counter("soakd_postgres_canary_wrong_reads_total", "Reads of the canary that did not fail and did not bring what was written just before: no row (missing) or another value (mismatch).", "cause"),
		swept:      d.Counter("soakd_postgres_canary_swept_rows_total", "Rows that the canary removed because an instance of soakd left them more than an hour ago."),
		timesOf:    map[string]*probes.Times{},
		failuresOf: map[string]int{},
		wrongOf:    map[string]int{},
	}
	for _, operation := range []string{stepWrite, stepRead, stepDelete} {
		m.timesOf[operation] = probes.NewTimes()
	}
	return m
}

// add gives what was counted so far; what did not happen yet is 0, so that its
// first time is a rise. It is soakd's own count, known also when the server is away.
func (m *canaryMetrics) add(reading *probes.Reading) {
	for _, operation := range []string{stepWrite, stepRead, stepDelete} {
		reading.AddTimes(m.times, m.timesOf[operation], operation)
	}
	for _, operation := range []string{stepConnect, stepPrepare, stepWrite, stepRead, stepDelete} {
		reading.Add(m.failures, float64(m.failuresOf[operation]), operation)
	}
	for _, cause := range []string{causeMissing, causeMismatch} {
		reading.Add(m.wrong, float64(m.wrongOf[cause]), cause)
	}
	reading.Add(m.swept, float64(m.sweptRows))
}

// newCanary makes the probe of a validated configuration.
func newCanary(c *CanaryConfig) (*canary, error) {
	way, err := openLink(c.server, canaryLimits())
	if err != nil {
		return nil, err
	}
	p := &canary{link: way, sql: newCanarySQL(c.Schema), instance: randomHex()}
	p.metrics = newCanaryMetrics(&p.descs)
	return p, nil
}

func (p *canary) Name() string             { return CanaryName }
func (p *canary) Describe() []*probes.Desc { return p.descs }

// Close removes what this instance may have left, if the server lets it in time:
// a poll that was cut by the end of soakd may have written.
func (p *canary) Close() {
	defer p.link.Close()
	if !p.dirty {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), canaryCloseTimeout)
	defer cancel()
	// There is nobody left to tell; another instance sweeps the row in an hour.
	_, _ = p.pool.Exec(ctx, p.sql.removeOwn, p.instance)
}

// Poll writes, reads and deletes.
func (p *canary) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	err := p.poll(ctx, &reading.Cost)
	p.metrics.add(&reading)
	return reading, p.brief(err)
}

func (p *canary) poll(ctx context.Context, cost *probes.Cost) error {
	conn, _, err := p.acquire(ctx)
	if err != nil {
		p.metrics.failuresOf[stepConnect]++
		return canaryError(stepConnect, err)
	}
	defer conn.Release()
	s := &canarySession{conn: conn.Conn(), cost: cost}
	if err := p.prepare(ctx, s); err != nil {
		p.metrics.failuresOf[stepPrepare]++
		return canaryError(stepPrepare, err)
	}
	return p.cycle(ctx, s)
}

// prepare sees to the table and to the rows that were left in it.
func (p *canary) prepare(ctx context.Context, s *canarySession) error {
	if !p.ready {
		if err := p.makeTable(ctx, s); err != nil {
			return err
		}
		p.ready = true
	}
	if p.dirty {
		if err := s.exec(ctx, nil, p.sql.removeOwn, p.instance); err != nil {
			return err
		}
		p.dirty = false
	}
	if now := time.Now(); !now.Before(p.nextSweep) {
		if err := s.exec(ctx, &p.metrics.sweptRows, p.sql.sweep); err != nil {
			return err
		}
		p.nextSweep = now.Add(sweepInterval)
	}
	return nil
}

// makeTable makes what is not there.
func (p *canary) makeTable(ctx context.Context, s *canarySession) error {
	var hasSchema, hasTable bool
	if _, err := s.row(ctx, p.sql.exists, nil, &hasSchema, &hasTable); err != nil {
		return err
	}
	var statements []string
	if !hasSchema {
		statements = append(statements, p.sql.createSchema)
	}
	if !hasTable {
		statements = append(statements, p.sql.createTable)
	}
	for _, statement := range statements {
		err := s.exec(ctx, nil, statement)
		if madeMeanwhile(err) {
			err = s.exec(ctx, nil, statement) // which now finds it
		}
		if err != nil {
			return fmt.Errorf("its table is not there and cannot be made; run deploy/postgres-canary.sql as the database's owner: %w", err)
		}
	}
	return nil
}

// madeMeanwhile reports whether another instance made the same at the same moment,
// which IF NOT EXISTS does not keep from failing: unique_violation in a catalogue,
// duplicate_schema, duplicate_table.
func madeMeanwhile(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && slices.Contains([]string{"23505", "42P06", "42P07"}, refused.Code)
}

// cycle writes a row of random content, reads it and deletes it.
func (p *canary) cycle(ctx context.Context, s *canarySession) error {
	id, value := randomKey(), randomHex()
	p.dirty = true
	err := p.step(stepWrite, func() error { return s.exec(ctx, nil, p.sql.write, id, p.instance, value) })
	if err != nil {
		p.ready = false // it may have been dropped
		return err
	}
	found, ok := "", false
	err = p.step(stepRead, func() (err error) {
		ok, err = s.row(ctx, p.sql.read, []any{id}, &found)
		return err
	})
	if err != nil {
		return err
	}
	wrong := p.compare(found, ok, value)
	err = p.step(stepDelete, func() error { return s.exec(ctx, nil, p.sql.remove, id) })
	p.dirty = err != nil
	return errors.Join(wrong, err)
}

// step times one operation, or counts that it failed.
func (p *canary) step(name string, do func() error) error {
	start := time.Now()
	if err := do(); err != nil {
		p.metrics.failuresOf[name]++
		return canaryError(name, err)
	}
	p.metrics.timesOf[name].Observe(time.Since(start))
	return nil
}

// compare says what is wrong with what was read.
func (p *canary) compare(found string, ok bool, written string) error {
	switch {
	case !ok:
		p.metrics.wrongOf[causeMissing]++
		return probes.Because(probes.ReasonCheck, errors.New("read: the row that was just written is not there"))
	case found != written:
		p.metrics.wrongOf[causeMismatch]++
		return probes.Because(probes.ReasonCheck, errors.New("read: the row does not hold what was just written"))
	}
	return nil
}

// canaryError names the step, and says what to do where that is known.
func canaryError(step string, err error) error {
	err = explained(fmt.Errorf("%s: %w", step, err))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "25006" { // read_only_sql_transaction
		return fmt.Errorf("%w: it is a replica, or the role is read-only; give the primary and a role that may write", err)
	}
	return err
}

// canarySession is the connection of one poll.
type canarySession struct {
	conn *pgx.Conn
	cost *probes.Cost
}

// exec runs one statement and adds to changed, unless it is nil, how many rows
// it changed.
func (s *canarySession) exec(ctx context.Context, changed *int64, statement string, args ...any) error {
	defer s.cost.Add(time.Now())
	tag, err := s.conn.Exec(ctx, statement, args...)
	if changed != nil {
		*changed += tag.RowsAffected()
	}
	return err
}

// row runs a query that gives at most one row, scans it and reports whether
// there is one.
func (s *canarySession) row(ctx context.Context, query string, args []any, targets ...any) (bool, error) {
	defer s.cost.Add(time.Now())
	err := s.conn.QueryRow(ctx, query, args...).Scan(targets...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// randomKey returns a key: 63 random bits.
func randomKey() int64 {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	return int64(binary.BigEndian.Uint64(raw[:]) >> 1)
}

// randomHex returns 128 random bits.
func randomHex() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}
