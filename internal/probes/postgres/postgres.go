package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// Label values of what has no own one.
const (
	other = "other"
	none  = "none"
)

// querySlack is added to the server's own limit on a query: when that limit
// works, the connection survives; when the server hangs, the client cuts it.
const querySlack = 250 * time.Millisecond

// part reads one group of metrics. One that fails costs the others nothing but
// its time.
type part interface {
	name() string
	read(ctx context.Context, s *session, reading *probes.Reading) error
}

// probe watches one server. Poll is not called concurrently.
type probe struct {
	pool       *pgxpool.Pool
	hidden     []secret.String
	timeout    time.Duration
	descs      probes.Descs
	own        ownMetrics
	server     serverMetrics
	offers     capabilities
	statements *statements
	parts      []part
}

// newProbe makes the probe of a validated configuration.
func newProbe(c *Config) (*probe, error) {
	// The context bounds only what the pool does at once, which is nothing: it
	// keeps no connection ahead.
	pool, err := pgxpool.NewWithConfig(context.Background(), c.pool)
	hidden := []secret.String{secret.New(c.pool.ConnConfig.Password), c.url}
	if err != nil {
		return nil, probes.Brief(fmt.Errorf("open postgres probe: %w", err), hidden...)
	}
	p := &probe{pool: pool, hidden: hidden, timeout: c.StatementTimeout}
	p.own = describeOwn(&p.descs)
	p.server = describeServer(&p.descs)
	named, resets := newApplications(c.Applications), newResets(&p.descs)
	p.statements = newStatements(&p.descs, c.Statements.list, resets)
	p.parts = []part{
		newActivity(&p.descs, named), newLocks(&p.descs, named), newDatabases(&p.descs, c.Databases), newReplication(&p.descs),
		newCluster(&p.descs, resets), newIO(&p.descs), newTables(&p.descs, c.tables), p.statements,
	}
	return p, nil
}

func (p *probe) Name() string             { return Name }
func (p *probe) Describe() []*probes.Desc { return p.descs }
func (p *probe) Close()                   { p.pool.Close() }

// Poll reads every group on one connection.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	err := p.poll(ctx, &reading)
	return reading, probes.Brief(err, p.hidden...)
}

func (p *probe) poll(ctx context.Context, reading *probes.Reading) error {
	// Before this poll takes its connection: one that is in use now was leaked.
	stat := p.pool.Stat()
	start := time.Now()
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	waited := time.Since(start)

	s := &session{conn: conn.Conn(), limit: p.timeout + querySlack, cost: &reading.Cost}
	if err := p.server.read(ctx, s, reading); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	var outdated error
	if s.catalogue, outdated = p.offers.of(ctx, s, s.start, time.Now()); s.catalogue == nil {
		return outdated
	}
	p.own.add(reading, stat, waited)
	return errors.Join(outdated, p.own.readRoundTrip(ctx, s, reading), p.collect(ctx, s, reading))
}

// collect reads the parts until the connection or the time is gone.
func (p *probe) collect(ctx context.Context, s *session, reading *probes.Reading) error {
	var errs []error
	var skipped []string
	for _, c := range p.parts {
		if ctx.Err() != nil || s.conn.IsClosed() {
			skipped = append(skipped, c.name())
			continue
		}
		if err := c.read(ctx, s, reading); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name(), err))
			if contradicts(err) {
				p.offers.expire()
			}
		}
	}
	if len(skipped) > 0 {
		errs = append(errs, fmt.Errorf("not read any more: %s", strings.Join(skipped, ", ")))
	}
	return errors.Join(errs...)
}

// session is the connection of one poll and what is known of its server.
type session struct {
	conn *pgx.Conn
	// limit bounds one query, on top of the server's statement_timeout.
	limit time.Duration
	// cost takes in every query.
	cost *probes.Cost
	// catalogue says what the server offers, start when it started, in seconds
	// since 1970.
	catalogue  *catalogue
	start      float64
	inRecovery bool
	// usable is how many connections ordinary roles may have.
	usable int
}

// row runs a query that gives one row and scans it.
func (s *session) row(ctx context.Context, query string, targets ...any) error {
	defer s.cost.Add(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return s.conn.QueryRow(ctx, query).Scan(targets...)
}

// rows runs a query and calls each after scanning a row into targets.
func (s *session) rows(ctx context.Context, query string, args []any, targets []any, each func() error) error {
	defer s.cost.Add(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	rows, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, targets, each)
	return err
}

// addIf adds value unless it is NULL. None of the values can be below 0, but
// clocks that are set can make an age so.
func addIf(reading *probes.Reading, desc *probes.Desc, value *float64, labels ...string) {
	if value != nil {
		reading.Add(desc, max(0, *value), labels...)
	}
}
