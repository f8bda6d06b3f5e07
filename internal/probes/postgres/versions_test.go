package postgres

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// Other servers than the one at hand, such as "postgres://...:5413/postgres
// postgres://...:5418/postgres". Each is polled and its catalogue recorded; it
// needs the extension pg_stat_statements.
var servers = flag.String("servers", "", "URLs of other servers to poll and to record, separated by spaces")

// recorded is the catalogue of a version as testdata has it: a line a view.
func recorded(t *testing.T, file string) *catalogue {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &catalogue{columns: map[string]map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		view, columns, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("%s: %q is not a view with its columns", file, line)
		}
		c.columns[view] = map[string]bool{}
		for column := range strings.FieldsSeq(columns) {
			c.columns[view][column] = true
		}
		if view == statementsName {
			c.extension = "public"
		}
	}
	return c
}

// record writes a catalogue for recorded.
func record(t *testing.T, file string, c *catalogue) {
	t.Helper()
	var lines []string
	for view, columns := range c.columns {
		names := make([]string, 0, len(columns))
		for name := range columns {
			names = append(names, name)
		}
		slices.Sort(names)
		lines = append(lines, view+": "+strings.Join(names, " ")+"\n")
	}
	slices.Sort(lines)
	must(t, os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644)) //nolint:gosec // testdata
}

// everyColumn lists what the collectors read by view and column.
func everyColumn(p *probe) []column {
	var all []column
	for _, c := range p.parts {
		switch part := c.(type) {
		case *databases:
			all = append(all, part.stats.columns...)
		case *replication:
			all = slices.Concat(all, part.replica, part.each.columns, part.slots.columns)
		case *cluster:
			all = append(all, part.columns...)
		case *inputOutput:
			all = append(all, part.stats.columns...)
		case *tables:
			all = append(all, part.stats.columns...)
		}
	}
	return all
}

// offers lists the series, by metric and fixed labels, that a server of that
// catalogue gives.
func offers(p *probe, c *catalogue) []string {
	var all []string
	add := func(desc *probes.Desc, labels ...string) {
		series := desc.Name
		if len(labels) > 0 {
			series += " " + strings.Join(labels, " ")
		}
		if !slices.Contains(all, series) {
			all = append(all, series)
		}
	}
	for _, column := range everyColumn(p) {
		if column.offered(c) {
			add(column.desc, column.labels...)
		}
	}
	for _, part := range p.parts {
		if r, ok := part.(*replication); ok && c.has("pg_stat_replication", "replay_lsn", "replay_lag") { // made of those of each
			add(r.maxLagBytes)
			add(r.maxLagSeconds)
		}
	}
	for _, column := range p.statements.offered(c) {
		add(p.statements.counters[column.index])
	}
	if c.has(statementsInfo) {
		add(p.statements.dropped)
	}
	if strings.Contains(locksQuery(c), "waitstart") {
		for _, part := range p.parts {
			if l, ok := part.(*locks); ok {
				add(l.oldest)
			}
		}
	}
	return all
}

var updateOffered = flag.Bool("update", false, "write testdata/offered.txt anew")

// Every version offers just what testdata/offered.txt says, which names the first
// and the last version that does.
func TestWhatEachVersionOffers(t *testing.T) {
	p := open(t, secret.New("postgres://127.0.0.1:1/x"), nil).(*probe)
	files, err := filepath.Glob("testdata/catalogue-*.txt")
	must(t, err)
	if len(files) != 6 {
		t.Fatalf("catalogues of %d versions, want 13 to 18", len(files))
	}
	versions := map[string][]int{}
	for _, file := range files {
		version, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "catalogue-"), ".txt"))
		must(t, err)
		for _, series := range offers(p, recorded(t, file)) {
			versions[series] = append(versions[series], version)
		}
	}
	var lines []string
	for series, found := range versions {
		slices.Sort(found)
		if len(found) != found[len(found)-1]-found[0]+1 {
			t.Errorf("%s comes and goes: %v", series, found)
		}
		lines = append(lines, fmt.Sprintf("%d-%d %s\n", found[0], found[len(found)-1], series))
	}
	slices.Sort(lines)
	text := strings.Join(lines, "")
	const file = "testdata/offered.txt"
	if *updateOffered {
		must(t, os.WriteFile(file, []byte(text), 0o644)) //nolint:gosec // testdata
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if text != string(want) {
		t.Errorf("the versions offer\n%s\nand %s says\n%s", text, file, want)
	}
	for _, column := range everyColumn(p) {
		if _, ok := versions[strings.TrimSpace(column.desc.Name+" "+strings.Join(column.labels, " "))]; !ok {
			t.Errorf("no version has %s %v", column.desc.Name, column.labels)
		}
	}
}

