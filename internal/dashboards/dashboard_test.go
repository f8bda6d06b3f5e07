package dashboards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/kelseyhightower/envconfig"

	"soakd/internal/exporter"
	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/load"
	"soakd/internal/load/cashflow"
	"soakd/internal/probes"
	"soakd/internal/probes/api"
	"soakd/internal/probes/blackbox"
	"soakd/internal/probes/postgres"
	"soakd/internal/probes/probetest"
	"soakd/internal/probes/redis"
)

// allProbes opens every kind of probe; none reaches for its dependency.
func allProbes(t *testing.T) []probes.Probe {
	t.Helper()
	kinds := append([]probes.Kind{postgres.Kind(), postgres.CanaryKind(), redis.Kind(), redis.CanaryKind(), api.Kind()}, blackbox.Kinds()...)
	for name, value := range map[string]string{
		"POSTGRES_URL": "postgres://soakd:x@127.0.0.1:1/db", "POSTGRES_CANARY_URL": "postgres://soakd:x@127.0.0.1:1/db",
		"REDIS_URL": "redis://127.0.0.1:1", "REDIS_CANARY_URL": "redis://127.0.0.1:1", "API_METRICS_URL": "http://127.0.0.1:1/metrics",
		"ENDPOINT_PROBES": "a=http://127.0.0.1:1/", "TCP_PROBES": "a=127.0.0.1:1", "DNS_PROBES": "a=x.example server=127.0.0.1:1",
		"CERTIFICATE_PROBES": "a=127.0.0.1:1", "EXPORTER_PROBES": "a=http://127.0.0.1:1/", "EXPORTER_SERIES": "x=a:y;z=a:y_total",
	} {
		t.Setenv("EVERYPROBE_"+name, value)
	}
	for _, kind := range kinds {
		if err := envconfig.Process("everyprobe", kind.Config); err != nil {
			t.Fatal(err)
		}
	}
	var opened []probes.Probe
	for _, kind := range kinds {
		opened = append(opened, probetest.Open(t, kind.Config)...)
	}
	return opened
}

// metricLabels gives the labels of every series that a query may ask for, by the
// series' name.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{"up": nil, "soakd_build_info": {"version", "revision", "branch", "goversion"}}
	for _, name := range []string{
		"go_goroutines", "go_memstats_heap_alloc_bytes", "process_cpu_seconds_total", "process_resident_memory_bytes",
		"process_open_fds", "process_start_time_seconds",
		// Prometheus' own, of each scrape.
		"scrape_duration_seconds", "scrape_samples_scraped",
	} {
		known[name] = nil
	}
	for _, d := range exporter.Definitions(allProbes(t)) {
		if d.Type != "histogram" {
			known[d.Name] = d.Labels
			continue
		}
		known[d.Name+"_bucket"] = append(slices.Clone(d.Labels), "le")
		known[d.Name+"_count"] = d.Labels
		known[d.Name+"_sum"] = d.Labels
	}
	return known
}

// enumerations are the label values that queries may name, by label, or by metric
// and label where the label means different things.
func enumerations(t *testing.T) map[string][]string {
	t.Helper()
	workload, err := cashflow.New(cashflow.Config{APIVersion: "v1", Users: 1, CanMint: true})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{
		"outcome": texts(load.Outcomes()),
		"reason":  slices.Concat(texts(load.DropReasons()), texts(load.SubstituteReasons()), texts(load.UnfitReasons()), texts(probes.Reasons())),
		"kind":    texts(load.SystemKinds()), "soakd_findings.kind": texts(finding.Kinds()), "soakd_events_total.kind": texts(judge.EventKinds()), "result": {"stored", "failed"}, "phase": texts(load.Phases()),
		"signal":                    {"median_response_time", "p95_response_time", "p99_response_time", "error_ratio"},
		"soakd_circuit_state.state": texts(load.CircuitStates()),
		"percentile":                {"50", "99", "99.9"}, "soakd_redis_cluster_slots.state": {"assigned", "ok", "pfail", "fail"},
		"soakd_redis_canary_seconds_bucket.operation": {"write", "read", "delete"},
		"check": load.BuiltinChecks(), "probe": {postgres.Name, redis.Name, api.Name},
	}
	for _, kind := range blackbox.Kinds() {
		all["probe"] = append(all["probe"], kind.Name+"/.*")
	}
	for _, c := range workload.Cases {
		all["case"] = append(all["case"], c.Name)
		all["class"] = append(all["class"], string(c.Class))
		all["check"] = append(all["check"], c.Checks...)
	}
	return all
}

