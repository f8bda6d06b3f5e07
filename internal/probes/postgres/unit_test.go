package postgres

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func TestConfigRefused(t *testing.T) {
	probetest.CheckConfig(t, Kind)
	const password = "hunter2"
	for url, part := range map[string]string{
		"localhost:5432/db":                    "",
		"http://u:hunter2@h/db":                "",
		"postgres://u:hun%zzter2@h/db":         "hun",
		"postgres://u:hun/ter2@h/db":           "ter2",
		"postgres://u:hunter2@h/db?sslmode=no": password,
		"host=h password=hunter2 port=x":       password,
	} {
		config := Kind().Config.(*Config)
		config.URL = secret.New(url)
		err := config.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_POSTGRES_URL: ") || strings.Contains(err.Error(), password) || part != "" && strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := config.Open(nil); err == nil {
			t.Errorf("%s: opened", url)
		}
	}

	config := &Config{
		URLFile: "/no/such/file", StatementTimeout: time.Hour,
		Applications: []string{" api ", "other", "", "api", strings.Repeat("x", 64)},
		Tables:       []string{"loans", "public.loans", "a.b.c", `x"y`}, Databases: []string{"one", "", " one"},
	}
	err := config.Validate()
	for _, part := range []string{
		"SOAKD_POSTGRES_URL_FILE: read secret", "SOAKD_POSTGRES_STATEMENT_TIMEOUT: 1h0m0s is not", `SOAKD_POSTGRES_APPLICATIONS: "other" has a meaning`,
		`SOAKD_POSTGRES_APPLICATIONS: "" is not 1 to 63`, `SOAKD_POSTGRES_APPLICATIONS: "api" is there twice`, `"` + strings.Repeat("x", 64) + `" is not 1 to 63`,
		`SOAKD_POSTGRES_DATABASES: "" is not 1 to 63`, `SOAKD_POSTGRES_DATABASES: "one" is there twice`,
		`SOAKD_POSTGRES_TABLES: "public.loans" is there twice`, `SOAKD_POSTGRES_TABLES: "a.b.c" is not`, `SOAKD_POSTGRES_TABLES: "x\"y" is not`,
	} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
	if off := Kind().Config; off.Enabled() || off.Validate() != nil || off.Summary() != "" {
		t.Error("the defaults must be off and valid")
	}
}

func TestConfigMakesAHarmlessPool(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://me:hunter2@db.example:6000/cashflow?pool_max_conns=90&pool_min_conns=9&pool_health_check_period=0s&application_name=api&statement_timeout=0&connect_timeout=60\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := Kind().Config.(*Config)
	config.URLFile = file
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if config.Summary() != "db.example:6000/cashflow as me" {
		t.Errorf("summary %q", config.Summary())
	}
	pool := config.servers[0].pool
	conn := pool.ConnConfig
	if pool.HealthCheckPeriod <= 0 {
		t.Errorf("the pool would look at its sessions every %v, which panics", pool.HealthCheckPeriod)
	}
	got := fmt.Sprint(pool.MaxConns, pool.MinConns, conn.ConnectTimeout, conn.RuntimeParams)
	want := "1 0 10s map[application_name:soakd default_transaction_read_only:on lock_timeout:500 statement_timeout:1000]"
	if got != want {
		t.Errorf("pool %s\nwant %s", got, want)
	}
}

func TestServers(t *testing.T) {
	config := Kind().Config.(*Config)
	config.URL, config.MainName = secret.New("postgres://me:hunter2@a/x"), "primary"
	config.Servers = secret.New("replica-1 = postgres://me:hunter2@b:6000/x?sslmode=disable ;\n two=host=c user=you password=hunter2 dbname=y\r\n;")
	config.Databases = []string{" x ", "y"}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if got, want := config.Summary(), "primary a:5432/x as me; replica-1 b:6000/x as me; two c:5432/y as you"; got != want {
		t.Errorf("summary %s\nwant %s", got, want)
	}
	var names []string
	for _, one := range probetest.Open(t, config) {
		names = append(names, one.Name())
		probetest.CheckDescriptions(t, one)
		for _, desc := range one.Describe() {
			if desc.Labels[0] != "server" {
				t.Errorf("%s: labels %v", desc.Name, desc.Labels)
			}
		}
	}
	if got := strings.Join(names, " "); got != "postgres postgres/replica-1 postgres/two" {
		t.Errorf("probes %s", got)
	}
	alone := Kind().Config.(*Config)
	alone.Servers = config.Servers
	if err := alone.Validate(); err != nil || !alone.Enabled() || len(probetest.Open(t, alone)) != 2 {
		t.Errorf("without SOAKD_POSTGRES_URL: %v", err)
	}
}

