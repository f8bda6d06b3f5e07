package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

const (
	// other is the label value of what is not in an enumeration.
	other = "other"
	// maxErrors bounds how many errors of one kind are joined.
	maxErrors = 5
)

// node reads one server and remembers of it what the next poll needs.
type node struct {
	// name is the label: host:port.
	name    string
	metrics *metrics
	now     func() time.Time

	hits     hitWindow
	times    timesWindow
	lifetime lifetime
	slow     slowlog
	sections sections
	rights   rights
}

// commander is what a node is asked with: a client.
type commander interface {
	Pipeline() goredis.Pipeliner
	Ping(ctx context.Context) *goredis.StatusCmd
	PoolStats() *goredis.PoolStats
}

// newNode makes a node whose changes are computed over a window of that length.
func newNode(name string, metrics *metrics, length time.Duration) *node {
	return &node{
		name: name, metrics: metrics, now: time.Now,
		hits: hitWindow{window[lookups]{length: length}}, times: timesWindow{window[map[string]distribution]{length: length}},
	}
}

// read asks for all in one round trip, and for the time of a PING in a second
// one. What could be read is added also when it returns an error.
func (n *node) read(ctx context.Context, client commander, reading *probes.Reading) error {
	q := n.ask(ctx, client, reading)
	if q.failed == nil && n.sections.refused(q.info.Err()) {
		q = n.ask(ctx, client, reading) // the other way to ask
	}
	if q.failed != nil {
		return fmt.Errorf("INFO: %w", because(q.failed))
	}
	text, err := q.info.Result()
	if err != nil && !refused(err) {
		// The rest fails alike, or tells of a server that cannot serve.
		return fmt.Errorf("INFO: %w", because(err))
	}
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("INFO: %w", because(err)))
	} else {
		fields, err := parseInfo(text)
		errs = append(errs, protocol(errors.Join(err, n.readInfo(reading, fields))))
		n.sections.choose(fields)
	}
	return errors.Join(append(errs, n.readPing(ctx, client, reading), n.readSlowlog(q, reading), n.readLatency(q, reading), n.readTimes(q, reading), n.readThresholds(q, reading))...)
}

// protocol says of an error of what was read that the answer is not as it should
// be.
func protocol(err error) error { return probes.Because(probes.ReasonProtocol, err) }

// questions are the commands of one round trip; nil is what was not asked.
type questions struct {
	// failed is why none of them was sent. Else each has its own error.
	failed     error
	info       *goredis.StringCmd
	slowlog    *goredis.SlowLogCmd
	latency    *goredis.Cmd
	times      *goredis.Cmd
	thresholds map[string]*goredis.Cmd
}

// ask sends all questions in one round trip.
func (n *node) ask(ctx context.Context, client commander, reading *probes.Reading) questions {
	now := n.now()
	pipe := client.Pipeline()
	q := questions{info: pipe.Info(ctx, n.sections.names()...)}
	if n.rights.has(slowlogCommand, now) {
		q.slowlog = pipe.SlowLogGet(ctx, n.slow.wanted())
	}
	if n.rights.has(latencyCommand, now) {
		q.latency = pipe.Do(ctx, "LATENCY", "LATEST")
	}
	if len(n.metrics.times.asked) > 0 && n.sections.form == formSections && n.rights.has(timesCommand, now) {
		q.times = pipe.Do(ctx, n.metrics.times.question()...)
	}
	if n.metrics.thresholds.wanted && n.rights.has(configCommand, now) {
		q.thresholds = map[string]*goredis.Cmd{}
		for _, name := range []string{slowlogThreshold, latencyThreshold} {
			q.thresholds[name] = pipe.Do(ctx, "CONFIG", "GET", name)
		}
	}
	q.failed = execute(ctx, client, pipe, &reading.Cost)
	return q
}

// readInfo adds what INFO tells. Each part stands for itself.
func (n *node) readInfo(reading *probes.Reading, fields info) error {
	m, name := n.metrics, n.name
	n.addLifetime(reading, fields)
	n.addHitRatio(reading, fields)
	m.server.add(reading, name, fields)
	return errors.Join(
		addFields(reading, name, fields, m.fields), m.databases.add(reading, name, fields), addErrors(reading, m.errors, name, fields),
		m.commands.add(reading, name, fields), m.replicas.add(reading, name, fields),
	)
}

