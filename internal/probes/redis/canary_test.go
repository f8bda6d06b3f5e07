package redis

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func openCanary(t *testing.T, url secret.String) *canary {
	t.Helper()
	config := CanaryKind().Config.(*CanaryConfig)
	config.URL = url
	return probetest.OpenOne(t, config).(*canary)
}

// only is the place of a canary that has one.
func only(p *canary) *canaryPlace { return p.places.all()[0] }

// clientTo is the client of the one place.
func clientTo(p *canary) *goredis.Client { return p.places.linkTo(only(p)).get() }

// canaryReader gives the values of the one node by operation or cause.
type canaryReader struct {
	probetest.Values
	node string
}

func (r canaryReader) done(operation string) float64 {
	return r.value("seconds", "operation", operation)
}

func (r canaryReader) failed(operation string) float64 {
	return r.value("failures_total", "operation", operation)
}

func (r canaryReader) wrong(cause string) float64 {
	return r.value("wrong_reads_total", "cause", cause)
}

// value is -1 when it is absent.
func (r canaryReader) value(name, label, of string) float64 {
	value, ok := r.Values[fmt.Sprintf("soakd_redis_canary_%s{node=%q,%s=%q}", name, r.node, label, of)]
	if !ok {
		return -1
	}
	return value
}

func pollCanary(t *testing.T, p *canary) (canaryReader, error) {
	t.Helper()
	values, err := probetest.Poll(t, p, 2*time.Second)
	return canaryReader{values, p.places.target.seeds[0]}, err
}

func mustPollCanary(t *testing.T, p *canary) canaryReader {
	t.Helper()
	got, err := pollCanary(t, p)
	must(t, err)
	return got
}

// wantCanaryFailure polls once and wants a failure for a reason, with a text.
func wantCanaryFailure(t *testing.T, p *canary, reason probes.Reason, text string) canaryReader {
	t.Helper()
	got, err := pollCanary(t, p)
	if probes.ReasonOf(err) != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("failed for %q with %v; want %q with %q", probes.ReasonOf(err), err, reason, text)
	}
	return got
}

func keysOf(t *testing.T, client *goredis.Client) int64 {
	t.Helper()
	n, err := client.DBSize(t.Context()).Result()
	must(t, err)
	return n
}