func TestServersRefused(t *testing.T) {
	const hunter = "postgres://me:hunter2@h/x"
	for text, want := range map[string]string{
		hunter:                                              "entry 1 is not name=url",
		"a=" + hunter + ";b":                                "entry 2 is not name=url",
		"a=" + hunter + ";B=" + hunter:                      "entry 2 is not name=url",
		"a=" + hunter + "\na=" + hunter:                     `the name "a" is there twice`,
		"main=" + hunter:                                    `the name "main" is that of SOAKD_POSTGRES_URL's server`,
		"a=http://me:hunter2@h":                             "SOAKD_POSTGRES_SERVERS: a: is not a Postgres URL",
		"a=" + hunter + "?sslrootcert=/no/such/file":        "SOAKD_POSTGRES_SERVERS: a: is not a Postgres URL",
		"a=postgres://1,2,3,4,5,6,7,8,9/x?password=hunter2": "SOAKD_POSTGRES_SERVERS: a: has 9 hosts; at most 8 are taken",
		strings.Repeat("a="+hunter+";", 17):                 "has 17 servers; at most 16 are taken",
	} {
		config := Kind().Config.(*Config)
		config.URL, config.Servers = secret.New("postgres://h/x"), secret.New(text)
		err := config.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "SOAKD_POSTGRES_SERVERS: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if _, err := config.Open(nil); err == nil {
			t.Errorf("%s: opened", text)
		}
	}
	config := &Config{MainName: "Main", StatementTimeout: time.Second, Databases: append(strings.Split(strings.Repeat("a", 21), ""), "", strings.Repeat("b", 64))}
	err := config.Validate()
	for _, part := range []string{`SOAKD_POSTGRES_NAME: "Main" is not`, `SOAKD_POSTGRES_DATABASES: "a" is there twice`, `SOAKD_POSTGRES_DATABASES: "" is not 1 to 63`, "SOAKD_POSTGRES_DATABASES: has 23 names; at most 20"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
}

