package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"soakd/internal/probes"
)

const (
	// resolveInterval is how often the texts of statements are read to see which
	// belong to which pattern. In between only numbers are: the texts are in a
	// file of the server, of megabytes on a busy one.
	resolveInterval = time.Minute
	// maxTexts bounds how many statements are looked at, those executed most
	// often, maxMatches how many may match, maxText how much of a statement is
	// looked at, in characters.
	maxTexts   = 10000
	maxMatches = 1000
	maxText    = 8192
)

// Statements is the operator's list of statements. Use [Statements.Decode].
type Statements struct {
	text string
	list []statement
}

// statement is a name and what its statements look like.
type statement struct {
	name string
	// contains is looked for in the text, unless matches is set.
	contains string
	matches  *regexp.Regexp
}

var statementName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Decode parses name=text and name=~regexp entries that are separated by
// semicolons. Regular expressions have Go's syntax.
func (s *Statements) Decode(text string) error {
	s.text, s.list = text, nil
	seen := map[string]bool{}
	for entry := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		parsed, err := parseStatement(entry)
		if err != nil {
			return fmt.Errorf("%.80q: %w", strings.TrimSpace(entry), err)
		}
		if seen[parsed.name] {
			return fmt.Errorf("the name %q is there twice", parsed.name)
		}
		seen[parsed.name] = true
		s.list = append(s.list, parsed)
	}
	return nil
}

// String returns the text that was decoded.
func (s Statements) String() string { return s.text }

func parseStatement(entry string) (statement, error) {
	name, pattern, ok := strings.Cut(entry, "=")
	name, pattern = strings.TrimSpace(name), strings.TrimSpace(pattern)
	switch {
	case !ok || pattern == "" || pattern == "~":
		return statement{}, errors.New("want name=text or name=~regexp")
	case !statementName.MatchString(name):
		return statement{}, fmt.Errorf("the name %.60q is not of a-z, 0-9 and _, up to 40 characters", name)
	}
	expression, isRegexp := strings.CutPrefix(pattern, "~")
	if !isRegexp {
		return statement{name: name, contains: pattern}, nil
	}
	matches, err := regexp.Compile(expression)
	if err != nil {
		return statement{}, err
	}
	return statement{name: name, matches: matches}, nil
}

func (s statement) match(text string) bool {
	if s.matches != nil {
		return s.matches.MatchString(text)
	}
	return strings.Contains(text, s.contains)
}

// statements reads pg_stat_statements. Its entries come and go: the server
// drops those that are used least, and with them their counts. The counters
// here are therefore soakd's own: they grow by what each entry grew, from 0 at
// soakd's start.
type statements struct {
	list []statement
	// optional tells that a server without the extension has none to watch.
	optional bool
	now      func() time.Time

	// counters are the metrics in the order of usage.
	counters [statementCounters]*probes.Desc
	dropped  *probes.Desc
	resets   *resets

	// resetAt is when the statistics were reset last, as far as the server tells,
	// start when the server started.
	resetAt    *float64
	start      float64
	resolvedAt time.Time
	// slow is why the texts could not be read in time at resolvedAt; nil when they
	// were.
	slow error
	// maxTexts is the constant of that name, but for tests.
	maxTexts int
	// matched gives the indexes in list that a query id belongs to.
	matched map[int64][]int
	// incomplete tells that matched lacks what was over a limit.
	incomplete bool
	// late are the query ids that may have been there before they got into matched.
	late   map[int64]bool
	last   map[entryID]usage
	totals []usage
}

// entryID identifies an entry of the connected database.
type entryID struct {
	role, query int64
}

// usage is what an entry counts, in the order of statementCounters.
type usage [statementCounters]float64

// The counters of an entry. The first three are in every version of the
// extension.
const (
	calls = iota
	seconds
	rows
	blocksHit
	blocksRead
	blocksDirtied
	tempRead
	tempWritten
	readSeconds
	walBytes
	statementCounters
)

func newStatements(d *probes.Descs, list []statement, resets *resets) *statements {
	counter := func(name, help string) *probes.Desc {
		return d.Counter("soakd_postgres_statement_"+name+"_total", help+" of the statements of a name of SOAKD_POSTGRES_STATEMENTS since soakd started.", "statement")
	}
	return &statements{
		list: list, resets: resets, now: time.Now, maxTexts: maxTexts, late: map[int64]bool{}, totals: make([]usage, len(list)),
		counters: [statementCounters]*probes.Desc{
			calls:         counter("calls", "Executions"),
			seconds:       counter("seconds", "Execution time"),
			rows:          counter("rows", "Rows returned or changed by executions"),
			blocksHit:     counter("blocks_hit", "Blocks found in the server's cache by executions"),
			blocksRead:    counter("blocks_read", "Blocks read from outside the server's cache by executions"),
			blocksDirtied: counter("blocks_dirtied", "Blocks made dirty by executions"),
			tempRead:      counter("temp_blocks_read", "Temporary blocks read by executions"),
			tempWritten:   counter("temp_blocks_written", "Temporary blocks written by executions"),
			readSeconds:   counter("block_read_seconds", "Time that reading blocks took (0 while the server's track_io_timing is off) of executions"),
			walBytes:      counter("wal_bytes", "Bytes of write-ahead log made by executions"),
		},
		dropped: d.Counter("soakd_postgres_statements_dropped_total", "How often the server has dropped the entries of the statements that are used least because there was no room (pg_stat_statements.max); from version 1.9 of the extension."),
	}
}

