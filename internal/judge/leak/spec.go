package leak

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Spec is a metric whose series are watched for growth without end.
type Spec struct {
	// Metric is the gauge's name. Only is a label that its series must have, as
	// Prometheus writes it (`state="in_use"`); "" for all of them.
	Metric, Only string
	// Limit is the gauge that holds what it may grow to, "" when there is none; of its
	// series the one whose labels are all labels of the watched one too. LimitOnly is
	// a label that the limit's series has besides (`state="max"`).
	Limit, LimitOnly string
	// Share is how much of the limit counts as full, above 0 and at most 1; 0 is 1.
	Share float64
	// Target is whose resource it is: "api", "postgres" or "redis".
	Target string
	// Name is what people call it ("resident memory"), and Unit its unit: "bytes" or "count".
	Name, Unit string
	// Lifetime is the metric that tells a new process: a counter of restarts that
	// gained, or a gauge of the start time that changed. "" when there is none.
	Lifetime string
	// Sum are labels whose series are added up.
	Sum []string
	// Least is the growth within a horizon, in Unit, below which nothing is said:
	// the step of a counted thing, the page of memory. 0 is 4 MiB for bytes and 4
	// for counts.
	Least float64
}

// DefaultSpecs are the resources that a soak is there to watch. Not among them: the
// page cache, dead rows and sizes of tables, which are meant to grow.
func DefaultSpecs() []Spec {
	const (
		apiLife   = "soakd_api_restarts_total"
		redisLife = "soakd_redis_restarts_total"
		memory    = "soakd_api_memory_limit_bytes"
		pool      = "soakd_api_pool_connections"
	)
	return []Spec{
		{Metric: "soakd_api_resident_memory_bytes", Limit: memory, Target: "api", Name: "resident memory", Unit: Bytes, Lifetime: apiLife},
		{Metric: "soakd_api_heap_bytes", Limit: memory, Target: "api", Name: "heap", Unit: Bytes, Lifetime: apiLife},
		{Metric: "soakd_api_memory_working_set_bytes", Limit: memory, Target: "api", Name: "working set", Unit: Bytes, Lifetime: apiLife},
		{Metric: "soakd_api_open_fds", Limit: "soakd_api_max_fds", Target: "api", Name: "open files", Unit: Count, Lifetime: apiLife},
		{Metric: "soakd_api_goroutines", Target: "api", Name: "goroutines", Unit: Count, Lifetime: apiLife},
		{Metric: "soakd_api_threads", Limit: "soakd_api_max_threads", Target: "api", Name: "threads", Unit: Count, Lifetime: apiLife},
		{Metric: "soakd_api_processes", Target: "api", Name: "processes", Unit: Count, Lifetime: apiLife},
		{Metric: "soakd_api_in_flight_requests", Target: "api", Name: "requests in flight", Unit: Count, Lifetime: apiLife},
		{Metric: pool, Only: `state="in_use"`, Limit: pool, LimitOnly: `state="max"`, Target: "api", Name: "pool connections in use", Unit: Count, Lifetime: apiLife},
		{Metric: "soakd_api_thread_pool_queued_tasks", Target: "api", Name: "queued tasks", Unit: Count, Lifetime: apiLife},
		{Metric: "soakd_postgres_backends", Limit: "soakd_postgres_max_connections", Target: "postgres", Name: "connections", Unit: Count, Lifetime: "soakd_postgres_start_time_seconds", Sum: []string{"state"}},
		{Metric: "soakd_postgres_prepared_transactions", Target: "postgres", Name: "prepared transactions", Unit: Count, Lifetime: "soakd_postgres_start_time_seconds"},
		{Metric: "soakd_redis_memory_used_bytes", Limit: "soakd_redis_memory_limit_bytes", Target: "redis", Name: "memory used", Unit: Bytes, Lifetime: redisLife},
		{Metric: "soakd_redis_connected_clients", Limit: "soakd_redis_max_clients", Target: "redis", Name: "clients", Unit: Count, Lifetime: redisLife},
	}
}

// The units of what is watched.
const (
	Bytes = "bytes"
	Count = "count"
)