func texts[T ~string](values []T) []string {
	var all []string
	for _, v := range values {
		all = append(all, string(v))
	}
	return all
}

// query is one query of the package and where it stands.
type query struct{ where, text string }

// dashboardQueries lists every query of every dashboard.
func dashboardQueries() []query { return Default().queries() }

func (s Settings) queries() []query {
	var all []query
	for _, d := range s.All() {
		for _, row := range d.Rows {
			for _, panel := range row.Panels {
				for _, target := range panel.Targets {
					all = append(all, query{d.UID + " / " + row.Title + " / " + panel.Title, target.Query})
				}
			}
		}
		for _, v := range append(commonVariables(), d.Variables...) {
			all = append(all, query{d.UID + " / variable " + v.Name, "count by (" + v.Label + ") (" + v.Selector + ")"})
		}
	}
	for _, a := range s.annotations() {
		all = append(all, query{"annotation " + a.Name, a.Signal})
	}
	return all
}

// everyRecording is in the order of evaluation.
func everyRecording() []Recording {
	var all []Recording
	for _, group := range Default().Rules() {
		all = append(all, group.Recordings...)
	}
	return all
}

func ruleQueries() []query { return Default().ruleQueries() }

func (s Settings) ruleQueries() []query {
	var all []query
	for _, group := range s.Rules() {
		for _, r := range group.Recordings {
			all = append(all, query{r.Record, r.Query})
		}
		for _, a := range group.Alerts {
			all = append(all, query{a.Name, a.Signal})
		}
	}
	return all
}

// checkNames holds the names of a query against those that exist.
func checkNames(t *testing.T, q query, known, values map[string][]string) {
	t.Helper()
	p := parse(q.text)
	if len(p.selectors) == 0 {
		t.Errorf("%s: no metric found in %s", q.where, q.text)
	}
	usable := []string{"job", "instance"}
	for _, s := range p.selectors {
		own, ok := known[s.metric]
		if !ok {
			t.Errorf("%s: there is no metric %s", q.where, s.metric)
			continue
		}
		usable = append(usable, own...)
		for _, m := range s.matchers {
			if !slices.Contains(append([]string{"job", "instance"}, own...), m.label) {
				t.Errorf("%s: %s has no label %s", q.where, s.metric, m.label)
			}
			possible, own := values[s.metric+"."+m.label]
			if !own {
				possible = values[m.label]
			}
			checkValues(t, q, m, possible)
		}
	}
	for _, label := range p.grouped {
		if !slices.Contains(usable, label) {
			t.Errorf("%s: no metric of the query has the label %s", q.where, label)
		}
	}
}

// checkValues holds the alternatives of a matcher against the values that exist.
func checkValues(t *testing.T, q query, m matcher, possible []string) {
	t.Helper()
	if possible == nil || strings.HasPrefix(m.value, "$") {
		return
	}
	for _, value := range strings.Split(m.value, "|") {
		if !slices.Contains(possible, value) {
			t.Errorf("%s: %s has no value %q", q.where, m.label, value)
		}
	}
}