func (*statements) name() string { return "statements" }

func (st *statements) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if len(st.list) == 0 {
		return nil
	}
	switch {
	case s.catalogue.extension != "":
	case st.optional:
		return nil
	default:
		return errNoStatements
	}
	return notLoaded(st.readAll(ctx, s, reading))
}

// errNotLoaded is what a server fails with that has the extension without its
// library (SQLSTATE 55000).
var errNotLoaded = probes.Because(probes.ReasonMissing, errors.New("the library of pg_stat_statements is not loaded; put it into shared_preload_libraries and restart the server"))

func notLoaded(err error) error {
	if answer := (*pgconn.PgError)(nil); errors.As(err, &answer) && answer.Code == "55000" {
		return errNotLoaded
	}
	return err
}

func (st *statements) readAll(ctx context.Context, s *session, reading *probes.Reading) error {
	unresolved := st.resolve(ctx, s, reading)
	if unresolved != nil && (st.slow == nil || st.matched == nil) {
		return unresolved
	}
	if err := st.readInfo(ctx, s, reading); err != nil {
		return errors.Join(unresolved, err)
	}
	offered := st.offered(s.catalogue)
	current, err := st.readUsage(ctx, s, offered)
	if err != nil {
		return errors.Join(unresolved, err)
	}
	st.advance(current)
	for i, total := range st.totals {
		for _, counter := range offered {
			reading.Add(st.counters[counter.index], total[counter.index], st.list[i].name)
		}
	}
	return unresolved
}

// readInfo reads when the statistics were reset, and forgets what was counted
// before: entries that have since counted more than that would else seem to have
// grown by the difference only.
func (st *statements) readInfo(ctx context.Context, s *session, reading *probes.Reading) error {
	if !s.catalogue.has(statementsInfo, "dealloc", "stats_reset") {
		st.compareWith(s.start, nil)
		return nil
	}
	var dropped, reset *float64
	err := s.row(ctx, "SELECT dealloc::float8, extract(epoch FROM stats_reset)::float8 FROM "+s.catalogue.extension+"."+statementsInfo, &dropped, &reset)
	if err != nil {
		return err
	}
	addIf(reading, st.dropped, dropped)
	if reset != nil {
		st.resets.count(reading, statementsInfo, *reset)
	}
	st.compareWith(s.start, reset)
	return nil
}

// compareWith sees to it that entries are only compared with what they come
// from, for a server that started at start and whose statistics were reset at
// reset, both in seconds since 1970; nil is not known. After a reset entries
// have counted from 0 on. But a server that has also started since is perhaps
// another one, after a fail-over, with counts of its own: there is nothing to
// compare with. One that has only been restarted has kept its counts.
func (st *statements) compareWith(start float64, reset *float64) {
	same := st.resetAt != nil && reset != nil && *reset == *st.resetAt
	switch {
	case st.last == nil || same:
	case start != st.start:
		st.last = nil
	case st.resetAt != nil && reset != nil:
		st.last = map[entryID]usage{}
	}
	st.resetAt, st.start = reset, start
}

// advance adds to the totals what each entry grew since the last poll. An entry
// that is new or was dropped and made anew has grown by all it counts; on the
// first poll, and for one that was over a limit before, there is nothing to
// compare with.
func (st *statements) advance(current map[entryID]usage) {
	for id, now := range current {
		before, known := st.last[id]
		if st.last == nil || !known && st.late[id.query] {
			continue
		}
		if now[calls] < before[calls] {
			before = usage{}
		}
		for _, i := range st.matched[id.query] {
			for counter := range now {
				st.totals[i][counter] += max(0, now[counter]-before[counter])
			}
		}
	}
	clear(st.late)
	st.last = current
}

var errNoStatements = probes.Because(probes.ReasonMissing, errors.New("the extension pg_stat_statements is not in this database; CREATE EXTENSION pg_stat_statements"))

// statementColumn is where a counter stands.
type statementColumn struct {
	index      int
	expression string
}