// Config says what is watched and what is a leak. The zero value is the default.
type Config struct {
	// Specs are what is watched; nil is DefaultSpecs.
	Specs []Spec
	// MaxSeries bounds the series, and with them the memory (about 20 kB each): what
	// comes beyond is not watched. 0 is 256.
	MaxSeries int
	// Within is how soon the limit has to be reached for growth to matter; 0 is 14 days.
	Within time.Duration
	// DoubleWithin is how soon what has no limit has to double; 0 is 4 days, which is
	// 1 % of its level an hour.
	DoubleWithin time.Duration
	// Confidence is what a leak needs after the correction for all looks of a week
	// at all series and horizons; 0 is 0.9999.
	Confidence float64
}

func (c Config) withDefaults() Config {
	if c.Specs == nil {
		c.Specs = DefaultSpecs()
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 256
	}
	if c.Within == 0 {
		c.Within = 14 * 24 * time.Hour
	}
	if c.DoubleWithin == 0 {
		c.DoubleWithin = 4 * 24 * time.Hour
	}
	if c.Confidence == 0 {
		c.Confidence = 0.9999
	}
	return c
}

func (c Config) validate() error {
	var mistakes []error
	if c.MaxSeries < 0 {
		mistakes = append(mistakes, fmt.Errorf("leaks: %d series are to be watched: at least 1", c.MaxSeries))
	}
	if c.Within < 0 || c.DoubleWithin < 0 {
		mistakes = append(mistakes, errors.New("leaks: the times to the limit and to double have to be above 0"))
	}
	if c.Confidence < 0.5 || c.Confidence >= 1 {
		mistakes = append(mistakes, fmt.Errorf("leaks: the confidence is %g: at least 0.5 and below 1, such as 0.9999", c.Confidence))
	}
	for _, spec := range c.Specs {
		if spec.Metric == "" || spec.Target == "" {
			mistakes = append(mistakes, fmt.Errorf("leaks: the spec of %q for the target %q needs both", spec.Metric, spec.Target))
		}
		if spec.Share < 0 || spec.Share > 1 {
			mistakes = append(mistakes, fmt.Errorf("leaks: the share of the limit of %s is %g: above 0 and at most 1", spec.Metric, spec.Share))
		}
		if spec.Unit != Bytes && spec.Unit != Count {
			mistakes = append(mistakes, fmt.Errorf("leaks: the unit of %s is %q: %q or %q", spec.Metric, spec.Unit, Bytes, Count))
		}
	}
	return errors.Join(mistakes...)
}

func (s *Spec) least() float64 {
	switch {
	case s.Least > 0:
		return s.Least
	case s.Unit == Bytes:
		return 4 << 20
	default:
		return 4
	}
}

func (s *Spec) share() float64 {
	if s.Share == 0 {
		return 1
	}
	return s.Share
}

// splitLabels takes labels as Prometheus writes them apart: name="value" each. A
// comma within a value does not part.
func splitLabels(labels string) []string {
	var parts []string
	quoted, from := false, 0
	for i := 0; i < len(labels); i++ {
		switch labels[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				parts = append(parts, labels[from:i])
				from = i + 1
			}
		}
	}
	if from < len(labels) {
		parts = append(parts, labels[from:])
	}
	return parts
}

// reduced leaves out the labels that are added up; ok is false when a label that
// the spec wants is not there.
func (s *Spec) reduced(labels string) (rest string, ok bool) {
	if s.Only == "" && len(s.Sum) == 0 {
		return labels, true
	}
	parts := splitLabels(labels)
	ok = s.Only == ""
	kept := parts[:0]
	for _, part := range parts {
		ok = ok || part == s.Only
		name, _, _ := strings.Cut(part, "=")
		summed := false
		for _, sum := range s.Sum {
			summed = summed || name == sum
		}
		if !summed {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ","), ok
}

// belongs tells whether the other series is of the same owner: all of its labels,
// but for the one that it must have, are labels of the watched series.
func belongs(other, only, labels string) bool {
	own := splitLabels(labels)
	found := only == ""
	for _, part := range splitLabels(other) {
		if part == only {
			found = true
			continue
		}
		shared := false
		for _, mine := range own {
			shared = shared || mine == part
		}
		if !shared {
			return false
		}
	}
	return found
}

// owner writes the labels for people: "replica main, application api"; label names
// that only repeat the target are of use still, as there may be several.
func owner(labels string) string {
	var parts []string
	for _, part := range splitLabels(labels) {
		name, value, _ := strings.Cut(part, "=")
		parts = append(parts, name+" "+strings.Trim(value, `"`))
	}
	return strings.Join(parts, ", ")
}