func TestQueriesNameWhatExists(t *testing.T) {
	known, values := metricLabels(t), enumerations(t)
	withRecordings := maps.Clone(known)
	for _, r := range everyRecording() {
		// The label case is missing on purpose where it is not recorded: see ofChosen.
		withRecordings[r.Record] = append(parse(r.Query).grouped, "case")
	}
	for _, q := range dashboardQueries() {
		checkNames(t, q, withRecordings, values)
	}
	for _, q := range ruleQueries() {
		checkNames(t, q, withRecordings, values)
	}
	for _, a := range Default().Alerts() {
		if a.Only != "" {
			checkNames(t, query{a.Name, a.Only}, withRecordings, values)
		}
	}
}

// Every metric of soakd is seen somewhere.
func TestNoMetricIsForgotten(t *testing.T) {
	used := map[string]bool{}
	for _, q := range dashboardQueries() {
		for _, s := range parse(q.text).selectors {
			used[regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(s.metric, "")] = true
		}
	}
	for _, d := range exporter.Definitions(allProbes(t)) {
		if !used[d.Name] {
			t.Errorf("no dashboard shows %s (%s)", d.Name, d.Help)
		}
	}
}

var legendLabel = regexp.MustCompile(`\{\{\s*([a-z_]+)\s*\}\}`)

func TestPanelsAreComplete(t *testing.T) {
	uids, titles := map[string]bool{}, map[string]bool{}
	for _, d := range Default().All() {
		uids[d.UID] = true
	}
	for _, d := range Default().All() {
		if d.UID == "" || d.Title == "" || d.Description == "" || d.File == "" || titles[d.Title] {
			t.Errorf("dashboard %q: uid, title, description and file must be there and the title its own", d.UID)
		}
		titles[d.Title] = true
		for _, row := range d.Rows {
			seen := map[string]bool{}
			if row.Title == "" || len(row.Panels) == 0 {
				t.Errorf("%s: a row without title or panels", d.UID)
			}
			for _, p := range row.Panels {
				checkPanel(t, d.UID, p)
				if seen[p.Title] {
					t.Errorf("%s / %s: two panels are called %q", d.UID, row.Title, p.Title)
				}
				seen[p.Title] = true
				if p.Detail != "" && !uids[p.Detail] {
					t.Errorf("%s / %s: links to %s, which does not exist", d.UID, p.Title, p.Detail)
				}
			}
		}
	}
	if len(uids) != len(Default().All()) {
		t.Errorf("two dashboards share a uid: %v", uids)
	}
}

// units are those of Grafana that the panels may use: an unknown one would be
// shown as text behind the value.
func units() []string {
	return []string{"none", "short", "s", "bytes", "Bps", "percentunit", "reqps", "ops"}
}

func checkPanel(t *testing.T, uid string, p Panel) {
	t.Helper()
	where := uid + " / " + p.Title
	if len(p.Title) > longestTitle {
		t.Errorf("%s: has %d characters, which is too long for a narrow panel: at most %d", where, len(p.Title), longestTitle)
	}
	if p.Title == "" || len(p.Description) < 40 || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%s: needs a title and a description in sentences: %q", where, p.Description)
	}
	if p.Kind == Text {
		if p.Markdown == "" || len(p.Targets) > 0 || p.Unit != "" {
			t.Errorf("%s: a text has Markdown and neither queries nor a unit", where)
		}
		return
	}
	checkColumns(t, where, p)
	if !slices.Contains(units(), p.Unit) {
		t.Errorf("%s: unit %q", where, p.Unit)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: no query", where)
	}
	for _, target := range p.Targets {
		if p.Kind == Graph && target.Legend == "" {
			t.Errorf("%s: a line without legend", where)
		}
		grouped := append([]string{"le"}, parse(target.Query).grouped...)
		for _, label := range legendLabel.FindAllStringSubmatch(target.Legend, -1) {
			if !slices.Contains(grouped, label[1]) {
				t.Errorf("%s: the legend names %s, which the query does not keep", where, label[1])
			}
		}
		if strings.Contains(target.Query, "vector(0)") {
			t.Errorf("%s: vector(0) makes a 0 of what is unknown", where)
		}
		for _, needed := range []string{`job=~"$job"`, `instance=~"$instance"`} {
			if strings.Count(target.Query, needed) != len(parse(target.Query).selectors) {
				t.Errorf("%s: not every selector has %s", where, needed)
			}
		}
	}
}