func TestReasons(t *testing.T) {
	for text, want := range map[string]probes.Reason{
		"28P01": probes.ReasonAuth, "28000": probes.ReasonAuth, "42501": probes.ReasonPermission, "57014": probes.ReasonTimeout, "55P03": probes.ReasonTimeout,
		"57P01": probes.ReasonUnavailable, "57P03": probes.ReasonUnavailable, "53300": probes.ReasonUnavailable, "3D000": probes.ReasonMissing, "42P01": probes.ReasonMissing,
		"08006": probes.ReasonReset, "XX000": probes.ReasonOther, "": probes.ReasonProtocol, "08P01": probes.ReasonProtocol,
		"08P01 unsupported startup parameter: x": probes.ReasonProtocol, "08P01 no such database: x": probes.ReasonMissing, "08P01 query_wait_timeout": probes.ReasonUnavailable,
		"08P01 server login has been failing, try again later (server_login_retry)": probes.ReasonUnavailable, "08P01 SASL authentication failed": probes.ReasonAuth,
		"08P01 no more connections allowed (max_client_conn)": probes.ReasonUnavailable, "08P01 the database system is shutting down": probes.ReasonUnavailable,
	} {
		code, message, _ := strings.Cut(text, " ")
		// As the driver joins what it tried: TLS first, then without.
		tried := errors.Join(errors.New("tls error: server refused TLS connection"), &pgconn.PgError{Code: code, Message: message})
		if got := probes.ReasonOf(explained(tried)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]probes.Reason{
		"unknown message type: H": probes.ReasonProtocol, "tls error: server refused TLS connection": probes.ReasonTLS, "something": probes.ReasonOther,
		"channel binding required but server does not support SCRAM-SHA-256-PLUS": probes.ReasonAuth,
	} {
		if got := probes.ReasonOf(explained(errors.New(text))); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if cut := fmt.Errorf("failed SASL auth: %w", io.ErrUnexpectedEOF); probes.ReasonOf(explained(cut)) != probes.ReasonReset || explained(nil) != nil {
		t.Errorf("a connection cut while logging in: %s", probes.ReasonOf(explained(cut)))
	}
}

func FuzzServers(f *testing.F) {
	f.Add("a=postgres://u:p@h/d;b=host=x")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseServers(text)
		for _, e := range entries {
			if err == nil && (!serverName.MatchString(e.name) || !e.address.IsSet()) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// FuzzAddress: whatever stands before the query, defaults change neither host
// nor credentials that are given.
func FuzzAddress(f *testing.F) {
	f.Add("u:p@h:1/d?a=b")
	f.Add("[::1]:6/x")
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := pgconn.ParseConfig("postgres://" + text)
		if err != nil {
			return
		}
		ours, err := pgconn.ParseConfig(urlWith("postgres://"+text, [][2]string{{"user", "d"}, {"host", "d"}, {"port", "1"}, {"password", "d"}, {"dbname", "d"}}))
		if err != nil {
			return
		}
		for _, pair := range [][2]string{{plain.Host, ours.Host}, {plain.Password, ours.Password}, {plain.Database, ours.Database}} {
			if pair[1] != pair[0] && pair[1] != "d" {
				t.Errorf("%q: %q became %q", text, pair[0], pair[1])
			}
		}
	})
}

func TestStatementsDecode(t *testing.T) {
	var s Statements
	if err := s.Decode(`save = INSERT INTO scenarios ; history=~(?i)^select .* from history;`); err != nil {
		t.Fatal(err)
	}
	for i, texts := range [][2]string{
		{"INSERT INTO scenarios (id, name) VALUES ($1, $2)", "insert into scenarios"},
		{"SELECT id FROM history WHERE user_id = $1", "WITH x AS (SELECT 1) SELECT id FROM history"},
	} {
		if !s.list[i].match(texts[0]) || s.list[i].match(texts[1]) {
			t.Errorf("%s matches %v and %v", s.list[i].name, s.list[i].match(texts[0]), s.list[i].match(texts[1]))
		}
	}
	if len(s.list) != 2 || !strings.HasPrefix(s.String(), "save") {
		t.Errorf("%+v", s)
	}
	for text, want := range map[string]string{
		"save": "want name=text", "save=": "want name=text", "save=~": "want name=text", "Save=x": "is not of a-z",
		"a=x;a=y": `"a" is there twice`, "a=~(": "missing closing",
	} {
		if err := s.Decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if err := s.Decode(""); err != nil || s.list != nil {
		t.Errorf("empty: %v, %v", s.list, err)
	}
}

func TestVersionText(t *testing.T) {
	if got := versionText(150004); got != "15.4" {
		t.Error(got)
	}
}

func TestStatementTotalsSurviveDroppedEntries(t *testing.T) {
	var descs probes.Descs
	st := newStatements(&descs, []statement{{name: "a"}, {name: "b"}}, newResets(&descs))
	st.matched = map[int64][]int{1: {0}, 2: {0, 1}}
	at := func(entries map[entryID]usage) [2]float64 {
		st.advance(entries)
		return [2]float64{st.totals[0][calls], st.totals[1][calls]}
	}
	for i, step := range []struct {
		entries map[entryID]usage
		want    [2]float64
	}{
		{map[entryID]usage{{9, 1}: {calls: 100}, {9, 2}: {calls: 7}}, [2]float64{0, 0}},                    // what was before soakd does not count
		{map[entryID]usage{{9, 1}: {calls: 103}, {9, 2}: {calls: 8}}, [2]float64{4, 1}},                    // 3 + 1
		{map[entryID]usage{{9, 2}: {calls: 8}}, [2]float64{4, 1}},                                          // dropped: nothing falls
		{map[entryID]usage{{9, 1}: {calls: 2}, {9, 2}: {calls: 8}}, [2]float64{6, 1}},                      // made anew
		{map[entryID]usage{{9, 1}: {calls: 1}, {9, 2}: {calls: 8}}, [2]float64{7, 1}},                      // reset between two polls
		{map[entryID]usage{{9, 1}: {calls: 1}, {8, 1}: {calls: 5}, {9, 2}: {calls: 8}}, [2]float64{12, 1}}, // another role
	} {
		if got := at(step.entries); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

func TestStatementsOverALimitDoNotJump(t *testing.T) {
	var descs probes.Descs
	st := newStatements(&descs, []statement{{name: "a"}}, newResets(&descs))
	a := []int{0}
	for i, step := range []struct {
		matched    map[int64][]int
		incomplete bool
		entries    map[entryID]usage
		want       float64
	}{
		{map[int64][]int{1: a}, true, map[entryID]usage{{9, 1}: {calls: 100}}, 0},
		{map[int64][]int{1: a, 2: a}, true, map[entryID]usage{{9, 1}: {calls: 101}, {9, 2}: {calls: 70}}, 1},        // 2 was there before, unseen
		{map[int64][]int{2: a}, true, map[entryID]usage{{9, 2}: {calls: 75}}, 6},                                    // 1 is over the limit
		{map[int64][]int{1: a, 2: a}, false, map[entryID]usage{{9, 1}: {calls: 300}, {9, 2}: {calls: 75}}, 6},       // and is back
		{map[int64][]int{1: a, 2: a}, false, map[entryID]usage{{9, 1}: {calls: 302}, {9, 2}: {calls: 75}}, 8},       // from there on it counts
		{map[int64][]int{1: a, 2: a, 3: a}, false, map[entryID]usage{{9, 1}: {calls: 302}, {9, 3}: {calls: 4}}, 12}, // nothing was left out: 3 is new
	} {
		st.adopt(step.matched, step.incomplete)
		if st.advance(step.entries); st.totals[0][calls] != step.want {
			t.Errorf("step %d: %v, want %v", i, st.totals[0][calls], step.want)
		}
	}
}

// Another server's counts, or those of a restarted one that kept them, are no jump.
func TestStatementsOfAnotherServerDoNotJump(t *testing.T) {
	var descs probes.Descs
	st := newStatements(&descs, []statement{{name: "a"}}, newResets(&descs))
	st.matched = map[int64][]int{1: {0}}
	at := func(seconds float64) *float64 { return &seconds }
	for i, step := range []struct {
		start float64
		reset *float64
		calls float64
		want  float64
	}{
		{100, at(50), 1000, 0},
		{100, at(50), 1001, 1},
		{200, at(50), 1003, 3},     // restarted, with its statistics
		{200, at(250), 1010, 1013}, // reset, and more calls than before since
		{300, at(20), 90000, 1013}, // a replica took over
		{300, at(20), 90002, 1015}, //
		{400, at(400), 5, 1015},    // restarted without its statistics
		{400, nil, 6, 1016},
		{400, nil, 7, 1017}, // an extension that does not tell
		{500, nil, 50000, 1017},
		{500, nil, 50001, 1018},
	} {
		st.compareWith(step.start, step.reset)
		u := usage{}
		u[calls] = step.calls
		if st.advance(map[entryID]usage{{9, 1}: u}); st.totals[0][calls] != step.want {
			t.Errorf("step %d: %v, want %v", i, st.totals[0][calls], step.want)
		}
	}
}

func TestMatchesAreBounded(t *testing.T) {
	var descs probes.Descs
	st := newStatements(&descs, []statement{{name: "all", contains: "x"}}, newResets(&descs))
	matched := map[int64][]int{}
	overflow := 0
	for id := range int64(maxMatches + 5) {
		overflow += st.assign(matched, id, "x")
		overflow += st.assign(matched, id+1e6, "no match")
	}
	if len(matched) != maxMatches || overflow != 5 {
		t.Errorf("%d matched, overflow %d", len(matched), overflow)
	}
}

func TestSessionsAreFolded(t *testing.T) {
	var descs probes.Descs
	a := newActivity(&descs, newApplications([]string{"api"}))
	counts := tally{backends: map[[2]string]float64{}, waiting: map[string]float64{}, folded: map[string]bool{}}
	a.count(&counts, "api", "active", "Lock", 2)
	a.count(&counts, "api", "idle", "Client", 3)
	a.count(&counts, "psql", "idle in transaction (aborted)", "", 1)
	a.count(&counts, "pgadmin", "a new state", "", 1)
	a.count(&counts, "", "active", "NewKind", 1)
	var reading probes.Reading
	a.add(&reading, &counts)
	found := map[string]float64{}
	for _, s := range reading.Samples {
		if s.Value != 0 {
			found[strings.Join(s.Labels, " ")] = s.Value
		}
	}
	want := "map[api active:2 api idle:3 lock:2 none active:1 other:1 other idle_in_transaction_aborted:1 other other:1]"
	if fmt.Sprint(found) != want || reading.Overflow != 2 || counts.total != 8 {
		t.Errorf("%v\nwant %s; overflow %d, total %v", found, want, reading.Overflow, counts.total)
	}
	if n := len(reading.Samples); n != 4*7+10 {
		t.Errorf("%d series", n)
	}
}

func FuzzStatements(f *testing.F) {
	f.Add("a=x;b=~^y")
	f.Fuzz(func(t *testing.T, text string) {
		var s Statements
		if s.Decode(text) != nil {
			return
		}
		for _, one := range s.list {
			one.match(text)
			if !statementName.MatchString(one.name) {
				t.Errorf("name %q", one.name)
			}
		}
	})
}

func TestChains(t *testing.T) {
	for name, c := range map[string]struct {
		edges        [][2]int
		roots, depth int
	}{
		"nobody":                    {nil, 0, 0},
		"one waits":                 {[][2]int{{2, 1}}, 1, 1},
		"two wait for one":          {[][2]int{{2, 1}, {3, 1}}, 1, 1},
		"a queue":                   {[][2]int{{2, 1}, {3, 2}, {4, 3}, {4, 1}}, 1, 3},
		"two holders":               {[][2]int{{3, 1}, {3, 2}}, 2, 1},
		"two queues":                {[][2]int{{2, 1}, {12, 11}, {13, 12}}, 2, 2},
		"a deadlock":                {[][2]int{{1, 2}, {2, 1}}, 0, 2},
		"one that waits for such":   {[][2]int{{1, 2}, {2, 1}, {3, 1}}, 0, 3},
		"a prepared transaction":    {[][2]int{{5, 0}, {6, 0}}, 1, 1},
		"a prepared and a session":  {[][2]int{{5, 0}, {5, 4}}, 2, 1},
		"the same blocker two ways": {[][2]int{{2, 1}, {3, 1}, {4, 2}, {4, 3}}, 1, 2},
	} {
		var edges []edge
		for _, pair := range c.edges {
			edges = append(edges, edge{blocked: pair[0], blocker: pair[1]})
		}
		if roots, depth := chains(edges); roots != c.roots || depth != c.depth {
			t.Errorf("%s: %d roots, depth %d; want %d and %d", name, roots, depth, c.roots, c.depth)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	n := newNames(2, 4)
	for i, step := range []struct{ present, want string }{
		{"a b c other", "a b"},
		{"a0 a c b", "a b"}, // those that were before come first, whatever their order
		{"b c", "b c"},      // a has left
		{"a b c", "a b"},    // and is back
		{"d e", "d"},        // the last name there is for all the time
		{"e f", ""},
		{"a d", "a d"},
	} {
		chosen := slices.Sorted(maps.Keys(n.choose(strings.Fields(step.present))))
		if got := strings.Join(chosen, " "); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

// Of what is folded into one the worst counts: the longest lag, and 0 where 1 is
// well.
func TestFoldedReplicasShowTheWorst(t *testing.T) {
	var descs probes.Descs
	r := newReplication(&descs)
	streaming := r.low[0]
	var reading probes.Reading
	sample := func(desc *probes.Desc, value float64, labels ...string) probes.Sample {
		return probes.Sample{Desc: desc, Value: value, Labels: labels}
	}
	r.addBounded(&reading, []probes.Sample{
		sample(streaming, 1, "a"), sample(r.lagBytes, 5, "a", "replay"), sample(streaming, 0, "b"), sample(r.lagBytes, 9, "b", "replay"),
		sample(streaming, 1, "c"), sample(r.lagBytes, 7, "c", "replay"), sample(r.lagBytes, 1, "c", "sent"),
	}, newNames(1, 10))
	got := ""
	for _, s := range reading.Samples {
		got += fmt.Sprintln(s.Desc.Name, s.Labels, s.Value)
	}
	want := "soakd_postgres_replica_streaming [a] 1\nsoakd_postgres_replica_lag_bytes [a replay] 5\nsoakd_postgres_replica_streaming [other] 0\n" +
		"soakd_postgres_replica_lag_bytes [other replay] 9\nsoakd_postgres_replica_lag_bytes [other sent] 1\n"
	if got != want || reading.Overflow != 2 {
		t.Errorf("overflow %d\n%s\nwant\n%s", reading.Overflow, got, want)
	}
}

func TestResetsAreCountedFromSoakdsStartOn(t *testing.T) {
	var descs probes.Descs
	r := newResets(&descs)
	for i, step := range []struct{ at, want float64 }{{0, 0}, {100, 1}, {200, 2}, {200, 2}, {150, 2}, {300, 3}} {
		var reading probes.Reading
		r.count(&reading, "pg_stat_wal", step.at)
		if got := reading.Samples[0].Value; got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