func TestCanaryValues(t *testing.T) {
	server := startServer(t, nil)
	client, probe := clientOf(t, server.URL()), openCanary(t, server.URL())
	probetest.CheckDescriptions(t, probe)
	first := mustPollCanary(t, probe)
	reading, err := probe.Poll(t.Context())
	must(t, err)
	if reading.Cost.Queries != 4 || reading.Cost.Time <= 0 {
		t.Errorf("a poll cost %+v, want INFO and three operations", reading.Cost)
	}
	second := canaryReader{probetest.ValuesOf(t, probe, reading), only(probe).name}
	for _, operation := range operations() {
		if first.done(operation) != 1 || second.done(operation) != 2 || second.failed(operation) != 0 {
			t.Errorf("%s: %v", operation, second.Values)
		}
	}
	for _, cause := range causes() {
		if first.wrong(cause) != 0 || second.wrong(cause) != 0 {
			t.Errorf("%s: %v, %v", cause, first.Values, second.Values)
		}
	}
	for _, sample := range reading.Samples {
		if sample.Times != nil && sample.Times.Histogram.Sum() <= 0 {
			t.Errorf("%v: the times are 0", sample.Labels)
		}
	}
	if n := keysOf(t, client); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

func TestCanaryReadsDoNotCount(t *testing.T) {
	server := startServer(t, nil)
	client, probe, watching := clientOf(t, server.URL()), openCanary(t, server.URL()), open(t, server.URL())
	before := mustPoll(t, watching)
	for range 1000 {
		mustPollCanary(t, probe)
	}
	after := mustPoll(t, watching)
	for _, name := range []string{"keyspace_hits_total", "keyspace_misses_total"} {
		if before.get(name) != 0 || after.get(name) != 0 {
			t.Errorf("%s went from %v to %v", name, before.get(name), after.get(name))
		}
	}
	if after.has("keyspace_hit_ratio") {
		t.Errorf("a hit ratio of %v though nobody looked anything up", after.get("keyspace_hit_ratio"))
	}
	if n := keysOf(t, client); n != 0 {
		t.Errorf("%d keys are left after 1000 polls", n)
	}
	clients, err := client.ClientList(t.Context()).Result()
	must(t, err)
	if n := strings.Count(clients, "\n"); n != 3 {
		t.Errorf("%d clients, want the canary, the probe and the test:\n%s", n, clients)
	}
	// Writing and deleting are changes, a read is none.
	changes := func() int64 {
		text, err := client.Info(t.Context(), "persistence").Result()
		must(t, err)
		fields, err := parseInfo(text)
		must(t, err)
		n, ok, err := fields.number("rdb_changes_since_last_save")
		if err != nil || !ok {
			t.Fatalf("changes: %v", err)
		}
		return int64(n)
	}
	must(t, only(probe).write(t.Context(), clientTo(probe), 5))
	start := changes()
	score, there, err := only(probe).read(t.Context(), clientTo(probe))
	if err != nil || !there || score != 5 || changes() != start {
		t.Errorf("read %v, %v, %v; %d changes", score, there, err, changes()-start)
	}
	must(t, client.FlushAll(t.Context()).Err())
	if _, there, err := only(probe).read(t.Context(), clientTo(probe)); there || err != nil || keysOf(t, client) != 0 {
		t.Errorf("a read of no key: there %v, %v, %d keys", there, err, keysOf(t, client))
	}
}

func TestCanaryLeastRights(t *testing.T) {
	server := startServer(t, nil)
	admin := clientOf(t, server.URL())
	as := func(user string, rules ...any) *canary {
		t.Helper()
		must(t, admin.Do(t.Context(), append([]any{"ACL", "SETUSER", user, "on", ">pw"}, rules...)...).Err())
		return openCanary(t, secret.New("redis://"+user+":pw@"+addressOf(t, server.URL())))
	}
	rules := canaryRules(t, "soakd_canary")
	withoutInfo := slices.DeleteFunc(slices.Clone(rules), func(rule any) bool { return rule == "+info" })
	if len(rules) != 10 || len(withoutInfo) != 9 {
		t.Fatalf("the rights of deploy/redis-canary-acl.txt: %v", rules)
	}
	probe := as("all", rules...)
	for range 20 {
		mustPollCanary(t, probe)
	}
	if entries := refusals(t, admin); len(entries) != 0 {
		t.Errorf("refused with all rights: %v", entries)
	}
	probe = as("noinfo", withoutInfo...)
	for range 20 {
		mustPollCanary(t, probe)
	}
	// A line of the log counts what is the same.
	if entries := refusals(t, admin); len(entries) != 1 || entries[0].Count != 1 {
		t.Errorf("without INFO it was refused %+v; want once", entries)
	}
	got := wantCanaryFailure(t, as("elsewhere", "~other:*", "+@all"), probes.ReasonPermission, "write: NOPERM")
	if got.failed(operationWrite) != 1 || got.done(operationWrite) != 0 || got.failed(operationRead) != 0 {
		t.Errorf("%v", got.Values)
	}
	wantCanaryFailure(t, as("nothing", "~*", "-@all"), probes.ReasonPermission, "NOPERM")
	wantCanaryFailure(t, openCanary(t, secret.New("redis://all:wrong-s3cr3t@"+addressOf(t, server.URL()))), probes.ReasonAuth, "WRONGPASS")
}

func TestCanaryFullMemory(t *testing.T) {
	server := startServer(t, map[string]string{"maxmemory-policy": "noeviction"})
	admin, probe := clientOf(t, server.URL()), openCanary(t, server.URL())
	mustPollCanary(t, probe)
	must(t, admin.ConfigSet(t.Context(), "maxmemory", "1").Err())
	got := wantCanaryFailure(t, probe, probes.ReasonUnavailable, "write: OOM")
	if got.failed(operationWrite) != 1 || got.wrong(causeMissing) != 0 || got.done(operationRead) != 1 {
		t.Errorf("%v", got.Values)
	}
	must(t, admin.ConfigSet(t.Context(), "maxmemory", "0").Err())
	mustPollCanary(t, probe)
}

func TestCanaryOnReplica(t *testing.T) {
	server := startServer(t, nil)
	probe := openCanary(t, server.URL())
	mustPollCanary(t, probe)
	admin := clientOf(t, server.URL())
	must(t, admin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	got := wantCanaryFailure(t, probe, probes.ReasonUnavailable, "write: READONLY")
	if got.failed(operationWrite) != 1 || got.wrong(causeMissing) != 0 {
		t.Errorf("%v", got.Values)
	}
	must(t, admin.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	mustPollCanary(t, probe)
}

// meddler does something between the canary's write and its read.
type meddler struct {
	*goredis.Client
	meddle func()
}

func (m meddler) ZAddArgsIncr(ctx context.Context, key string, args goredis.ZAddArgs) *goredis.FloatCmd {
	m.meddle()
	return m.Client.ZAddArgsIncr(ctx, key, args)
}

// pollMeddled polls the node of a canary with something in between.
func pollMeddled(t *testing.T, p *canary, meddle func()) (canaryReader, error) {
	t.Helper()
	var reading probes.Reading
	err := only(p).poll(t.Context(), meddler{clientTo(p), meddle}, &reading.Cost)
	only(p).add(&reading, &p.metrics)
	return canaryReader{probetest.ValuesOf(t, p, reading), p.places.target.seeds[0]}, err
}

func TestCanaryWrongReads(t *testing.T) {
	// Of all keys only the canary's has a time to live, so that it goes first.
	server := startServer(t, map[string]string{"maxmemory-policy": "volatile-ttl"})
	admin, probe := clientOf(t, server.URL()), openCanary(t, server.URL())
	ctx := t.Context()
	fill := func() {
		for i := 0; ; i++ {
			if err := admin.Set(ctx, fmt.Sprint("fill", i), strings.Repeat("x", 100<<10), 0).Err(); err != nil {
				return // OOM: all that may go is gone
			}
		}
	}
	flush := func() { must(t, admin.FlushAll(ctx).Err()) }
	spoil := func() {
		must(t, admin.ZAdd(ctx, only(probe).key, goredis.Z{Score: -1, Member: canaryMember}).Err())
	}
	mustPollCanary(t, probe)
	for _, c := range []struct {
		cause  string
		meddle func()
		reason probes.Reason
		text   string
	}{
		{causeMissing, flush, probes.ReasonCheck, "nothing was evicted"},
		{causeMismatch, spoil, probes.ReasonCheck, "does not hold what was just written"},
	} {
		got, err := pollMeddled(t, probe, c.meddle)
		if probes.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) || got.wrong(c.cause) != 1 || got.failed(operationRead) != 0 {
			t.Errorf("%s: %q, %v, %v", c.cause, probes.ReasonOf(err), err, got.Values)
		}
		mustPollCanary(t, probe)
	}
	// The read is refused while memory is full, as any write is.
	got, err := pollMeddled(t, probe, func() {
		fill()
		must(t, admin.ConfigSet(ctx, "maxmemory", "0").Err())
	})
	if probes.ReasonOf(err) != probes.ReasonUnavailable || got.wrong(causeEvicted) != 1 || got.wrong(causeMissing) != 1 {
		t.Errorf("evicted: %q, %v, %v", probes.ReasonOf(err), err, got.Values)
	}
	mustPollCanary(t, probe)
	for cause, n := range map[string]float64{causeEvicted: 1, causeMissing: 1, causeMismatch: 1, causeExpired: 0} {
		if got := mustPollCanary(t, probe); got.wrong(cause) != n {
			t.Errorf("%s: %v, want %v", cause, got.wrong(cause), n)
		}
	}
}

func TestCanaryCauses(t *testing.T) {
	for _, c := range []struct {
		there, same, evicted bool
		age                  time.Duration
		want                 string
	}{
		{there: true, same: true, evicted: true, age: 2 * canaryTTL, want: ""},
		{there: true, evicted: true, age: 2 * canaryTTL, want: causeMismatch},
		{evicted: true, age: canaryTTL, want: causeExpired},
		{evicted: true, age: canaryTTL - 1, want: causeEvicted},
		{age: canaryTTL - 1, want: causeMissing},
	} {
		if got := causeOf(c.there, c.same, c.age, func() bool { return c.evicted }); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if err := newCanaryNode("n", "k").wrongRead(causeExpired); probes.ReasonOf(err) != probes.ReasonTimeout {
		t.Errorf("expired: %v", err)
	}
}

// A canary that is cut between its write and its delete leaves a key that ends
// by itself, and none at an orderly end.
func TestCanaryLeavesNothing(t *testing.T) {
	server := startServer(t, nil)
	client, probe := clientOf(t, server.URL()), openCanary(t, server.URL())
	ctx, cancel := context.WithCancel(t.Context())
	var reading probes.Reading
	err := only(probe).poll(ctx, meddler{clientTo(probe), cancel}, &reading.Cost)
	if err == nil || keysOf(t, client) != 1 {
		t.Fatalf("cut after the write: %v, %d keys", err, keysOf(t, client))
	}
	left, err := client.PTTL(t.Context(), only(probe).key).Result()
	if err != nil || left <= 0 || left > canaryTTL || !strings.HasPrefix(only(probe).key, "soakd:canary:") {
		t.Errorf("%s lives for %v, %v", only(probe).key, left, err)
	}
	probe.Close()
	if n := keysOf(t, client); n != 0 {
		t.Errorf("%d keys after the end", n)
	}
}

func TestCanaryOutage(t *testing.T) {
	server := startServer(t, nil)
	proxy := probetest.NewProxy(t, addressOf(t, server.URL()))
	probe, client := openCanary(t, through(t, server.URL(), proxy)), clientOf(t, server.URL())
	mustPollCanary(t, probe)
	proxy.Down()
	probetest.Eventually(t, probe, "away", func(v probetest.Values, err error) bool {
		return probes.ReasonOf(err) == probes.ReasonConnect && canaryReader{v, only(probe).name}.failed(operationWrite) > 0
	})
	proxy.Up(addressOf(t, server.URL()))
	mustPollCanary(t, probe)

	before := runtime.NumGoroutine()
	must(t, syscall.Kill(server.PID(), syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(server.PID(), syscall.SIGCONT) }()
	for range 5 {
		start := time.Now()
		_, err := probetest.Poll(t, probe, 100*time.Millisecond)
		if probes.ReasonOf(err) != probes.ReasonTimeout || time.Since(start) > time.Second {
			t.Errorf("hung: %q after %v: %v", probes.ReasonOf(err), time.Since(start), err)
		}
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
	must(t, syscall.Kill(server.PID(), syscall.SIGCONT))
	probetest.Eventually(t, probe, "goes on", func(_ probetest.Values, err error) bool { return err == nil })
	if n := keysOf(t, client); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

func TestCanaryHostileServers(t *testing.T) {
	for name, reply := range map[string]string{
		"HTTP":          "HTTP/1.1 400 Bad Request\r\n\r\n<html>",
		"garbage":       "\xff\xfe\x00\r\n",
		"wrong INFO":    "$21\r\nevicted_keys:a lot\r\n\r\n",
		"endless reply": "$999999999\r\n" + strings.Repeat("x", 8<<20),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pollCanary(t, openCanary(t, secret.New("redis://"+fakeServer(t, reply))))
			if probes.ReasonOf(err) != probes.ReasonProtocol || len(err.Error()) > 300 || got.done(operationWrite) != 0 {
				t.Errorf("%q, %v, %v", probes.ReasonOf(err), err, got.Values)
			}
		})
	}
}

func TestCanaryConfig(t *testing.T) {
	probetest.CheckConfig(t, CanaryKind)
	if off := CanaryKind().Config; off.Enabled() || off.Validate() != nil || off.Summary() != "" {
		t.Error("the defaults must be off and valid")
	}
	for _, prefix := range []string{"", "a b", "{tag}", "a*", strings.Repeat("a", 101)} {
		err := (&CanaryConfig{Prefix: prefix}).Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_REDIS_CANARY_PREFIX: ") {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	config := &CanaryConfig{Prefix: "p:", URL: secret.New("redis://:hunter2%zz@h")}
	err := config.Validate()
	if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_REDIS_CANARY_URL: ") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	if _, err := config.Open(nil); err == nil {
		t.Error("opened though it is not valid")
	}
	config = &CanaryConfig{Prefix: "p:", URL: secret.New("rediss://me:hunter2@cache.example.com:7000")}
	must(t, config.Validate())
	if got, want := config.Summary(), "cache.example.com:7000 as me, keys p:*"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}