// longestTitle is what stands beside the menu of a panel of 8 columns at 1280 px.
const longestTitle = 40

// checkColumns holds the columns of a table against its queries.
func checkColumns(t *testing.T, where string, p Panel) {
	t.Helper()
	if (p.Kind == Table) != (len(p.Columns) > 0) {
		t.Errorf("%s: a table, and nothing else, has columns", where)
	}
	titles := map[string]bool{}
	for _, c := range p.Columns {
		if c.Title == "" || titles[c.Title] {
			t.Errorf("%s: the column %q needs a title of its own", where, c.Title)
		}
		titles[c.Title] = true
		if c.Target < 0 || c.Target >= len(p.Targets) {
			t.Errorf("%s: the column %s shows query %d of %d", where, c.Title, c.Target, len(p.Targets))
			continue
		}
		if c.Label != "" && !slices.Contains(parse(p.Targets[c.Target].Query).grouped, c.Label) {
			t.Errorf("%s: the column %s shows %s, which the query does not keep", where, c.Title, c.Label)
		}
		if c.Unit != "" && !slices.Contains(units(), c.Unit) {
			t.Errorf("%s: the unit %q of column %s", where, c.Unit, c.Title)
		}
	}
}

// loaded is the part of Grafana's model that the tests read back.
type loaded struct {
	UID           string
	SchemaVersion int
	GraphTooltip  int
	Links         []struct{ IncludeVars, KeepTime bool }
	Templating    struct {
		List []struct{ Name, Type, AllValue string }
	}
	Panels []loadedPanel
}

type loadedPanel struct {
	ID                               int
	Type, Title, Description, Repeat string
	GridPos                          place
	Targets                          []struct {
		RefID, Expr, Format      string
		Exemplar, Range, Instant bool
	}
	Transformations []any
	Links           []struct{ URL string }
	Panels          []loadedPanel
}