// addLifetime counts restarts and resets, and forgets what these make void.
func (n *node) addLifetime(reading *probes.Reading, fields info) {
	now := lifeOf(fields, n.now())
	if !now.known() {
		return
	}
	seen := n.lifetime.add(now)
	if seen != nothing {
		n.hits.clear()
		n.times.clear()
	}
	if seen == restarted || seen == replaced {
		// The slow log is another one; that of another server is old.
		n.slow = slowlog{total: n.slow.total}
		n.rights, n.sections = rights{}, sections{}
	}
	for event, desc := range map[event]*probes.Desc{reset: n.metrics.resets, restarted: n.metrics.restarts, replaced: n.metrics.replaced} {
		reading.Add(desc, float64(n.lifetime.counts[event]), n.name)
	}
}

func (n *node) addHitRatio(reading *probes.Reading, fields info) {
	hits, hasHits, hitsErr := fields.number("keyspace_hits")
	misses, hasMisses, missesErr := fields.number("keyspace_misses")
	if !hasHits || !hasMisses || hitsErr != nil || missesErr != nil {
		return // a malformed field is reported as such
	}
	if ratio, ok := n.hits.add(n.now(), lookups{hits: hits, misses: misses}); ok {
		reading.Add(n.metrics.hitRatio, ratio, n.name)
	}
}

// readPing adds the round trip. The questions have made the connection before;
// where it has ended since, there is none: it would be the time of a login.
func (n *node) readPing(ctx context.Context, client commander, reading *probes.Reading) error {
	var err error
	trip := goRound(ctx, client, func(ctx context.Context) { err = client.Ping(ctx).Err() })
	if trip.sent {
		reading.Cost.Plus(probes.Cost{Queries: 1, Time: trip.took})
	}
	if err != nil {
		return fmt.Errorf("PING: %w", because(err))
	}
	if !trip.connected {
		reading.Add(n.metrics.ping, trip.took.Seconds(), n.name)
	}
	return nil
}

// Commands that the probe can do without, as a right names them.
const (
	slowlogCommand = "slowlog|get"
	latencyCommand = "latency|latest"
	timesCommand   = "latency|histogram" // from Redis 7 on, as several sections of INFO
	configCommand  = "config|get"
)

// answered reports whether the command that stands for the right was answered.
// It is no error when the server does not let the probe ask.
func (n *node) answered(right string, err error) (bool, error) {
	switch {
	case err == nil:
		return true, nil
	case refused(err):
		n.rights.refuse(right, n.now())
		return false, nil
	default:
		return false, fmt.Errorf("%s: %w", strings.ToUpper(strings.ReplaceAll(right, "|", " ")), because(err))
	}
}

// readSlowlog adds how many entries the slow log got.
func (n *node) readSlowlog(q questions, reading *probes.Reading) error {
	if q.slowlog == nil {
		return nil
	}
	entries, err := q.slowlog.Result()
	if ok, err := n.answered(slowlogCommand, err); !ok {
		return err
	}
	n.slow.add(entries)
	reading.Add(n.metrics.slowlog, float64(n.slow.total), n.name)
	return nil
}

// readLatency adds the events of the latency monitor.
func (n *node) readLatency(q questions, reading *probes.Reading) error {
	if q.latency == nil {
		return nil
	}
	answer, err := q.latency.Result()
	if ok, err := n.answered(latencyCommand, err); !ok {
		return err
	}
	events, err := parseLatency(answer)
	if err != nil {
		return protocol(fmt.Errorf("LATENCY LATEST: %w", err))
	}
	n.metrics.latency.add(reading, n.name, events)
	return nil
}

// readTimes adds how long the calls of each command took.
func (n *node) readTimes(q questions, reading *probes.Reading) error {
	if q.times == nil {
		return nil
	}
	answer, err := q.times.Result()
	if ok, err := n.answered(timesCommand, err); !ok {
		return err
	}
	times, err := parseTimes(answer)
	if err != nil {
		return protocol(fmt.Errorf("LATENCY HISTOGRAM: %w", err))
	}
	n.metrics.times.add(reading, n.name, times, n.times.add(n.now(), times))
	return nil
}

// readThresholds adds from when on the server calls something slow.
func (n *node) readThresholds(q questions, reading *probes.Reading) error {
	var errs []error
	for name, question := range q.thresholds {
		answer, err := question.Slice()
		if ok, err := n.answered(configCommand, err); !ok {
			errs = append(errs, err)
			continue
		}
		if len(answer) < 2 {
			continue // a server that does not have the setting
		}
		if err := n.metrics.thresholds.add(reading, n.name, name, fmt.Sprint(answer[1])); err != nil {
			errs = append(errs, protocol(fmt.Errorf("CONFIG GET: %w", err)))
		}
	}
	return joinSome(errs)
}

// joinSome joins the first errors in the order of their texts, so that the same
// fault is the same text at each poll.
func joinSome(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs[:min(len(errs), maxErrors)]...)
}
