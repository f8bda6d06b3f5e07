package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"soakd/internal/probes"
)

// errHidden is what a role without pg_monitor gets: its counts would be wrong.
var errHidden = probes.Because(probes.ReasonPermission, errors.New("the role does not see other roles' sessions; GRANT pg_monitor to it"))

// applications are the values of application_name that are labels: those of the
// operator's list and soakd's own.
type applications []string

func newApplications(configured []string) applications {
	named := append(applications{ownApplication}, configured...)
	slices.Sort(named)
	return slices.Compact(named)
}

// label is the label value for an application_name.
func (a applications) label(name string) string {
	switch {
	case name == "":
		return none
	case slices.Contains(a, name):
		return name
	}
	return other
}

// activity reads pg_stat_activity.
type activity struct {
	applications applications

	backends, saturation, waiting, oldest, oldestQuery, idleInTransaction *probes.Desc
}

func newActivity(d *probes.Descs, named applications) *activity {
	return &activity{
		applications:      named,
		backends:          d.Gauge("soakd_postgres_backends", "Sessions of clients, by the configured values of application_name (soakd, none and other besides) and by state. Those of the API are its pool as the server sees it: active and idle_in_transaction are in use.", "application", "state"),
		saturation:        d.Gauge("soakd_postgres_connection_saturation_ratio", "Sessions of clients, divided by soakd_postgres_max_connections."),
		waiting:           d.Gauge("soakd_postgres_waiting_backends", "Active sessions of clients that wait, by what they wait for.", "wait_event_type"),
		oldest:            d.Gauge("soakd_postgres_oldest_transaction_seconds", "Age of the oldest open transaction, without soakd's own, vacuums and replication; absent when there is none."),
		oldestQuery:       d.Gauge("soakd_postgres_oldest_query_seconds", "How long the oldest query that is running has run, without soakd's own, vacuums and replication; absent when there is none."),
		idleInTransaction: d.Gauge("soakd_postgres_idle_in_transaction_oldest_seconds", "How long the session that is idle in a transaction for the longest has been so; absent when there is none."),
	}
}

func (*activity) name() string { return "activity" }

// stateLabel is the label value for a state of pg_stat_activity.
func stateLabel(state string) string {
	if label, ok := stateLabels()[state]; ok {
		return label
	}
	return other
}

// stateLabels maps the states of pg_stat_activity to label values.
func stateLabels() map[string]string {
	return map[string]string{
		"active": "active", "idle": "idle", "idle in transaction": "idle_in_transaction",
		"idle in transaction (aborted)": "idle_in_transaction_aborted", "fastpath function call": "fastpath", "disabled": "disabled",
	}
}

// waitLabels maps wait_event_type to label values.
func waitLabels() map[string]string {
	return map[string]string{
		"Activity": "activity", "BufferPin": "buffer_pin", "Client": "client", "Extension": "extension",
		"IO": "io", "IPC": "ipc", "Lock": "lock", "LWLock": "lwlock", "Timeout": "timeout",
	}
}

// tally counts sessions while the rows come in.
type tally struct {
	backends map[[2]string]float64
	waiting  map[string]float64
	folded   map[string]bool
	total    float64
	hidden   bool
}

// Without pg_monitor a role sees the rows of others, but not their query and
// backend_type. The type alone is missing for a moment of a new worker too.
// One look at the sessions serves for all: a second one would cost as much as
// the first on a server that has a thousand.
const activityQuery = `
SELECT coalesce(backend_type, ''), coalesce(application_name, ''), coalesce(state, ''), coalesce(wait_event_type, ''), count(*)::float8,
       bool_or(backend_type IS NULL AND query = '<insufficient privilege>'),
       extract(epoch FROM clock_timestamp() - min(xact_start))::float8,
       extract(epoch FROM clock_timestamp() - min(query_start) FILTER (WHERE xact_start IS NOT NULL))::float8,
       extract(epoch FROM clock_timestamp() - min(state_change) FILTER (WHERE xact_start IS NOT NULL))::float8
FROM pg_stat_activity
GROUP BY 1, 2, 3, 4`

// sessionGroup are the sessions of one row: all with the same values but the ages, which
// are of the oldest among them, in seconds, and nil without a transaction.
type sessionGroup struct {
	kind, application, state, wait string
	n                              float64
	hidden                         *bool
	inTransaction, query, changed  *float64
}

func (a *activity) read(ctx context.Context, s *session, reading *probes.Reading) error {
	counts := tally{backends: map[[2]string]float64{}, waiting: map[string]float64{}, folded: map[string]bool{}}
	var found ages
	var one sessionGroup
	targets := []any{&one.kind, &one.application, &one.state, &one.wait, &one.n, &one.hidden, &one.inTransaction, &one.query, &one.changed}
	err := s.rows(ctx, activityQuery, nil, targets, func() error {
		counts.hidden = counts.hidden || one.hidden != nil && *one.hidden
		if one.kind == "client backend" {
			a.count(&counts, one.application, one.state, one.wait, one.n)
		}
		found.take(one)
		return nil
	})
	if err != nil {
		return err
	}
	if counts.hidden {
		return errHidden
	}
	a.add(reading, &counts)
	if s.usable > 0 {
		reading.Add(a.saturation, counts.total/float64(s.usable))
	}
	addIf(reading, a.oldest, found.transaction)
	addIf(reading, a.oldestQuery, found.query)
	addIf(reading, a.idleInTransaction, found.idle)
	return nil
}

// ages are the greatest ages, in seconds; nil when there is none.
type ages struct{ transaction, query, idle *float64 }

// take takes in the sessions of a row, unless their transactions are meant to
// last or are soakd's own.
func (a *ages) take(s sessionGroup) {
	switch {
	case s.application == ownApplication, s.kind == "autovacuum launcher", s.kind == "autovacuum worker", s.kind == "walsender":
		return
	}
	a.transaction = older(a.transaction, s.inTransaction)
	switch {
	case s.state == "active":
		a.query = older(a.query, s.query)
	case strings.HasPrefix(s.state, "idle in transaction"):
		a.idle = older(a.idle, s.changed)
	}
}

// older returns the greater one; nil is no age.
func older(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// count takes in n sessions of a kind.
func (a *activity) count(counts *tally, application, state, wait string, n float64) {
	label := a.applications.label(application)
	if label == other {
		counts.folded[application] = true
	}
	counts.total += n
	counts.backends[[2]string{label, stateLabel(state)}] += n
	if wait == "" || state != "active" {
		return
	}
	waitLabel, ok := waitLabels()[wait]
	if !ok {
		waitLabel = other
	}
	counts.waiting[waitLabel] += n
}

// add gives every combination, also those that are 0: a series that comes and
// goes is hard to alert on.
func (a *activity) add(reading *probes.Reading, counts *tally) {
	states := append(sortedValues(stateLabels()), other)
	for _, application := range append(slices.Clone(a.applications), none, other) {
		for _, state := range states {
			reading.Add(a.backends, counts.backends[[2]string{application, state}], application, state)
		}
	}
	for _, wait := range append(sortedValues(waitLabels()), other) {
		reading.Add(a.waiting, counts.waiting[wait], wait)
	}
	reading.Overflow += len(counts.folded)
}

func sortedValues(labels map[string]string) []string {
	values := make([]string, 0, len(labels))
	for _, value := range labels {
		values = append(values, value)
	}
	slices.Sort(values)
	return values
}