// offered are the counters that the extension has. Its columns follow its own
// version, which may be older than the server's until somebody runs ALTER
// EXTENSION: planning got columns of its own in 1.8, reading of shared blocks
// in 1.11.
func (*statements) offered(by *catalogue) []statementColumn {
	var found []statementColumn
	for _, c := range []struct {
		index int
		names []string // of which the first that is there counts
		scale string
	}{
		{calls, []string{"calls"}, ""},
		{seconds, []string{"total_exec_time", "total_time"}, " / 1000"},
		{rows, []string{"rows"}, ""},
		{blocksHit, []string{"shared_blks_hit"}, ""},
		{blocksRead, []string{"shared_blks_read"}, ""},
		{blocksDirtied, []string{"shared_blks_dirtied"}, ""},
		{tempRead, []string{"temp_blks_read"}, ""},
		{tempWritten, []string{"temp_blks_written"}, ""},
		{readSeconds, []string{"shared_blk_read_time", "blk_read_time"}, " / 1000"},
		{walBytes, []string{"wal_bytes"}, ""},
	} {
		for _, name := range c.names {
			if by.has(statementsName, name) {
				found = append(found, statementColumn{c.index, "(sum(" + name + ")" + c.scale + ")::float8"})
				break
			}
		}
	}
	return found
}

const inThisDatabase = "dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"

// resolve looks, once a minute, which statements belong to which names. Texts
// that take too long are not read more often than others; what was known of them
// still counts.
func (st *statements) resolve(ctx context.Context, s *session, reading *probes.Reading) error {
	if !st.resolvedAt.IsZero() && st.now().Before(st.resolvedAt.Add(resolveInterval)) {
		return st.slow
	}
	st.resolvedAt, st.slow = time.Time{}, nil
	err := st.readTexts(ctx, s, reading)
	switch {
	case err == nil:
		st.resolvedAt = st.now()
	case probes.ReasonOf(explained(err)) == probes.ReasonTimeout:
		st.resolvedAt, st.slow = st.now(), fmt.Errorf("texts: %w", err)
		return st.slow
	}
	return err
}

func (st *statements) readTexts(ctx context.Context, s *session, reading *probes.Reading) error {
	matched := map[int64][]int{}
	seen, overflow, hidden := 0, 0, false
	var id *int64
	var text string
	// One more than is looked at, to know of it. The query id makes the order one.
	query := fmt.Sprintf("SELECT queryid, coalesce(left(query, %d), '') FROM %s.pg_stat_statements WHERE %s ORDER BY calls DESC, queryid LIMIT %d",
		maxText, s.catalogue.extension, inThisDatabase, st.maxTexts+1)
	err := s.rows(ctx, query, nil, []any{&id, &text}, func() error {
		seen++
		switch {
		case id == nil:
			hidden = true // the statement of another role, without pg_monitor
		case seen > st.maxTexts:
			overflow++
		default:
			overflow += st.assign(matched, *id, text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if hidden {
		return probes.Because(probes.ReasonPermission, errors.New("the role does not see other roles' statements; GRANT pg_monitor to it"))
	}
	st.adopt(matched, overflow > 0)
	reading.Overflow += overflow
	return nil
}

// adopt replaces the matched statements. One that is new among them after some
// were left out may be one of those, with counts from before soakd.
func (st *statements) adopt(matched map[int64][]int, incomplete bool) {
	if st.incomplete {
		for id := range matched {
			if _, known := st.matched[id]; !known {
				st.late[id] = true
			}
		}
	}
	st.matched, st.incomplete = matched, incomplete
}

// assign notes which names a statement belongs to. It returns 1 when there is
// no room for it any more.
func (st *statements) assign(matched map[int64][]int, id int64, text string) int {
	if _, known := matched[id]; known {
		return 0 // the same statement of another role
	}
	var names []int
	for i, wanted := range st.list {
		if wanted.match(text) {
			names = append(names, i)
		}
	}
	switch {
	case len(names) == 0:
		return 0
	case len(matched) >= maxMatches:
		return 1
	}
	matched[id] = names
	return 0
}

// usageQuery asks for columns of the statements of $1, without the texts (false),
// whose file is then not read.
func (*statements) usageQuery(by *catalogue, columns []statementColumn) string {
	selected := ""
	for _, c := range columns {
		selected += ", " + c.expression
	}
	return fmt.Sprintf(`SELECT userid::int8, queryid%s
FROM %s.pg_stat_statements(false) WHERE %s AND queryid = ANY($1::int8[]) GROUP BY 1, 2`, selected, by.extension, inThisDatabase)
}

// readUsage reads the numbers of the matched statements.
func (st *statements) readUsage(ctx context.Context, s *session, columns []statementColumn) (map[entryID]usage, error) {
	ids := make([]int64, 0, len(st.matched))
	for id := range st.matched {
		ids = append(ids, id)
	}
	var role, id int64
	var u usage
	targets := []any{&role, &id}
	for _, c := range columns {
		targets = append(targets, &u[c.index])
	}
	found := map[entryID]usage{}
	err := s.rows(ctx, st.usageQuery(s.catalogue, columns), []any{ids}, targets, func() error {
		found[entryID{role, id}] = u
		return nil
	})
	return found, err
}
