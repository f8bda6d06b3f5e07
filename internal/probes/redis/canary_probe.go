package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

const (
	// canaryTTL is how long a key lives that nobody deletes because soakd was
	// killed or cut off. A poll takes far less.
	canaryTTL = time.Minute
	// canaryCloseTimeout bounds the removal of the own key at the end.
	canaryCloseTimeout = time.Second
	// canaryMember is the one member of the canary's sorted set.
	canaryMember = "soakd"
	// infoRetry is after how long a server that refused INFO is asked again: each
	// refusal is a line in its ACL log.
	infoRetry = 10 * time.Minute
)

// The operations of a poll: values of the label operation.
const (
	operationWrite  = "write"
	operationRead   = "read"
	operationDelete = "delete"
)

func operations() []string { return []string{operationWrite, operationRead, operationDelete} }

// What a read that went well can find instead of what was written: values of
// the label cause.
const (
	// causeEvicted: gone, and the server evicted keys meanwhile.
	causeEvicted = "evicted"
	// causeExpired: gone, and the poll took longer than the key was to live.
	causeExpired = "expired"
	// causeMissing: gone for no reason that can be seen.
	causeMissing  = "missing"
	causeMismatch = "mismatch"
)

func causes() []string { return []string{causeEvicted, causeExpired, causeMissing, causeMismatch} }

// canaryMetrics are the descriptions of the canary.
type canaryMetrics struct{ times, failures, wrong *probes.Desc }

func describeCanary(d *probes.Descs) canaryMetrics {
	return canaryMetrics{
		times:    d.Histogram("soakd_redis_canary_seconds", "Time of the canary's write (MULTI, ZADD, PEXPIRE, EXEC in one round trip), read (ZADD XX INCR 0, which changes nothing and does not count in the hit ratio) and DEL of one key, on an open connection; without those that failed.", "node", "operation"),
		failures: d.Counter("soakd_redis_canary_failures_total", "Operations of the canary that failed.", "node", "operation"),
		wrong:    d.Counter("soakd_redis_canary_wrong_reads_total", "Reads of the canary that did not fail and did not bring what was written just before: the key is gone because memory ran out (evicted), its time was over (expired) or for no reason that can be seen (missing: FLUSHALL, a fail-over, a loss), or has another value (mismatch).", "node", "cause"),
	}
}

// canary writes, reads and deletes one key of each server. Poll is not called
// concurrently.
type canary struct {
	logins  *logins
	descs   probes.Descs
	metrics canaryMetrics
	places  *canaryPlaces
}

func newCanary(c *CanaryConfig) *canary {
	p := &canary{logins: newLogins(c.target, c.way().load)}
	p.metrics = describeCanary(&p.descs)
	p.places = newCanaryPlaces(c.target, p.logins, c.Prefix, randomHex())
	return p
}

func (p *canary) Name() string             { return CanaryName }
func (p *canary) Describe() []*probes.Desc { return p.descs }

// Close removes the keys that a poll may have left, if the servers let it in time.
// There is nobody left to tell if they do not; then the keys end by themselves.
func (p *canary) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), canaryCloseTimeout)
	defer cancel()
	var cleaning sync.WaitGroup
	for _, place := range p.places.all() {
		link := p.places.linkTo(place)
		cleaning.Go(func() { place.clean(ctx, link.get()) })
	}
	cleaning.Wait()
	p.places.close()
}

// Poll writes, reads and deletes, on all servers at the same time: one that hangs
// costs the others nothing.
func (p *canary) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	findErr := p.places.find(ctx, &reading.Cost)
	places := p.places.all()
	outcomes := make([]canaryOutcome, len(places))
	var polling sync.WaitGroup
	for i, place := range places {
		link := p.places.linkTo(place)
		polling.Go(func() { outcomes[i] = place.pollOver(ctx, link) })
	}
	polling.Wait()
	errs := []error{findErr}
	for i, place := range places {
		o := outcomes[i]
		if o.panicked != nil {
			panic(o.panicked) // the poller takes it for a failure of this poll
		}
		place.add(&reading, &p.metrics)
		reading.Cost.Plus(o.cost)
		errs = append(errs, p.places.explain(place, o.err))
	}
	reading.Overflow += p.places.left
	p.places.links.settle()
	return reading, probes.Brief(errors.Join(errs...), p.logins.hidden()...)
}

// canaryOutcome is what came of the poll of one server.
type canaryOutcome struct {
	cost     probes.Cost
	err      error
	panicked any
}

