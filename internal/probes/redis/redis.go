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
	"soakd/internal/secret"
)

const (
	// maxDatabases bounds the label db: the lowest numbers get their own series.
	maxDatabases = 16
	// slowlogRetry is after how long a server that refused SLOWLOG is asked
	// again: each refusal counts in its error statistics and its ACL log.
	slowlogRetry = 10 * time.Minute
	// maxSlowlog is how many entries of the slow log are read at once: the
	// server's default for slowlog-max-len. Redis cuts an entry's arguments to 32
	// of 128 bytes.
	maxSlowlog = 128
	// other is the label value of what is not in an enumeration.
	other = "other"
)

// probe watches one server. Poll is not called concurrently, so that its state
// needs no lock.
type probe struct {
	client *goredis.Client
	node   string
	hidden []secret.String
	now    func() time.Time

	descs   probes.Descs
	metrics metrics

	hits     hitWindow
	run      string
	restarts int
	slow     slowlog
}

// slowlog counts the entries that the slow log got. Ids start from 0 when the
// server does and go on after SLOWLOG RESET, so that an empty log does not tell
// where they are.
type slowlog struct {
	// total is how many came since the first poll.
	total int64
	// next is the id that the next entry gets, when known.
	next  int64
	known bool
	// empty tells that the log was empty at the last poll.
	empty      bool
	askedAfter time.Time
}

// wanted is how many entries add needs, the newest first.
func (s *slowlog) wanted() int64 {
	if s.empty && !s.known {
		return maxSlowlog
	}
	return 1
}

// add takes in the newest entries. The newest id tells how many came since the
// last poll, also of those that the log forgot because of slowlog-max-len. Into
// a log that was empty ever since, all that are there came since. What was there
// at the first poll of a server came before.
func (s *slowlog) add(entries []goredis.SlowLog) {
	if len(entries) == 0 {
		s.empty = true
		return
	}
	next := entries[0].ID + 1
	switch {
	case s.known && next >= s.next: // lower: a restart that no run id told of
		s.total += next - s.next
	case s.empty:
		s.total += int64(len(entries))
	}
	s.next, s.known, s.empty = next, true, false
}

// metrics are the descriptions of what is not a plain field of INFO.
type metrics struct {
	fields                                           []field
	hitRatio, limit, policy, restarts, ping, slowlog *probes.Desc
	keys, expiring, errors, cpu, masterLink          *probes.Desc
}

// field is a field of INFO that is a metric as it stands.
type field struct {
	name string
	desc *probes.Desc
}

func newProbe(options goredis.Options, url secret.String, window time.Duration) *probe {
	p := &probe{
		node: options.Addr, now: time.Now, hits: hitWindow{window: window},
		hidden: []secret.String{secret.New(options.Password), url},
	}
	p.metrics = describe(&p.descs)
	p.client = newClient(options)
	return p
}

func (p *probe) Name() string             { return Name }
func (p *probe) Describe() []*probes.Desc { return p.descs }
func (p *probe) Close()                   { _ = p.client.Close() }

// Poll asks for INFO, the time of a PING, and the newest of the slow log.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	text, err := p.client.Info(ctx).Result()
	if err != nil && !refused(err) {
		return reading, probes.Brief(fmt.Errorf("INFO: %w", err), p.hidden...)
	}
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("INFO: %w", err))
	} else {
		fields, err := parseInfo(text)
		errs = append(errs, err, p.readInfo(&reading, fields))
	}
	errs = append(errs, p.readPing(ctx, &reading), p.readSlowlog(ctx, &reading))
	return reading, probes.Brief(errors.Join(errs...), p.hidden...)
}

// refused reports whether the server lives but does not let the probe do it.
func refused(err error) bool {
	return goredis.HasErrorPrefix(err, "NOPERM") || goredis.HasErrorPrefix(err, "unknown command")
}

// readInfo adds what INFO tells. Each part stands for itself.
func (p *probe) readInfo(reading *probes.Reading, fields info) error {
	var errs []error
	for _, f := range p.metrics.fields {
		value, ok, err := fields.number(f.name)
		errs = append(errs, err)
		if ok {
			reading.Add(f.desc, value, p.node)
		}
	}
	p.addRun(reading, fields["run_id"])
	errs = append(errs, p.addHitRatio(reading, fields), p.addLimit(reading, fields), p.addCPU(reading, fields),
		p.addDatabases(reading, fields), p.addErrors(reading, fields))
	p.addPolicy(reading, fields["maxmemory_policy"])
	p.addMasterLink(reading, fields["master_link_status"])
	return errors.Join(errs...)
}