// readBack reads a dashboard as Grafana would.
func readBack(t *testing.T, d Dashboard) loaded {
	t.Helper()
	content, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var l loaded
	if err := json.Unmarshal(content, &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPanelsDoNotOverlap(t *testing.T) {
	for _, d := range Default().All() {
		l := readBack(t, d)
		ids := map[int]bool{}
		for i, a := range l.Panels {
			if a.ID < 1 || ids[a.ID] {
				t.Errorf("%s: panel id %d is not unique", d.UID, a.ID)
			}
			ids[a.ID] = true
			p := a.GridPos
			if p.X < 0 || p.Y < 0 || p.W < 4 || p.H < 1 || p.X+p.W > 24 {
				t.Errorf("%s / %s: stands at %+v, outside of the grid or too narrow", d.UID, a.Title, p)
			}
			for _, b := range l.Panels[:i] {
				q := b.GridPos
				if p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H {
					t.Errorf("%s: %q at %+v overlaps %q at %+v", d.UID, a.Title, p, b.Title, q)
				}
			}
		}
	}
}

func TestGrafanaModel(t *testing.T) {
	for _, d := range Default().All() {
		l := readBack(t, d)
		if l.UID != d.UID || l.SchemaVersion < 38 || l.GraphTooltip != 1 {
			t.Errorf("%s: uid %q, schema %d, tooltip %d", d.UID, l.UID, l.SchemaVersion, l.GraphTooltip)
		}
		if len(l.Links) != 1 || !l.Links[0].IncludeVars || !l.Links[0].KeepTime {
			t.Errorf("%s: links %+v must keep variables and time", d.UID, l.Links)
		}
		var names []string
		for _, v := range l.Templating.List {
			names = append(names, v.Name)
			if common := slices.Contains([]string{"job", "target", "instance"}, v.Name); common && v.AllValue != "" {
				t.Errorf("%s: all of %s is %q, which lets other processes in", d.UID, v.Name, v.AllValue)
			}
		}
		if !slices.Equal(names[:4], []string{"datasource", "job", "target", "instance"}) {
			t.Errorf("%s: variables %q", d.UID, names)
		}
		for _, p := range l.Panels {
			for _, target := range p.Targets {
				now := slices.Contains([]string{"stat", "table", "bargauge"}, p.Type)
				if now != target.Instant || target.Instant == target.Range {
					t.Errorf("%s / %s: instant %v, range %v", d.UID, p.Title, target.Instant, target.Range)
				}
				if (p.Type == "heatmap") != (target.Format == "heatmap") {
					t.Errorf("%s / %s: format %s", d.UID, p.Title, target.Format)
				}
				for _, name := range regexp.MustCompile(`\$([a-z]+)`).FindAllStringSubmatch(target.Expr, -1) {
					if !slices.Contains(names, name[1]) {
						t.Errorf("%s / %s: uses $%s, which the dashboard does not have", d.UID, p.Title, name[1])
					}
				}
			}
		}
	}
}

// Latency without exemplars would not lead to a single slow request.
func TestLatencyHasExemplars(t *testing.T) {
	for _, uid := range []string{overviewUID, trafficUID} {
		found := 0
		for _, d := range Default().All() {
			if d.UID != uid {
				continue
			}
			for _, p := range readBack(t, d).Panels {
				for _, target := range p.Targets {
					if target.Exemplar {
						found++
						if !strings.Contains(target.Expr, "_seconds_bucket{") {
							t.Errorf("%s / %s: exemplars of what is no histogram", uid, p.Title)
						}
					}
				}
			}
		}
		if found < 2 {
			t.Errorf("%s: %d queries with exemplars", uid, found)
		}
	}
}

func TestFlowWrapsAtTheEdge(t *testing.T) {
	places, below := flow([]Panel{{Width: 12, Height: 8}, {Width: 8, Height: 4}, {Width: 8, Height: 5}, {Kind: Stat}}, 3)
	want := []place{{0, 3, 12, 8}, {12, 3, 8, 4}, {0, 11, 8, 5}, {8, 11, 4, 4}}
	if !slices.Equal(places, want) || below != 16 {
		t.Errorf("got %v and %d, want %v and 16", places, below, want)
	}
}

func TestThresholdSteps(t *testing.T) {
	describe := func(p Panel) string {
		text, err := json.Marshal(steps(p.Thresholds).Steps)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, c := range map[string]struct {
		panel Panel
		want  string
	}{
		"warn and bad": {Panel{Thresholds: warnAt(0.8, 0.95)}, `[{"value":null,"color":"green"},{"value":0.8,"color":"orange"},{"value":0.95,"color":"red"}]`},
		"bad below":    {Panel{Thresholds: badBelow(1)}, `[{"value":null,"color":"red"},{"value":1,"color":"green"}]`},
		"none":         {Panel{}, `[{"value":null,"color":"text"}]`},
	} {
		if got := describe(c.panel); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// quotedTitle is a panel or row that a text refers to; it may hold an apostrophe
// before a letter.
var quotedTitle = regexp.MustCompile(`(?:^|[\s(])'((?:[^'\n]|'[a-z])+)'(?:[^a-z]|$)`)

// What texts say in quotes is there to be found.
func TestTextsNameWhatIsThere(t *testing.T) {
	titles, texts := map[string]bool{}, map[string]string{}
	for _, d := range Default().All() {
		for _, row := range d.Rows {
			titles[row.Title] = true
			for _, p := range row.Panels {
				titles[p.Title] = true
				texts[d.UID+" / "+p.Title] = p.Description
			}
		}
	}
	for _, a := range Default().Alerts() {
		texts[a.Name] = a.Description
	}
	content, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(runbook)))
	if err != nil {
		t.Fatal(err)
	}
	texts[runbook] = string(content)
	// Legends that panels show.
	titles["none"], titles["other"] = true, true
	for where, text := range texts {
		for _, found := range quotedTitle.FindAllStringSubmatch(text, -1) {
			if !titles[found[1]] {
				t.Errorf("%s refers to '%s', which no dashboard has", where, found[1])
			}
		}
	}
}

// What is written is what Grafana's own types read, with no field that they do not
// know and none missing that they need.
func TestDashboardsHaveGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, d := range append(committedDashboards(), everyKind()) {
		content, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		readStrictly(t, d.UID, content)
		var read grafanas
		if err := json.Unmarshal(content, &read); err != nil {
			t.Errorf("%s: %v", d.UID, err)
		}
		if err := read.Validate(); err != nil {
			t.Errorf("%s: %v", d.UID, err)
		}
		again, err := json.MarshalIndent(read, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(anything(t, content), anything(t, again)) {
			t.Errorf("%s is not the same when it is read and written again", d.UID)
		}
	}
}

// readStrictly reads the dashboard and each of its panels with the types of
// Grafana, which refuse fields that they do not know. A list of no mistakes is no
// error; the type for a panel or a row takes it for one (v0.0.22), so that they are
// read one by one.
func readStrictly(t *testing.T, uid string, content []byte) {
	t.Helper()
	refused := func(where string, err error) {
		t.Helper()
		var mistakes cog.BuildErrors
		if err != nil && (!errors.As(err, &mistakes) || len(mistakes) > 0) {
			t.Errorf("%s%s: %v", uid, where, err)
		}
	}
	refused("", new(grafanas).UnmarshalJSONStrict(content))
	var l struct{ Panels []json.RawMessage }
	if err := json.Unmarshal(content, &l); err != nil {
		t.Fatal(err)
	}
	for i, panel := range l.Panels {
		if bytes.Contains(panel, []byte(`"type": "row"`)) {
			refused(fmt.Sprintf(", row %d", i), new(dashboard.RowPanel).UnmarshalJSONStrict(panel))
			continue
		}
		refused(fmt.Sprintf(", panel %d", i), new(dashboard.Panel).UnmarshalJSONStrict(panel))
	}
}

// committedDashboards are those of both variants.
func committedDashboards() []Dashboard {
	var all []Dashboard
	for _, s := range committed() {
		all = append(all, s.All()...)
	}
	return all
}

// anything is the content without the order of its keys.
func anything(t *testing.T, content []byte) any {
	t.Helper()
	var all any
	if err := json.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// everyKind has a panel of each kind with all that can be said of it.
func everyKind() Dashboard {
	query := func(text string) []Target { return []Target{{Query: text, Legend: "{{x}}"}} }
	all := []Panel{
		{Kind: Graph, Log: true, Stack: true, Thresholds: warnAt(1, 2), Targets: query(`a{x="\\u003c"} < 1`)},
		{Kind: Stat, Texts: map[int]string{0: "no", 1: "yes"}, Targets: query("a > 0 and b")},
		{Kind: Heatmap, Unit: "s", Targets: query("a")},
		{Kind: StateTimeline, Texts: map[int]string{1: "up"}, Thresholds: badBelow(1), Targets: query("a")},
		{Kind: BarGauge, Limits: ZeroToOne, Targets: query("a")},
		{Kind: Text, Markdown: "# <b> & more"},
		{Kind: Table, Targets: append(query("sum by (x) (a)"), query("sum by (x) (b)")...), Columns: []Column{
			{Title: "X", Label: "x"},
			{Title: "A", Unit: "s", Thresholds: badAt(1), Sort: HighestFirst},
			{Title: "B", Target: 1, Texts: map[int]string{0: "no"}, Sort: LowestFirst},
		}},
	}
	for i := range all {
		all[i].Title, all[i].Detail = fmt.Sprintf("Panel %d", i), overviewUID
	}
	return Dashboard{
		UID: "every-kind", Title: "Every kind", Description: "All.", DataSource: "mine", Range: "now-6h", Refresh: "1m",
		Rows: []Row{{Title: "Open", Repeat: "case", Panels: all}, {Title: "Closed", Collapsed: true, Panels: all}, {Title: "Last", Panels: all[:1]}},
	}
}

// Queries are written so that they can be read; a text that looks like a code of
// the encoder stays what it is.
func TestQueriesAreWrittenReadably(t *testing.T) {
	content, err := everyKind().JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"expr": "a{x=\"\\\\u003c\"} < 1"`, `"expr": "a > 0 and b"`, `"content": "# <b> & more"`} {
		if !strings.Contains(string(content), want) {
			t.Errorf("%s is not in the file", want)
		}
	}
}

// A table joins the answers of its queries and shows the wanted columns alone; a
// row that is shut keeps its panels inside, and the next row follows its heading.
func TestTablesAndShutRows(t *testing.T) {
	l := readBack(t, everyKind())
	var kinds, titles []string
	for _, p := range l.Panels {
		kinds = append(kinds, p.Type)
		if p.Type == "row" {
			titles = append(titles, fmt.Sprintf("%s %s %d at %d", p.Title, p.Repeat, len(p.Panels), p.GridPos.Y))
		}
	}
	if want := []string{"row", "timeseries", "stat", "heatmap", "state-timeline", "bargauge", "text", "table", "row", "row", "timeseries"}; !slices.Equal(kinds, want) {
		t.Errorf("panels %q, want %q", kinds, want)
	}
	if want := []string{"Open case 0 at 0", "Closed  7 at 36", "Last  0 at 37"}; !slices.Equal(titles, want) {
		t.Errorf("rows %q, want %q", titles, want)
	}
	made, err := json.Marshal(l.Panels[7].Transformations)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"id":"merge","options":{}},{"id":"filterFieldsByName","options":{"include":{"names":["x","Value #A","Value #B"]}}},` +
		`{"id":"organize","options":{"excludeByName":{},"indexByName":{"Value #A":1,"Value #B":2,"x":0},"renameByName":{"Value #A":"A","Value #B":"B","x":"X"}}}]`
	if string(made) != want {
		t.Errorf("transformations\n got %s\nwant %s", made, want)
	}
}

// At 1280 px a column is 50 px wide, and a phone shows the panels below one another
// in their order: lines are never narrower than 6 columns, a table or states over
// time than 8, and legends stand below.
func TestPanelsCanBeReadOnNarrowScreens(t *testing.T) {
	least := map[Kind]int{Graph: 6, Heatmap: 8, StateTimeline: 8, Table: 8, BarGauge: 6, Text: 6, Stat: 3}
	for _, d := range append(committedDashboards(), everyKind()) {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				if width, _ := p.size(); width < least[p.Kind] {
					t.Errorf("%s / %s is %d columns wide: at least %d", d.UID, p.Title, width, least[p.Kind])
				}
			}
		}
		content, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(`"placement": "right"`)) {
			t.Errorf("%s has a legend beside its lines", d.UID)
		}
	}
}

// The links of panels keep the time and every variable.
func TestLinksKeepTimeAndVariables(t *testing.T) {
	links := 0
	for _, d := range committedDashboards() {
		for _, p := range readBack(t, d).Panels {
			for _, link := range append(p.Links, linksIn(p.Panels)...) {
				links++
				if !strings.HasPrefix(link.URL, "/d/soakd-") || !strings.HasSuffix(link.URL, "?${__url_time_range}&${__all_variables}") {
					t.Errorf("%s / %s: the link %s loses the time or variables", d.UID, p.Title, link.URL)
				}
			}
		}
	}
	if links == 0 {
		t.Error("no panel links to another dashboard")
	}
}

func linksIn(panels []loadedPanel) []struct{ URL string } {
	var all []struct{ URL string }
	for _, p := range panels {
		all = append(all, p.Links...)
	}
	return all
}