// pollOver polls over a link, which is closed when the server did not answer.
func (n *canaryPlace) pollOver(ctx context.Context, link *link) (o canaryOutcome) {
	defer func() { o.panicked = recover() }()
	o.err = n.poll(ctx, link.get(), &o.cost)
	link.settle(o.err)
	return o
}

// logins are the users and passwords of files as they are now: one that was changed
// needs no restart. Connections are made in the background, so they are guarded.
type logins struct {
	reload func() (target, error)
	// first is the target at the start.
	first target

	mu  sync.Mutex
	now target
}

func newLogins(t target, reload func() (target, error)) *logins {
	return &logins{reload: reload, first: t, now: t}
}

// current returns what stands in the files now, or what did before while they
// cannot be read: one may just be being written.
func (l *logins) current() target {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, err := l.reload(); err == nil && t.mode != "" {
		l.now = t
	}
	return l.now
}

// ofServers and ofSentinels are what a client asks for at each new connection.
func (l *logins) ofServers(context.Context) (username, password string, err error) {
	as := l.current().servers
	return as.username, as.password, nil
}

func (l *logins) ofSentinels(context.Context) (username, password string, err error) {
	as := l.current().sentinels
	return as.username, as.password, nil
}

// hidden are the texts that must not show in errors.
func (l *logins) hidden() []secret.String {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(l.now.hidden(), l.first.hidden()...)
}

// canaryNode is the canary of one server: its key and what was counted.
type canaryNode struct {
	// name is the label: host:port.
	name string
	key  string
	// dirty means that the key may be there.
	dirty     bool
	infoAfter time.Time

	times    map[string]*probes.Times
	failures map[string]int
	wrong    map[string]int
}

func newCanaryNode(name, key string) *canaryNode {
	n := &canaryNode{name: name, key: key, times: map[string]*probes.Times{}, failures: map[string]int{}, wrong: map[string]int{}}
	for _, operation := range operations() {
		n.times[operation] = probes.NewTimes()
	}
	return n
}

// add gives what was counted so far; what did not happen yet is 0, so that its
// first time is a rise. It is soakd's own count, known also when the server is away.
func (n *canaryNode) add(reading *probes.Reading, m *canaryMetrics) {
	for _, operation := range operations() {
		reading.AddTimes(m.times, n.times[operation], n.name, operation)
		reading.Add(m.failures, float64(n.failures[operation]), n.name, operation)
	}
	for _, cause := range causes() {
		reading.Add(m.wrong, float64(n.wrong[cause]), n.name, cause)
	}
}

// canaryClient is what a node is asked with.
type canaryClient interface {
	Info(ctx context.Context, section ...string) *goredis.StringCmd
	Ping(ctx context.Context) *goredis.StatusCmd
	TxPipelined(ctx context.Context, fn func(goredis.Pipeliner) error) ([]goredis.Cmder, error)
	ZAddArgsIncr(ctx context.Context, key string, args goredis.ZAddArgs) *goredis.FloatCmd
	Del(ctx context.Context, keys ...string) *goredis.IntCmd
}

// clean removes the key.
func (n *canaryNode) clean(ctx context.Context, client canaryClient) {
	if n.dirty {
		n.dirty = client.Del(ctx, n.key).Err() != nil
	}
}

// poll writes a random number, reads it and deletes it.
func (n *canaryNode) poll(ctx context.Context, client canaryClient, cost *probes.Cost) error {
	// First: it makes the connection, so that the write is not counted with it.
	evicted, known, err := n.evictions(ctx, client, cost)
	if err != nil {
		n.failures[operationWrite]++
		return err
	}
	start, score := time.Now(), randomScore()
	n.dirty = true
	if err := n.step(cost, operationWrite, func() error { return n.write(ctx, client, score) }); err != nil {
		return err
	}
	found, there := 0.0, false
	err = n.step(cost, operationRead, func() (err error) {
		found, there, err = n.read(ctx, client)
		return err
	})
	if err != nil {
		return err
	}
	look := func() bool {
		now, ok, err := n.evictions(ctx, client, cost)
		return err == nil && known && ok && now > evicted
	}
	cause := causeOf(there, found == score, time.Since(start), look)
	err = n.step(cost, operationDelete, func() error { return client.Del(ctx, n.key).Err() })
	n.dirty = err != nil
	return errors.Join(n.wrongRead(cause), err)
}

