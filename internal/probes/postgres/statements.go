package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	now  func() time.Time

	calls, seconds, rows *probes.Desc

	view       statementsView
	resolvedAt time.Time
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

// usage is what an entry counts.
type usage struct{ calls, seconds, rows float64 }

func newStatements(d *probes.Descs, list []statement) *statements {
	return &statements{
		list: list, now: time.Now, maxTexts: maxTexts, late: map[int64]bool{}, totals: make([]usage, len(list)),
		calls:   d.Counter("soakd_postgres_statement_calls_total", "Executions of the statements of a name of SOAKD_POSTGRES_STATEMENTS since soakd started.", "statement"),
		seconds: d.Counter("soakd_postgres_statement_seconds_total", "Execution time of the statements of a name of SOAKD_POSTGRES_STATEMENTS since soakd started.", "statement"),
		rows:    d.Counter("soakd_postgres_statement_rows_total", "Rows returned or changed by the statements of a name of SOAKD_POSTGRES_STATEMENTS since soakd started.", "statement"),
	}
}

func (st *statements) collector() collector { return collector{"statements", st.read} }

func (st *statements) read(ctx context.Context, s *session, reading *probes.Reading) error {
	if len(st.list) == 0 {
		return nil
	}
	if err := st.resolve(ctx, s, reading); err != nil {
		return err
	}
	current, err := st.readUsage(ctx, s)
	if err != nil {
		return err
	}
	st.advance(current)
	for i, total := range st.totals {
		name := st.list[i].name
		reading.Add(st.calls, total.calls, name)
		reading.Add(st.seconds, total.seconds, name)
		reading.Add(st.rows, total.rows, name)
	}
	return nil
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
		if now.calls < before.calls {
			before = usage{}
		}
		for _, i := range st.matched[id.query] {
			st.totals[i].calls += now.calls - before.calls
			st.totals[i].seconds += max(0, now.seconds-before.seconds)
			st.totals[i].rows += max(0, now.rows-before.rows)
		}
	}
	clear(st.late)
	st.last = current
}

// statementsView says how to read the extension as it is installed.
type statementsView struct {
	schema string
	// time is the column of the execution time in milliseconds.
	time string
}

var errNoStatements = errors.New("the extension pg_stat_statements is not in this database; CREATE EXTENSION pg_stat_statements")

// findView looks the extension up. Its columns follow its own version, which
// may be older than the server's until somebody runs ALTER EXTENSION.
func findView(ctx context.Context, s *session) (statementsView, error) {
	var schema, version string
	err := s.row(ctx, `SELECT nspname, extversion FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_stat_statements'`, &schema, &version)
	if errors.Is(err, pgx.ErrNoRows) {
		return statementsView{}, errNoStatements
	}
	if err != nil {
		return statementsView{}, err
	}
	return statementsView{schema: pgx.Identifier{schema}.Sanitize(), time: timeColumn(version)}, nil
}

// timeColumn is the column of the execution time: planning time got its own
// columns in version 1.8.
func timeColumn(version string) string {
	major, minor, _ := strings.Cut(version, ".")
	majorNumber, _ := strconv.Atoi(major)
	minorNumber, _ := strconv.Atoi(minor)
	if majorNumber < 1 || majorNumber == 1 && minorNumber < 8 {
		return "total_time"
	}
	return "total_exec_time"
}

const inThisDatabase = "dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"

// resolve looks, once a minute, which statements belong to which names.
func (st *statements) resolve(ctx context.Context, s *session, reading *probes.Reading) error {
	if !st.resolvedAt.IsZero() && st.now().Before(st.resolvedAt.Add(resolveInterval)) {
		return nil
	}
	view, err := findView(ctx, s)
	if err != nil {
		return err
	}
	matched := map[int64][]int{}
	seen, overflow, hidden := 0, 0, false
	var id *int64
	var text string
	// One more than is looked at, to know of it. The query id makes the order one.
	query := fmt.Sprintf("SELECT queryid, coalesce(left(query, %d), '') FROM %s.pg_stat_statements WHERE %s ORDER BY calls DESC, queryid LIMIT %d",
		maxText, view.schema, inThisDatabase, st.maxTexts+1)
	err = s.rows(ctx, query, nil, []any{&id, &text}, func() error {
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
		return errors.New("the role does not see other roles' statements; GRANT pg_monitor to it")
	}
	st.view, st.resolvedAt = view, st.now()
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

// readUsage reads the numbers of the matched statements.
func (st *statements) readUsage(ctx context.Context, s *session) (map[entryID]usage, error) {
	ids := make([]int64, 0, len(st.matched))
	for id := range st.matched {
		ids = append(ids, id)
	}
	// false: without the texts, whose file is then not read.
	query := fmt.Sprintf(`SELECT userid::int8, queryid, sum(calls)::float8, (sum(%s) / 1000)::float8, sum(rows)::float8
FROM %s.pg_stat_statements(false) WHERE %s AND queryid = ANY($1::int8[]) GROUP BY 1, 2`, st.view.time, st.view.schema, inThisDatabase)
	found := map[entryID]usage{}
	var role, id int64
	var u usage
	err := s.rows(ctx, query, []any{ids}, []any{&role, &id, &u.calls, &u.seconds, &u.rows}, func() error {
		found[entryID{role, id}] = u
		return nil
	})
	return found, err
}
