package postgres

import (
	"context"
	"errors"
	"slices"

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
	prepared, oldestPrepared, transactionAge                              *probes.Desc
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
		prepared:          d.Gauge("soakd_postgres_prepared_transactions", "Prepared transactions that are neither committed nor rolled back: a forgotten one holds its locks through restarts."),
		oldestPrepared:    d.Gauge("soakd_postgres_prepared_transaction_oldest_seconds", "Age of the oldest of them; absent when there is none."),
		transactionAge:    d.Gauge("soakd_postgres_transaction_id_age", "Transactions since the oldest that any database still has to freeze. The server stops taking writes near 2^31; autovacuum freezes from autovacuum_freeze_max_age on (200 million)."),
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

// Without pg_monitor a role sees the rows of others, but not their backend_type.
const activityQuery = `
SELECT coalesce(backend_type, ''), coalesce(application_name, ''), coalesce(state, ''),
       coalesce(wait_event_type, ''), count(*)::float8
FROM pg_stat_activity
WHERE backend_type = 'client backend' OR backend_type IS NULL
GROUP BY 1, 2, 3, 4`

const agesQuery = `
SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float8,
       extract(epoch FROM clock_timestamp() - min(query_start) FILTER (WHERE state = 'active'))::float8,
       extract(epoch FROM clock_timestamp()
         - min(state_change) FILTER (WHERE state LIKE 'idle in transaction%'))::float8,
       (SELECT count(*) FROM pg_prepared_xacts)::float8,
       (SELECT extract(epoch FROM clock_timestamp() - min(prepared)) FROM pg_prepared_xacts)::float8,
       (SELECT max(age(datfrozenxid)) FROM pg_database)::float8
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type NOT IN ('autovacuum launcher', 'autovacuum worker', 'walsender')
  AND xact_start IS NOT NULL`

func (a *activity) read(ctx context.Context, s *session, reading *probes.Reading) error {
	counts := tally{backends: map[[2]string]float64{}, waiting: map[string]float64{}, folded: map[string]bool{}}
	var kind, application, state, wait string
	var n float64
	err := s.rows(ctx, activityQuery, nil, []any{&kind, &application, &state, &wait, &n}, func() error {
		counts.hidden = counts.hidden || kind == ""
		a.count(&counts, application, state, wait, n)
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
	return a.readAges(ctx, s, reading)
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

func (a *activity) readAges(ctx context.Context, s *session, reading *probes.Reading) error {
	descs := []*probes.Desc{a.oldest, a.oldestQuery, a.idleInTransaction, a.prepared, a.oldestPrepared, a.transactionAge}
	values := make([]*float64, len(descs))
	targets := make([]any, len(descs))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := s.row(ctx, agesQuery, targets...); err != nil {
		return err
	}
	for i, desc := range descs {
		addIf(reading, desc, values[i])
	}
	return nil
}

func sortedValues(labels map[string]string) []string {
	values := make([]string, 0, len(labels))
	for _, value := range labels {
		values = append(values, value)
	}
	slices.Sort(values)
	return values
}
