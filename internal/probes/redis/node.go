package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

const (
	// maxDatabases bounds the label db: the lowest numbers get their own series.
	maxDatabases = 16
	// other is the label value of what is not in an enumeration.
	other = "other"
)

// node reads one server and remembers of it what the next poll needs.
type node struct {
	// name is the label: host:port.
	name    string
	metrics *metrics
	now     func() time.Time

	hits     hitWindow
	run      string
	restarts int
	slow     slowlog
}

// commander is what a node is asked with: a client or one connection.
type commander interface {
	Info(ctx context.Context, section ...string) *goredis.StringCmd
	Ping(ctx context.Context) *goredis.StatusCmd
	SlowLogGet(ctx context.Context, n int64) *goredis.SlowLogCmd
}

func newNode(name string, metrics *metrics, window time.Duration) *node {
	return &node{name: name, metrics: metrics, now: time.Now, hits: hitWindow{window: window}}
}

// read asks for INFO, the time of a PING, and the newest of the slow log. What
// could be read is added also when it returns an error.
func (n *node) read(ctx context.Context, client commander, reading *probes.Reading) error {
	text, err := client.Info(ctx).Result()
	if err != nil && !refused(err) {
		return fmt.Errorf("INFO: %w", err)
	}
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("INFO: %w", err))
	} else {
		fields, err := parseInfo(text)
		errs = append(errs, err, n.readInfo(reading, fields))
	}
	return errors.Join(append(errs, n.readPing(ctx, client, reading), n.readSlowlog(ctx, client, reading))...)
}

// refused reports whether the server lives but does not let the probe do it.
func refused(err error) bool {
	return goredis.HasErrorPrefix(err, "NOPERM") || goredis.HasErrorPrefix(err, "unknown command")
}

// readInfo adds what INFO tells. Each part stands for itself.
func (n *node) readInfo(reading *probes.Reading, fields info) error {
	var errs []error
	for _, f := range n.metrics.fields {
		value, ok, err := fields.number(f.name)
		errs = append(errs, err)
		if ok {
			reading.Add(f.desc, value, n.name)
		}
	}
	n.addRun(reading, fields["run_id"])
	errs = append(errs, n.addHitRatio(reading, fields), n.addLimit(reading, fields), n.addCPU(reading, fields),
		n.addDatabases(reading, fields), n.addErrors(reading, fields))
	n.addPolicy(reading, fields["maxmemory_policy"])
	n.addMasterLink(reading, fields["master_link_status"])
	return errors.Join(errs...)
}

// addRun counts the changes of the server's run id.
func (n *node) addRun(reading *probes.Reading, run string) {
	if run == "" {
		return
	}
	if n.run != "" && n.run != run {
		n.restarts++
		// It may be another server behind the same address, whose log is old.
		n.slow = slowlog{total: n.slow.total}
	}
	n.run = run
	reading.Add(n.metrics.restarts, float64(n.restarts), n.name)
}

func (n *node) addHitRatio(reading *probes.Reading, fields info) error {
	hits, hasHits, hitsErr := fields.number("keyspace_hits")
	misses, hasMisses, missesErr := fields.number("keyspace_misses")
	if !hasHits || !hasMisses || hitsErr != nil || missesErr != nil {
		return nil // a malformed field was reported as such
	}
	if ratio, ok := n.hits.add(fields["run_id"], hitPoint{at: n.now(), hits: hits, misses: misses}); ok {
		reading.Add(n.metrics.hitRatio, ratio, n.name)
	}
	return nil
}

// addLimit leaves the metric out where maxmemory is 0, which means no limit.
func (n *node) addLimit(reading *probes.Reading, fields info) error {
	limit, ok, err := fields.number("maxmemory")
	if ok && limit > 0 {
		reading.Add(n.metrics.limit, limit, n.name)
	}
	return err
}

func (n *node) addCPU(reading *probes.Reading, fields info) error {
	var errs []error
	for _, mode := range []string{"user", "sys"} {
		seconds, ok, err := fields.number("used_cpu_" + mode)
		errs = append(errs, err)
		if ok {
			reading.Add(n.metrics.cpu, seconds, n.name, mode)
		}
	}
	return errors.Join(errs...)
}

// addPolicy adds the eviction policy, folded into "other" when it is unknown.
func (n *node) addPolicy(reading *probes.Reading, policy string) {
	if policy == "" {
		return
	}
	known := []string{
		"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
		"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
	}
	if !slices.Contains(known, policy) {
		policy = other
		reading.Overflow++
	}
	reading.Add(n.metrics.policy, 1, n.name, policy)
}

