package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/probes"
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
	*link
	timeout    time.Duration
	descs      probes.Descs
	own        ownMetrics
	server     serverMetrics
	offers     capabilities
	statements *statements
	parts      []part
}

// newProbe makes the probe of one server of a validated configuration.
func newProbe(c *Config, s *server) (*probe, error) {
	way, err := openLink(s, c.limits())
	if err != nil {
		return nil, err
	}
	p := &probe{link: way, timeout: c.StatementTimeout}
	p.own = describeOwn(&p.descs)
	p.server = describeServer(&p.descs)
	named, resets := newApplications(c.Applications), newResets(&p.descs)
	p.statements = newStatements(&p.descs, c.Statements.list, resets)
	watched := newTables(&p.descs, c.tables)
	// Not every server has what the lists name: what the main one lacks is a
	// mistake, what another lacks may be elsewhere.
	watched.optional, p.statements.optional = s.probe != Name, s.probe != Name
	p.parts = []part{
		newActivity(&p.descs, named), newLocks(&p.descs, named), newDatabases(&p.descs, c.Databases), newReplication(&p.descs),
		newCluster(&p.descs, resets), newIO(&p.descs), newSizes(&p.descs, c.Databases), watched, p.statements,
	}
	return p, nil
}

func (p *probe) Name() string             { return p.target.probe }
func (p *probe) Describe() []*probes.Desc { return p.descs }

// Poll reads every group on one connection.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	err := p.poll(ctx, &reading)
	return reading, p.brief(err)
}

func (p *probe) poll(ctx context.Context, reading *probes.Reading) error {
	// Before this poll takes its connection: one that is in use now was leaked.
	stat := p.pool.Stat()
	start := time.Now()
	conn, pooled, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	waited := time.Since(start)

	s := &session{conn: conn.Conn(), limit: p.timeout + querySlack, cost: &reading.Cost, pooled: pooled, begin: p.limits.begin()}
	if err := s.within(ctx, func() error { return p.server.read(ctx, s, reading) }); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	err = s.within(ctx, func() (err error) {
		s.catalogue, err = p.offers.of(ctx, s, s.start, time.Now())
		return err
	})
	if s.catalogue == nil {
		return err
	}
	p.own.add(reading, stat, waited, pooled)
	roundTrip := s.within(ctx, func() error { return p.own.readRoundTrip(ctx, s, reading) })
	return errors.Join(explained(err), explained(roundTrip), p.collect(ctx, s, reading))
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
		if err := s.within(ctx, func() error { return c.read(ctx, s, reading) }); err != nil {
			errs = append(errs, explained(fmt.Errorf("%s: %w", c.name(), err)))
			if contradicts(err) {
				p.offers.expire()
			}
		}
	}
	if len(skipped) > 0 {
		gone := fmt.Errorf("not read any more: %s", strings.Join(skipped, ", "))
		errs = append(errs, explained(errors.Join(gone, ctx.Err())))
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
	// pooled tells that a pooler stands between; begin then starts a transaction
	// with the session's limits.
	pooled bool
	begin  string
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