// The facts of PostgreSQL's release notes that others fell over.
func TestVersionsDiffer(t *testing.T) {
	p := open(t, secret.New("postgres://127.0.0.1:1/x"), nil).(*probe)
	of := map[int][]string{}
	for version := 13; version <= 18; version++ {
		of[version] = offers(p, recorded(t, fmt.Sprintf("testdata/catalogue-%d.txt", version)))
	}
	for series, want := range map[string][]int{
		"soakd_postgres_checkpoints_total timed":                       {13, 14, 15, 16, 17, 18}, // moved in 17
		"soakd_postgres_buffers_written_total backend":                 {13, 14, 15, 16},         // removed in 17
		"soakd_postgres_wal_bytes_total":                               {14, 15, 16, 17, 18},     // pg_stat_wal is new in 14
		"soakd_postgres_wal_io_operations_total sync":                  {14, 15, 16, 17},         // went to pg_stat_io in 18
		"soakd_postgres_io_bytes_total read":                           {16, 17, 18},             // op_bytes until 17, read_bytes from 18
		"soakd_postgres_sessions_ended_total killed":                   {14, 15, 16, 17, 18},
		"soakd_postgres_lock_wait_oldest_seconds":                      {14, 15, 16, 17, 18},
		"soakd_postgres_statement_block_read_seconds_total":            {13, 14, 15, 16, 17, 18}, // renamed in version 1.11 of the extension
		"soakd_postgres_statements_dropped_total":                      {14, 15, 16, 17, 18},
		"soakd_postgres_restartpoints_total timed":                     {17, 18},
		"soakd_postgres_checkpoint_seconds_total sync":                 {13, 14, 15, 16, 17, 18},
		"soakd_postgres_replication_slot_lost":                         {13, 14, 15, 16, 17, 18},
		"soakd_postgres_statistics_reset_timestamp_seconds pg_stat_io": {16, 17, 18},
	} {
		for version := 13; version <= 18; version++ {
			if got := slices.Contains(of[version], series); got != slices.Contains(want, version) {
				t.Errorf("version %d: %s is offered: %v", version, series, got)
			}
		}
	}
}

// queries are those that depend on the catalogue, by part.
func queries(p *probe, c *catalogue) map[string]string {
	all := map[string]string{"locks": locksQuery(c)}
	for _, one := range p.parts {
		switch part := one.(type) {
		case *databases:
			all["databases"], _ = part.stats.sql(c)
		case *replication:
			all["replica"], _ = table{from: receiver, columns: part.replica}.sql(c)
			all["replicas"], _ = part.each.sql(c)
			all["slots"], _ = part.slots.sql(c)
		case *cluster:
			all["cluster"], _ = table{from: strings.Join(part.views(c), " CROSS JOIN "), columns: part.columns}.sql(c)
		case *inputOutput:
			all["io"], _ = part.stats.sql(c)
		case *tables:
			all["tables"], _ = part.stats.sql(c)
		case *statements:
			all["statements"] = part.usageQuery(c, part.offered(c))
		}
	}
	return all
}