// addMasterLink adds the state of a replica's link; a master has none.
func (n *node) addMasterLink(reading *probes.Reading, status string) {
	switch status {
	case "up":
		reading.Add(n.metrics.masterLink, 1, n.name)
	case "down":
		reading.Add(n.metrics.masterLink, 0, n.name)
	}
}

// addDatabases adds the keys of each database.
func (n *node) addDatabases(reading *probes.Reading, fields info) error {
	databases := map[int]keyspace{}
	var errs []error
	for name, text := range fields {
		number, ok := databaseNumber(name)
		if !ok {
			continue
		}
		space, err := parseKeyspace(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("INFO: %s: %w", name, err))
			continue
		}
		databases[number] = space
	}
	n.addKeyspaces(reading, databases)
	return joinSorted(errs)
}

func (n *node) addKeyspaces(reading *probes.Reading, databases map[int]keyspace) {
	numbers := make([]int, 0, len(databases))
	for number := range databases {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var rest keyspace
	for i, number := range numbers {
		space := databases[number]
		if i >= maxDatabases {
			rest.keys, rest.expires = rest.keys+space.keys, rest.expires+space.expires
			reading.Overflow++
			continue
		}
		n.addKeyspace(reading, strconv.Itoa(number), space)
	}
	if len(numbers) > maxDatabases {
		n.addKeyspace(reading, other, rest)
	}
}

func (n *node) addKeyspace(reading *probes.Reading, db string, space keyspace) {
	reading.Add(n.metrics.keys, space.keys, n.name, db)
	reading.Add(n.metrics.expiring, space.expires, n.name, db)
}

// databaseNumber returns N of the field name dbN.
func databaseNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "db")
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	number, err := strconv.Atoi(digits)
	return number, err == nil
}

// addErrors adds the error replies by kind: the first word of the reply.
func (n *node) addErrors(reading *probes.Reading, fields info) error {
	counts := map[string]float64{}
	var errs []error
	for name, text := range fields {
		kind, ok := strings.CutPrefix(name, "errorstat_")
		if !ok {
			continue
		}
		parts, err := parseParts(text)
		count, hasCount := parts["count"]
		if err != nil || !hasCount {
			errs = append(errs, fmt.Errorf("INFO: %.60s: %.60q is not count=number", name, text))
			continue
		}
		if !knownErrors(kind) {
			kind = other
			reading.Overflow++
		}
		counts[strings.ToLower(kind)] += count
	}
	for kind, count := range counts {
		reading.Add(n.metrics.errors, count, n.name, kind)
	}
	return joinSorted(errs)
}

// knownErrors reports whether kind is one of the error codes of Redis' source
// and documentation. Scripts and modules may send any other word.
func knownErrors(kind string) bool {
	switch kind {
	case "ASK", "BUSY", "BUSYGROUP", "BUSYKEY", "CLUSTERDOWN", "CROSSSLOT", "ERR", "EXECABORT", "LOADING",
		"MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOGROUP", "NOPERM", "NOREPLICAS", "NOSCRIPT", "OOM",
		"READONLY", "TRYAGAIN", "UNBLOCKED", "UNKILLABLE", "WRONGPASS", "WRONGTYPE":
		return true
	default:
		return false
	}
}

// readPing adds the round trip. INFO has made the connection before, so that it
// is not counted in.
func (n *node) readPing(ctx context.Context, client commander, reading *probes.Reading) error {
	start := time.Now()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("PING: %w", err)
	}
	reading.Add(n.metrics.ping, time.Since(start).Seconds(), n.name)
	return nil
}

// readSlowlog adds how many entries the slow log got. It is left out where the
// server does not let the probe ask.
func (n *node) readSlowlog(ctx context.Context, client commander, reading *probes.Reading) error {
	if n.now().Before(n.slow.askedAfter) {
		return nil
	}
	entries, err := client.SlowLogGet(ctx, n.slow.wanted()).Result()
	switch {
	case err != nil && refused(err):
		n.slow.askedAfter = n.now().Add(slowlogRetry)
		return nil
	case err != nil:
		return fmt.Errorf("SLOWLOG GET: %w", err)
	}
	n.slow.add(entries)
	reading.Add(n.metrics.slowlog, float64(n.slow.total), n.name)
	return nil
}

// joinSorted joins errors that come from a map in a steady order, so that the
// same fault is the same text at each poll.
func joinSorted(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