// step times one operation, or counts that it failed.
func (n *canaryNode) step(cost *probes.Cost, operation string, do func() error) error {
	start := time.Now()
	err := do()
	cost.Add(start)
	if err != nil {
		n.failures[operation]++
		return because(fmt.Errorf("%s: %w", operation, err))
	}
	n.times[operation].Observe(time.Since(start))
	return nil
}

// write sets the key and its time to live, both or neither.
func (n *canaryNode) write(ctx context.Context, client canaryClient, score float64) error {
	var add *goredis.IntCmd
	_, err := client.TxPipelined(ctx, func(pipe goredis.Pipeliner) error {
		add = pipe.ZAdd(ctx, n.key, goredis.Z{Score: score, Member: canaryMember})
		pipe.PExpire(ctx, n.key, canaryTTL)
		return nil
	})
	// A command that is refused tells why; EXEC only that one was.
	if err != nil && add != nil && add.Err() != nil {
		return add.Err()
	}
	return err
}

// read reads the score by adding 0 to it. Of all commands that bring a value, it
// is the one that neither counts as a hit or a miss (it looks the key up to
// write), nor changes the data set (nothing goes to replicas and to the log of
// writes), nor makes the key when it is gone (XX). GET, GETEX, GETDEL, GETSET,
// EXISTS, STRLEN and DUMP count; INCRBY 0 is a change and makes the key. See
// TestCanaryReadsDoNotCount.
func (n *canaryNode) read(ctx context.Context, client canaryClient) (score float64, there bool, err error) {
	score, err = client.ZAddArgsIncr(ctx, n.key, goredis.ZAddArgs{XX: true, Members: []goredis.Z{{Member: canaryMember}}}).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, false, nil
	}
	return score, err == nil, err
}

// evictions returns how many keys the server has evicted. It is not known where
// the server does not let soakd ask; any other failure is that of the connection.
func (n *canaryNode) evictions(ctx context.Context, client canaryClient, cost *probes.Cost) (count float64, known bool, err error) {
	if time.Now().Before(n.infoAfter) {
		return 0, false, n.ping(ctx, client, cost)
	}
	start := time.Now()
	text, err := client.Info(ctx, "stats").Result()
	cost.Add(start)
	switch {
	case err != nil && refused(err):
		n.infoAfter = time.Now().Add(infoRetry)
		return 0, false, nil
	case err != nil:
		return 0, false, because(fmt.Errorf("INFO: %w", err))
	}
	fields, err := parseInfo(text)
	if err == nil {
		count, known, err = fields.number("evicted_keys")
	}
	if err != nil {
		return 0, false, probes.Because(probes.ReasonProtocol, fmt.Errorf("INFO: %w", err))
	}
	return count, known, nil
}

// ping makes the connection where INFO does not. Whether PING is allowed does
// not matter.
func (n *canaryNode) ping(ctx context.Context, client canaryClient, cost *probes.Cost) error {
	defer cost.Add(time.Now())
	if err := client.Ping(ctx).Err(); err != nil && !refused(err) {
		return because(fmt.Errorf("PING: %w", err))
	}
	return nil
}

// causeOf says what is wrong with a read: nothing (empty), or why it did not
// bring what was written so long ago. evicted is asked only about a key that is gone.
func causeOf(there, same bool, age time.Duration, evicted func() bool) string {
	switch {
	case there && same:
		return ""
	case there:
		return causeMismatch
	case age >= canaryTTL:
		return causeExpired
	case evicted():
		return causeEvicted
	}
	return causeMissing
}

// wrongRead counts a wrong read and returns its error.
func (n *canaryNode) wrongRead(cause string) error {
	if cause == "" {
		return nil
	}
	n.wrong[cause]++
	switch cause {
	case causeEvicted:
		return probes.Because(probes.ReasonUnavailable, errors.New("read: the key was evicted at once: the server's memory is full"))
	case causeExpired:
		return probes.Because(probes.ReasonTimeout, fmt.Errorf("read: the key's time of %v was over before it was read", canaryTTL))
	case causeMismatch:
		return probes.Because(probes.ReasonCheck, errors.New("read: the key does not hold what was just written"))
	}
	return probes.Because(probes.ReasonCheck, errors.New("read: the key that was just written is not there, and nothing was evicted: a FLUSHALL, a fail-over or a loss"))
}

// randomScore returns a whole number from 1 to 2^52: those that a double holds
// exactly.
func randomScore() float64 {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	return float64(binary.BigEndian.Uint64(raw[:])>>12 + 1)
}

// randomHex returns 128 random bits.
func randomHex() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}