// No query names a column that its views have in another version only.
func TestQueriesNameOnlyWhatIsThere(t *testing.T) {
	p := open(t, secret.New("postgres://127.0.0.1:1/x"), nil).(*probe)
	catalogues := map[int]*catalogue{}
	everywhere := map[string]map[string]bool{} // the columns of a view in any version
	for version := 13; version <= 18; version++ {
		catalogues[version] = recorded(t, fmt.Sprintf("testdata/catalogue-%d.txt", version))
		for view, columns := range catalogues[version].columns {
			if everywhere[view] == nil {
				everywhere[view] = map[string]bool{}
			}
			maps.Copy(everywhere[view], columns)
		}
	}
	word := regexp.MustCompile(`[a-z_0-9]+`)
	checked := 0
	for version, c := range catalogues {
		for part, query := range queries(p, c) {
			words := word.FindAllString(query, -1)
			var views []string
			for _, name := range words {
				if everywhere[name] != nil {
					views = append(views, name)
				}
			}
			known := func(of map[string]map[string]bool, name string) bool {
				return slices.ContainsFunc(views, func(view string) bool { return of[view][name] })
			}
			for _, name := range words {
				if !known(everywhere, name) {
					continue
				}
				checked++
				if !known(c.columns, name) {
					t.Errorf("version %d: the query of %s names %s, which %v does not have there:\n%s", version, part, name, views, query)
				}
			}
			for _, view := range views {
				if c.columns[view] == nil {
					t.Errorf("version %d: the query of %s reads %s, which is not there", version, part, view)
				}
			}
		}
	}
	if checked < 6*100 {
		t.Errorf("only %d names of columns were looked at", checked)
	}
}

// The bytes are counted by operations of op_bytes until 17, by themselves from 18.
func TestIOOfEachVersion(t *testing.T) {
	p := open(t, secret.New("postgres://127.0.0.1:1/x"), nil).(*probe)
	for version, want := range map[int]string{13: "", 15: "", 16: "(sum(reads * op_bytes))::float8", 17: "(sum(reads * op_bytes))::float8", 18: "(sum(read_bytes))::float8"} {
		query := queries(p, recorded(t, fmt.Sprintf("testdata/catalogue-%d.txt", version)))["io"]
		if (query == "") != (want == "") || !strings.Contains(query, want) {
			t.Errorf("version %d: %s\nwant %q in it", version, query, want)
		}
	}
}

// A server without any of the optional views and columns gives the rest.
func TestServerWithoutTheUsualViews(t *testing.T) {
	p := open(t, secret.New("postgres://127.0.0.1:1/x"), nil).(*probe)
	if got := offers(p, &catalogue{columns: map[string]map[string]bool{}}); len(got) != 0 {
		t.Errorf("offered by nothing: %v", got)
	}
}

// TestOtherServers polls the servers of the flag and records their catalogues.
func TestOtherServers(t *testing.T) {
	for address := range strings.FieldsSeq(*servers) {
		opened := open(t, secret.New(address), func(c *Config) { must(t, c.Statements.Decode("any=SELECT")) }).(*probe)
		var values probetest.Values
		for range 3 {
			values = mustPoll(t, opened)
		}
		start := time.Now()
		const polls = 50
		reading := probes.Reading{}
		for range polls {
			var err error
			if reading, err = opened.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		version := 0
		for series := range values {
			_, _ = fmt.Sscanf(series, `soakd_postgres_server_info{version="%d`, &version)
		}
		t.Logf("%d: %d values, %d queries a poll, %v a poll, %v of it in queries", version, len(values), reading.Cost.Queries, time.Since(start)/polls, reading.Cost.Time)
		// What the catalogue offers came, but for what is NULL on an idle primary.
		missing := 0
		for _, series := range offers(opened, opened.offers.catalogue) {
			name, _, _ := strings.Cut(series, " ")
			found := false
			for key := range values {
				found = found || strings.HasPrefix(key, name)
			}
			if !found {
				missing++
				t.Logf("%d: no value of %s", version, name)
			}
		}
		record(t, fmt.Sprintf("testdata/catalogue-%d.txt", version), opened.offers.catalogue)
	}
}
