package dashboards

import (
	"cmp"
	"slices"
	"strings"
)

// Dashboard describes one Grafana dashboard.
type Dashboard struct {
	// UID is the stable address of the dashboard: /d/UID.
	UID string
	// File is the name of its file in dashboards/.
	File string
	// Title and Description are shown on top and in the list of dashboards.
	Title, Description string
	// Variables come after those that all dashboards have: datasource, job, target
	// and instance.
	Variables []Variable
	// Rows stand below one another.
	Rows []Row
	// Range is how far back the dashboard looks when it is opened without a time:
	// "now-6h"; "" means an hour.
	Range string
	// Refresh is how often it asks again: "1m"; "" means 10 s. What looks back over
	// days has no need to be asked that often.
	Refresh string
	// DataSource is the UID of the Prometheus that is chosen when the dashboard is
	// opened; "" for Grafana's default one.
	DataSource string
	// Marks are the moments marked on its time axis.
	Marks []Annotation
}

// Variable is a choice on top of a dashboard: the values of one label of one
// metric, several or all of them at once.
type Variable struct {
	// Name is what queries call it, after a dollar sign.
	Name string
	// Title is what people read.
	Title string
	// Selector selects the series, Label the label whose values are offered.
	Selector, Label string
	// All is the regular expression that the choice of all stands for; "" means
	// the values that there are.
	All string
}

// Row is a heading and the panels below it.
type Row struct {
	Title  string
	Panels []Panel
	// Collapsed shows the heading alone until somebody opens it; its queries are
	// not run before that.
	Collapsed bool
	// Repeat is the variable for each of whose chosen values the row is shown once;
	// "" for once altogether. The title should name it: "Redis $node".
	Repeat string
}

// Kind is the way in which a panel shows its values.
type Kind int

// The kinds of panels.
const (
	// Graph draws lines over time.
	Graph Kind = iota
	// Stat shows the present value alone, and that it is unknown when it is.
	Stat
	// Heatmap draws a histogram over time.
	Heatmap
	// StateTimeline draws one bar a series over time, coloured by Thresholds and
	// worded by Texts: for values that are states.
	StateTimeline
	// Table has a row for each series now and the Columns.
	Table
	// BarGauge draws one horizontal bar a series, as long as its value is now.
	BarGauge
	// Text shows Markdown and asks for nothing.
	Text
)

// instant tells whether panels of the kind ask for this moment alone. Over a
// range they would still show the last value of a series that has ended.
func (k Kind) instant() bool { return k == Stat || k == Table || k == BarGauge }

// Panel is one picture.
type Panel struct {
	Title string
	// Description says what is shown and what to do about it.
	Description string
	Kind        Kind
	// Unit is one of Grafana's: "s", "bytes", "percentunit", "reqps", "short". A
	// text has none.
	Unit string
	// Width is in columns of 24, Height in rows of about 38 px; 0 means the usual
	// of the kind.
	Width, Height int
	// Limits fixes the ends of the scale: Min, or Min and Max.
	Limits Limits
	// Log draws a logarithmic scale.
	Log bool
	// Stack adds the lines up.
	Stack bool
	// Thresholds are drawn as lines, or colour the value.
	Thresholds []Threshold
	// Texts stand in place of values (0 "blind", 1 "sees").
	Texts map[int]string
	// Columns are those of a Table, from left to right. What is not among them is
	// not shown.
	Columns []Column
	// Markdown is what a Text shows.
	Markdown string
	// Detail is the UID of the dashboard that shows more.
	Detail string
	// Targets are the queries.
	Targets []Target
	// EmptyWhen says when a healthy system has nothing to show; "" means never.
	// It is added to the description.
	EmptyWhen string
}

// Column is one of a table: a label of the series, or the value of a query.
type Column struct {
	// Title is the heading. It is unique in its table.
	Title string
	// Label is shown; "" for the value of the query number Target, counted from 0.
	// Rows of several queries are joined by their labels, which therefore have to be
	// the same in all of them.
	Label  string
	Target int
	// Unit, Thresholds and Texts are those of the value; Unit "" means the panel's.
	Unit       string
	Thresholds []Threshold
	Texts      map[int]string
	// Sort puts the rows in the order of this column.
	Sort Sort
}

// Sort is the order of the rows of a table.
type Sort int

// The orders.
const (
	Unsorted Sort = iota
	HighestFirst
	LowestFirst
)

// Limits are the ends of a scale.
type Limits int

// The limits.
const (
	// FromZero starts the scale at 0.
	FromZero Limits = iota
	// ZeroToOne shows a ratio.
	ZeroToOne
	// Free leaves the scale to Grafana.
	Free
)

// Threshold is a value from which on the state is bad.
type Threshold struct {
	// Value is where Color starts; the colour below the first is green.
	Value float64
	Color string
	// Below turns it round: the colour holds below Value, and green from it on.
	Below bool
}

// Target is one query of a panel.
type Target struct {
	// Query is PromQL with Grafana's variables.
	Query string
	// Legend names the lines, with {{label}}.
	Legend string
	// Dashed draws a line that is aimed at or a limit.
	Dashed bool
	// Exemplars shows single requests with their trace ids.
	Exemplars bool
	// Interval is the shortest step of a graph, in Grafana's notation; "" for that of
	// the recordings that are read, or none.
	Interval string
}

// The colours of thresholds.
const (
	orange = "orange"
	red    = "red"
)