// addRun counts the changes of the server's run id.
func (p *probe) addRun(reading *probes.Reading, run string) {
	if run == "" {
		return
	}
	if p.run != "" && p.run != run {
		p.restarts++
		// It may be another server behind the same address, whose log is old.
		p.slow = slowlog{total: p.slow.total}
	}
	p.run = run
	reading.Add(p.metrics.restarts, float64(p.restarts), p.node)
}

func (p *probe) addHitRatio(reading *probes.Reading, fields info) error {
	hits, hasHits, hitsErr := fields.number("keyspace_hits")
	misses, hasMisses, missesErr := fields.number("keyspace_misses")
	if !hasHits || !hasMisses || hitsErr != nil || missesErr != nil {
		return nil // a malformed field was reported as such
	}
	if ratio, ok := p.hits.add(fields["run_id"], hitPoint{at: p.now(), hits: hits, misses: misses}); ok {
		reading.Add(p.metrics.hitRatio, ratio, p.node)
	}
	return nil
}

// addLimit leaves the metric out where maxmemory is 0, which means no limit.
func (p *probe) addLimit(reading *probes.Reading, fields info) error {
	limit, ok, err := fields.number("maxmemory")
	if ok && limit > 0 {
		reading.Add(p.metrics.limit, limit, p.node)
	}
	return err
}

func (p *probe) addCPU(reading *probes.Reading, fields info) error {
	var errs []error
	for _, mode := range []string{"user", "sys"} {
		seconds, ok, err := fields.number("used_cpu_" + mode)
		errs = append(errs, err)
		if ok {
			reading.Add(p.metrics.cpu, seconds, p.node, mode)
		}
	}
	return errors.Join(errs...)
}

// addPolicy adds the eviction policy, folded into "other" when it is unknown.
func (p *probe) addPolicy(reading *probes.Reading, policy string) {
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
	reading.Add(p.metrics.policy, 1, p.node, policy)
}

// addMasterLink adds the state of a replica's link; a master has none.
func (p *probe) addMasterLink(reading *probes.Reading, status string) {
	switch status {
	case "up":
		reading.Add(p.metrics.masterLink, 1, p.node)
	case "down":
		reading.Add(p.metrics.masterLink, 0, p.node)
	}
}

// addDatabases adds the keys of each database.
func (p *probe) addDatabases(reading *probes.Reading, fields info) error {
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
	p.addKeyspaces(reading, databases)
	return joinSorted(errs)
}

func (p *probe) addKeyspaces(reading *probes.Reading, databases map[int]keyspace) {
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
		p.addKeyspace(reading, strconv.Itoa(number), space)
	}
	if len(numbers) > maxDatabases {
		p.addKeyspace(reading, other, rest)
	}
}

func (p *probe) addKeyspace(reading *probes.Reading, db string, space keyspace) {
	reading.Add(p.metrics.keys, space.keys, p.node, db)
	reading.Add(p.metrics.expiring, space.expires, p.node, db)
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
func (p *probe) addErrors(reading *probes.Reading, fields info) error {
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
		reading.Add(p.metrics.errors, count, p.node, kind)
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
func (p *probe) readPing(ctx context.Context, reading *probes.Reading) error {
	start := time.Now()
	if err := p.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("PING: %w", err)
	}
	reading.Add(p.metrics.ping, time.Since(start).Seconds(), p.node)
	return nil
}

// readSlowlog adds how many entries the slow log got. It is left out where the
// server does not let the probe ask.
func (p *probe) readSlowlog(ctx context.Context, reading *probes.Reading) error {
	if p.now().Before(p.slow.askedAfter) {
		return nil
	}
	entries, err := p.client.SlowLogGet(ctx, p.slow.wanted()).Result()
	switch {
	case err != nil && refused(err):
		p.slow.askedAfter = p.now().Add(slowlogRetry)
		return nil
	case err != nil:
		return fmt.Errorf("SLOWLOG GET: %w", err)
	}
	p.slow.add(entries)
	reading.Add(p.metrics.slowlog, float64(p.slow.total), p.node)
	return nil
}

// joinSorted joins errors that come from a map in a steady order, so that the
// same fault is the same text at each poll.
func joinSorted(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