// warnAt is orange from warn on and red from bad on.
func warnAt(warn, bad float64) []Threshold {
	return []Threshold{{Value: warn, Color: orange}, {Value: bad, Color: red}}
}

// badAt is red from the value on.
func badAt(bad float64) []Threshold { return []Threshold{{Value: bad, Color: red}} }

// badBelow is red below the value.
func badBelow(bad float64) []Threshold { return []Threshold{{Value: bad, Color: red, Below: true}} }

// The addresses of the dashboards.
const (
	overviewUID = "soakd-overview"
	trafficUID  = "soakd-traffic"
	postgresUID = "soakd-postgres"
	redisUID    = "soakd-redis"
	apiUID      = "soakd-api"
	// dependenciesUID is that of what the API depends on besides.
	dependenciesUID = "soakd-dependencies"
	invalidUID      = "soakd-invalid"
	trendsUID       = "soakd-trends"
	regressionsUID  = "soakd-regressions"
	sloUID          = "soakd-slo"
	recoveryUID     = "soakd-recovery"
	selfUID         = "soakd-self"
)

// All returns the dashboards that fit the settings, the overview first.
func (s Settings) All() []Dashboard {
	s = s.resolved()
	all := s.fitting(s.everyDashboard())
	for i := range all {
		all[i].DataSource, all[i].Marks = s.DataSource, s.annotations()
		if all[i].readsRecordings() {
			all[i].setIntervals()
			all[i].Description += " Some panels read recordings: Prometheus must have " + RulesFile + " loaded."
		}
	}
	if s.Native {
		for i := range all {
			all[i] = all[i].inNative()
		}
	}
	return all
}

// setIntervals keeps the steps of graphs as long as the time between two
// evaluations of the recordings that they read.
func (d Dashboard) setIntervals() {
	for _, row := range d.Rows {
		for _, p := range row.Panels {
			for i := range p.Targets {
				p.Targets[i].Interval = cmp.Or(p.Targets[i].Interval, shortestStep(p.Targets[i].Query))
			}
		}
	}
}

// readsRecordings reports whether a panel needs the rules to be loaded.
func (d Dashboard) readsRecordings() bool {
	for _, row := range d.Rows {
		for _, p := range row.Panels {
			if slices.ContainsFunc(p.Targets, func(t Target) bool { return strings.Contains(t.Query, ":soakd_") }) {
				return true
			}
		}
	}
	return false
}

func (s Settings) everyDashboard() []Dashboard {
	return []Dashboard{
		s.overviewDashboard(), s.trafficDashboard(), invalidDashboard(),
		postgresDashboard(), redisDashboard(), apiDashboard(), dependenciesDashboard(),
		trendsDashboard(), s.regressionsDashboard(), s.sloDashboard(), recoveryDashboard(), s.selfDashboard(),
	}
}

// commonVariables are on every dashboard, so that links between them keep the
// choice. Target is what is under load, by its name; instance is soakd's own
// address as Prometheus scrapes it: one instance, one target, but a target may
// have several as shards. Queries select by instance, of which those of the chosen
// targets are offered. All of them are all soakds and not .*, which would let the
// process_* metrics of everything else in.
func commonVariables() []Variable {
	const runs = "soakd_run_info"
	return []Variable{
		{Name: "job", Title: "Job", Selector: runs, Label: "job"},
		{Name: "target", Title: "Target", Selector: runs + `{job=~"$job"}`, Label: "target"},
		{Name: "instance", Title: "soakd instance", Selector: runs + `{job=~"$job",target=~"$target"}`, Label: "instance"},
	}
}

// Annotation marks moments on the time axis of every dashboard.
type Annotation struct {
	// Name and Color are what people see.
	Name, Color string
	// Signal is a query that has data on a healthy system; the moments at which
	// it meets Condition are marked.
	Signal, Condition string
	// Text is shown for a moment, with {{label}}.
	Text string
}

// Annotations are those of every dashboard of a soakd that has every part.
func Annotations() []Annotation {
	return []Annotation{
		{
			Name: "Target restarted", Color: red, Text: "The target's process behind {{replica}} started anew.",
			Signal: "increase(" + sel("soakd_api_restarts_total") + "[$__rate_interval])", Condition: "> 0",
		},
		{
			Name: "Finding", Color: orange, Text: "soakd found {{kind}}: /api/v1/findings has its figures, the runbook a section for its kind.",
			Signal: "increase(" + sel("soakd_findings_total") + "[$__rate_interval])", Condition: "> 0",
		},
		{
			Name: "Load, drill, note", Color: "yellow", Text: "{{kind}}: /api/v1/events says more.",
			Signal: "increase(" + sel("soakd_events_total", `kind=~"load|annotation|drill"`) + "[$__rate_interval])", Condition: "> 0",
		},
		{
			Name: "Version of the target", Color: "purple", Text: "The target answers as version {{version}}.",
			// 1 for a version that was not there before, else 0. The first version that a
			// soakd sees is no change.
			Signal: sel("soakd_target_info") + " - (" + sel("soakd_target_info") + " offset $__rate_interval or 0 * " + sel("soakd_target_info") + ")" +
				" and on (job, instance) " + sel("soakd_target_info") + " offset $__rate_interval",
			Condition: "> 0",
		},
		{
			Name: "soakd restarted", Color: "blue", Text: "soakd itself started anew: counters begin at 0.",
			Signal:    "changes(" + sel("process_start_time_seconds") + "[$__rate_interval])",
			Condition: "> 0",
		},
	}
}
