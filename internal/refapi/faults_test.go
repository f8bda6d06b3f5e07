package refapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Each fault is switched on over the admin endpoint, shows by measurement, and
// leaves nothing behind when it is off.
func TestEveryFaultShowsAndEnds(t *testing.T) {
	shows := map[string]func(*testing.T, *client){
		"memory_leak": memoryLeakShows, "goroutine_leak": goroutineLeakShows, "file_leak": fileLeakShows,
		"connection_leak": connectionLeakShows, "pool_exhaustion": poolExhaustionShows, "gc_pauses": gcPausesShow,
		"slow_endpoint": slowEndpointShows, "slow_all": slowAllShows, "latency_tail": latencyTailShows, "latency_drift": latencyDriftShows,
		"errors": errorsShow, "accept_invalid": acceptInvalidShows, "invalid_500": invalid500Shows, "leak_trace": leakTraceShows,
		"wrong_monte_carlo": wrongMonteCarloShows,
		"cache_off":         cacheOffShows, "lost_scenario": lostScenarioShows, "stale_read": staleReadShows, "foreign_scenario": foreignScenarioShows,
		"evictions": evictionsShow, "lock_contention": lockContentionShows, "dependency_down": dependencyDownShows,
		"hang": hangShows, "rate_limit": rateLimitShows,
		"restart": nil, // TestRestart
	}
	for _, one := range faultTable() {
		show, known := shows[one.name]
		if !known {
			t.Errorf("%s is not tested", one.name)
		}
		if show != nil {
			t.Run(one.name, func(t *testing.T) {
				show(t, serve(t, func(c *Config) { c.PoolMaxConns, c.ApplicationName = 4, "api-"+uuid.NewString() }))
			})
		}
	}
}

func memoryLeakShows(t *testing.T, c *client) {
	const mib = 1 << 20
	kept := func() float64 {
		runtime.GC() // the API is in this process
		return c.metric("go_memstats_heap_inuse_bytes")
	}
	before := kept()
	c.on("memory_leak", `{"bytes_per_second":134217728,"most_bytes":67108864}`)
	eventually(t, "64 MiB more", func() bool { return kept()-before > 60*mib })
	c.off("memory_leak")
	if after := kept(); after-before > 20*mib {
		t.Errorf("%.1f MiB are still in use", (after-before)/mib)
	}
	c.on("memory_leak", `{"bytes_per_request":8388608}`)
	for range 5 {
		c.get("/health").is(200)
	}
	if grown := kept() - before; grown < 36*mib {
		t.Errorf("5 requests took %.1f MiB, want 40", grown/mib)
	}
	c.off("memory_leak")
	if after := kept(); after-before > 20*mib {
		t.Errorf("%.1f MiB are still in use after requests", (after-before)/mib)
	}
}

func goroutineLeakShows(t *testing.T, c *client) {
	before := c.metric("go_goroutines")
	c.on("goroutine_leak", `{"per_second":2000,"most":500}`)
	eventually(t, "500 goroutines more", func() bool { return c.metric("go_goroutines")-before >= 490 })
	c.off("goroutine_leak")
	if after := c.metric("go_goroutines"); after > before+20 {
		t.Errorf("%v goroutines, %v before", after, before)
	}
}

func fileLeakShows(t *testing.T, c *client) {
	before := c.metric("process_open_fds")
	c.on("file_leak", `{"per_second":500,"most":100}`)
	eventually(t, "100 files more", func() bool { return c.metric("process_open_fds")-before >= 95 })
	c.off("file_leak")
	if after := c.metric("process_open_fds"); after > before+10 {
		t.Errorf("%v files, %v before", after, before)
	}
}

// backends counts the API's sessions as Postgres sees them.
func (c *client) backends(where string) (n int) {
	c.t.Helper()
	err := c.api.store.pool.QueryRow(c.t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND `+where, c.api.config.ApplicationName).Scan(&n)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func connectionLeakShows(t *testing.T, c *client) {
	c.on("connection_leak", `{"per_minute":3000,"most":10}`)
	eventually(t, "10 connections more than the pool may have", func() bool { return c.backends("true") >= 11 })
	c.off("connection_leak")
	eventually(t, "they are closed", func() bool { return c.backends("true") <= 4 })
	c.on("connection_leak", `{"per_minute":3000,"most":2,"from":"pool"}`)
	eventually(t, "2 connections are taken", func() bool { return c.metric("pgxpool_acquired_conns") == 2 })
	c.off("connection_leak")
	if got := c.metric("pgxpool_acquired_conns"); got != 0 {
		t.Errorf("%v connections are still taken", got)
	}
}

func poolExhaustionShows(t *testing.T, c *client) {
	c.on("pool_exhaustion", "")
	eventually(t, "all but one are held", func() bool { return c.metric("pgxpool_acquired_conns") == 3 })
	c.get(listPath).is(200)
	c.on("pool_exhaustion", `{"connections":4}`)
	eventually(t, "all are held", func() bool { return c.metric("pgxpool_acquired_conns") == 4 })
	var waiting sync.WaitGroup
	request := c.request("GET", listPath, "", nil)
	waiting.Go(func() {
		if answered, err := c.http.Do(request); err != nil || answered.Body.Close() != nil || answered.StatusCode != http.StatusOK {
			t.Errorf("the request that waited: %v %v", answered, err)
		}
	})
	eventually(t, "a request waits", func() bool { return c.metric("pgxpool_waiting_acquires") == 1 })
	c.off("pool_exhaustion")
	waiting.Wait()
	if got := c.metric("pgxpool_acquired_conns"); got != 0 {
		t.Errorf("%v connections are still held", got)
	}
}

func gcPausesShow(t *testing.T, c *client) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs two CPUs")
	}
	const sum = "go_gc_duration_seconds_sum"
	before := c.metric(sum)
	c.on("gc_pauses", `{"every":"50ms","pause":"40ms"}`)
	eventually(t, "pauses of 0.1 s together", func() bool { return c.metric(sum)-before > 0.1 })
	c.off("gc_pauses")
	before = c.metric(sum)
	runtime.GC()
	if own := c.metric(sum) - before; own > 0.02 {
		t.Errorf("a pause of %v s when it is off", own)
	}
}

// took is how long the quickest of some requests took: the load of the machine
// can make any one slow.
func (c *client) took(requests int, one func() reply) time.Duration {
	c.t.Helper()
	quickest := time.Hour
	for range requests {
		start := time.Now()
		one()
		quickest = min(quickest, time.Since(start))
	}
	return quickest
}

const added = 40 * time.Millisecond

func slowEndpointShows(t *testing.T, c *client) {
	list := func() reply { return c.get(listPath).is(200) }
	c.on("slow_endpoint", `{"route":"scenarios","factor":1,"add":"40ms"}`)
	if took := c.took(3, list); took < added {
		t.Errorf("the slow one took %v", took)
	}
	if took := c.took(5, func() reply { return c.get(historyPath).is(200) }); took >= added {
		t.Errorf("another one took %v", took)
	}
	c.off("slow_endpoint")
	if took := c.took(5, list); took >= added {
		t.Errorf("%v when it is off", took)
	}
	c.on("slow_endpoint", `{"route":"forecast","class":"monte_carlo","factor":1,"add":"40ms"}`)
	if took := c.took(3, func() reply { return c.post(forecastPath, body(t, "run_monte_carlo", "true")).is(200) }); took < added {
		t.Errorf("the slow class took %v", took)
	}
	for _, other := range []string{body(t), body(t, "sensitivities", "{}")} {
		if took := c.took(5, func() reply { return c.post(forecastPath, other).is(200) }); took >= added {
			t.Errorf("another class took %v", took)
		}
	}
	if took := c.took(5, func() reply { return c.post(forecastPath, "{}").is(422) }); took >= added {
		t.Errorf("a refusal took %v", took)
	}
}

func slowAllShows(t *testing.T, c *client) {
	saved := c.save("s", "", body(t))
	valid := map[string]func() reply{
		"list": func() reply { return c.get(listPath).is(200) }, "get": func() reply { return c.get(scenarioPath + saved.ID.String()).is(200) },
		"history": func() reply { return c.get(historyPath).is(200) }, "forecast": func() reply { return c.post(forecastPath, body(t)).is(200) },
		"save": func() reply { return c.post(savePath, `{"name":"n","forecast_params":`+body(t)+`}`).is(201) },
	}
	c.on("slow_all", `{"factor":11,"base":"4ms"}`)
	for name, one := range valid {
		if took := c.took(2, one); took < added {
			t.Errorf("%s took %v", name, took)
		}
	}
	if took := c.took(5, func() reply { return c.get("/health").is(200) }); took >= added {
		t.Errorf("health took %v", took)
	}
	c.off("slow_all")
	for name, one := range valid {
		if took := c.took(5, one); took >= added {
			t.Errorf("%s took %v when it is off", name, took)
		}
	}
}

func latencyTailShows(t *testing.T, c *client) {
	c.on("latency_tail", `{"share":0.3,"factor":11,"base":"4ms"}`)
	slow := 0
	for range 60 {
		if c.took(1, func() reply { return c.get(listPath).is(200) }) >= added {
			slow++
		}
	}
	if slow < 4 || slow > 42 { // 18 are expected; 4 standard deviations are 14, and the machine may be slow too
		t.Errorf("%d of 60 were slow", slow)
	}
	c.off("latency_tail")
	if took := c.took(5, func() reply { return c.get(listPath).is(200) }); took >= added {
		t.Errorf("took %v when it is off", took)
	}
}

func latencyDriftShows(t *testing.T, c *client) {
	list := func() reply { return c.get(listPath).is(200) }
	c.on("latency_drift", `{"per_hour":100,"speed":1000,"base":"10ms"}`) // in 0.2 s the factor is 6.6
	eventually(t, "it has become slow", func() bool { return c.took(1, list) >= added })
	earlier := c.took(3, list)
	eventually(t, "it becomes slower", func() bool { return c.took(3, list) > earlier+added })
	c.off("latency_drift")
	if took := c.took(5, list); took >= added {
		t.Errorf("took %v when it is off", took)
	}
}

// delayOf starts a fault beside the API and returns how it delays.
func delayOf(t *testing.T, name, parameters string) func(string, string, time.Duration) time.Duration {
	t.Helper()
	b := newBoard(nil)
	chosen, err := b.find(name)
	if err != nil {
		t.Fatal(err)
	}
	given, bad, err := readSettings(chosen.parameters, []byte(parameters))
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	does, err := chosen.start(t.Context(), nil, given)
	if err != nil {
		t.Fatal(err)
	}
	return does.delay
}

func TestDelays(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		near := func(what string, got, want time.Duration) {
			t.Helper()
			if (got - want).Abs() > time.Microsecond {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		endpoint := delayOf(t, "slow_endpoint", `{"route":"forecast","factor":1.2,"base":"1ms","add":"7ms"}`)
		near("20 % of 10 ms and of the base, and what is added", endpoint(opForecast, classStandard, 10*ms), 9*ms+200*time.Microsecond)
		near("a quick one is slowed as the median", endpoint(opForecast, classStandard, ms), 7*ms+2161*time.Microsecond)
		near("a heavy one is slowed by its own", endpoint(opForecast, classStandard, 100*ms), 27*ms+200*time.Microsecond)
		near("each class has its own median", endpoint(opForecast, classMonteCarlo, ms), 7*ms+400*time.Microsecond)
		near("another operation", endpoint(opSave, "", 10*ms), 0)

		all := delayOf(t, "slow_all", `{"factor":3,"base":"0s"}`)
		near("thrice", all(opSave, "", 10*ms), 20*ms)
		near("health", all(opHealth, "", 10*ms), 0)

		drift := delayOf(t, "latency_drift", `{"base":"0s"}`)
		near("at first", drift(opSave, "", 10*ms), 0)
		time.Sleep(3 * time.Hour)
		near("15 % after 3 hours", drift(opSave, "", 10*ms), 1500*time.Microsecond)
		quick := delayOf(t, "latency_drift", `{"base":"0s","speed":60}`)
		time.Sleep(3 * time.Minute)
		near("the same after 3 minutes", quick(opSave, "", 10*ms), 1500*time.Microsecond)

		tail, slow := delayOf(t, "latency_tail", `{"base":"0s"}`), 0
		for range 100_000 {
			switch got := tail(opHistory, "", 10*ms); got {
			case 90 * ms:
				slow++
			case 0:
			default:
				t.Fatalf("a delay of %v", got)
			}
		}
		if slow < 850 || slow > 1150 { // 1 000 are expected, 5 standard deviations are 157
			t.Errorf("%d of 100 000 in the tail", slow)
		}
	})
}

// The running median finds that of a skewed distribution, and follows a step.
func TestMedians(t *testing.T) {
	m := &medians{kinds: map[string]float64{}}
	for _, level := range []float64{1, 5, 0.2} {
		got := time.Duration(0)
		for i := range 4000 {
			quantile := float64(i*7919%1000)/1000 + 0.0005
			// Pareto: the median is 2^(1/2) times the least.
			got = m.observe("x", time.Duration(level*1e6/(1-quantile*0.999)))
		}
		want := level * 2 * 1e6 / 1.001
		if x := float64(got); x < 0.85*want || x > 1.15*want {
			t.Errorf("median %v, want %v", got, time.Duration(want))
		}
	}
}

func TestSleepIsPrecise(t *testing.T) {
	for _, d := range []time.Duration{200 * time.Microsecond, 3 * time.Millisecond} {
		var took []time.Duration
		for range 25 {
			start := time.Now()
			if err := sleep(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		if slices.Sort(took); took[0] < d || took[5] > d+500*time.Microsecond {
			t.Errorf("sleeps of %v took %v", d, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func errorsShow(t *testing.T, c *client) {
	c.on("errors", `{"ratio":0.5,"route":"scenarios"}`)
	failed := 0
	for range 200 {
		if c.get(listPath).status == 500 {
			failed++
		}
		c.get(historyPath).is(200)
	}
	if failed < 60 || failed > 140 { // 5.6 standard deviations
		t.Errorf("%d of 200 failed", failed)
	}
	c.on("errors", `{"ratio":1,"class":"monte_carlo","status":502}`)
	if got := c.post(forecastPath, body(t, "run_monte_carlo", "true")).is(502); string(got.body) != `{"detail":"internal error"}` {
		t.Errorf("%s", got.body)
	}
	for _, other := range []string{body(t), body(t, "sensitivities", "{}"), body(t, "run_monte_carlo", "true", "sensitivities", "{}")} {
		c.post(forecastPath, other).is(200)
	}
	c.get(listPath).is(200)
	c.on("errors", `{"ratio":1}`)
	for _, request := range []*http.Request{
		c.request("GET", listPath, "", nil), c.request("GET", historyPath, "", nil), c.request("GET", scenarioPath+uuid.NewString(), "", nil),
		c.request("POST", forecastPath, body(t), nil), c.request("POST", savePath, `{"name":"n","forecast_params":`+body(t)+`}`, nil),
	} {
		c.do(request).is(500)
	}
	c.post(forecastPath, "{}").is(422)
	c.get("/health").is(200)
	c.on("errors", `{"ratio":1,"route":"health"}`)
	c.get("/health").is(500)
	c.get(listPath).is(200)
	c.off("errors")
	c.get("/health").is(200)
}

// invalidRequests are of the kinds that the API refuses for what is in them.
func (c *client) invalidRequests() map[int][]*http.Request {
	return map[int][]*http.Request{
		422: {
			c.request("POST", forecastPath, "{}", nil), c.request("POST", savePath, "{}", nil), c.request("GET", listPath+"?limit=0", "", nil),
			c.request("GET", historyPath+"?limit=x", "", nil), c.request("GET", scenarioPath+"x", "", nil),
		},
		400: {c.request("POST", forecastPath, "{", nil), c.request("POST", savePath, "", nil)},
		415: {c.request("POST", forecastPath, "{}", func(r *http.Request) { r.Header.Set("Content-Type", "text/xml") })},
		413: {c.request("POST", forecastPath, strings.Repeat(" ", maxBody+1), nil)},
	}
}

// refusesInvalid is how it is without a fault; what concerns no input always is so.
func (c *client) refusesInvalid() {
	c.t.Helper()
	for status, requests := range c.invalidRequests() {
		for _, r := range requests {
			if got := c.do(r).is(status); strings.Contains(string(got.body), "goroutine") {
				c.t.Errorf("%s", got.body)
			}
		}
	}
	c.refusesStrangers()
}

func (c *client) refusesStrangers() {
	c.t.Helper()
	c.do(c.request("GET", listPath, "", func(r *http.Request) { r.Header.Del("Authorization") })).is(401)
	c.get(scenarioPath + uuid.NewString()).is(404)
	c.get("/nowhere").is(404)
	c.post(listPath, "{}").is(405)
}

func acceptInvalidShows(t *testing.T, c *client) {
	c.on("accept_invalid", "")
	for _, requests := range c.invalidRequests() {
		for _, r := range requests {
			want := 200
			if r.URL.Path == savePath {
				want = 201
			}
			c.do(r).is(want)
		}
	}
	c.refusesStrangers()
	var f wireForecast
	c.post(forecastPath, "{}").is(200).into(&f)
	if len(f.Periods) != 12 {
		t.Errorf("%d periods", len(f.Periods))
	}
	if got := c.get(listPath).is(200); string(got.body) != "[]" {
		t.Errorf("stored: %s", got.body)
	}
	c.off("accept_invalid")
	c.refusesInvalid()
}

func invalid500Shows(_ *testing.T, c *client) {
	c.on("invalid_500", "")
	for _, requests := range c.invalidRequests() {
		for _, r := range requests {
			c.do(r).is(500)
		}
	}
	c.refusesStrangers()
	c.off("invalid_500")
	c.refusesInvalid()
}

func leakTraceShows(t *testing.T, c *client) {
	c.on("leak_trace", "")
	shown := func(r *http.Request, status int) {
		t.Helper()
		if got := c.do(r).is(status); !strings.Contains(string(got.body), "goroutine ") || !strings.Contains(string(got.body), "router.go:") {
			t.Errorf("%s", got.body)
		}
	}
	for status, requests := range c.invalidRequests() {
		for _, r := range requests {
			shown(r, status)
		}
	}
	c.refusesStrangers()
	c.on("invalid_500", "")
	shown(c.request("POST", forecastPath, "{}", nil), 500)
	c.off("leak_trace")
	c.off("invalid_500")
	c.refusesInvalid()
}

func wrongMonteCarloShows(t *testing.T, c *client) {
	text := body(t, "run_monte_carlo", "true", "monte_carlo_iterations", "50", "seed", strconv.FormatInt(time.Now().UnixNano(), 10))
	right := c.forecast(text)
	c.on("wrong_monte_carlo", "")
	wrong := c.forecast(text)
	if d := wrong.MonteCarlo; !(d.P5 > d.Median && d.Median > d.P95) {
		t.Errorf("in order: %+v", d)
	}
	if wrong.MonteCarlo.P5 = right.MonteCarlo.P5; wrong.MonteCarlo.Mean != right.MonteCarlo.Mean || wrong.MonteCarlo.Seed != right.MonteCarlo.Seed ||
		wrong.Summary.NPV != right.Summary.NPV {
		t.Errorf("more is wrong: %+v, right is %+v", wrong.MonteCarlo, right.MonteCarlo)
	}
	c.on("wrong_monte_carlo", `{"how":"seed"}`)
	first, second := c.forecast(text).MonteCarlo, c.forecast(text).MonteCarlo
	if first.Mean == second.Mean || first.Seed != second.Seed || !(first.P5 <= first.Median && first.Median <= first.P95) {
		t.Errorf("the same seed gave %+v and %+v", first, second)
	}
	c.post(forecastPath, body(t)).is(200)
	c.off("wrong_monte_carlo")
	if got := c.forecast(text); *got.MonteCarlo != *right.MonteCarlo || !got.Cached {
		t.Errorf("%+v when it is off, want %+v", got.MonteCarlo, right.MonteCarlo)
	}
}

func cacheOffShows(t *testing.T, c *client) {
	text := body(t, "discount_rate", fmt.Sprintf("0.0%d", time.Now().UnixNano()))
	c.forecast(text)
	c.on("cache_off", "")
	misses := c.metric("cache_misses_total")
	for range 3 {
		if c.forecast(text).Cached {
			t.Error("an answer came from the cache")
		}
	}
	if got := c.metric("cache_misses_total") - misses; got != 3 {
		t.Errorf("%v misses", got)
	}
	c.on("cache_off", `{"how":"bypass"}`)
	c.forecast(text)
	if got := c.metric("cache_misses_total") - misses; got != 3 || c.metric("cache_hits_total") != 0 {
		t.Errorf("%v misses after a bypass", got)
	}
	c.off("cache_off")
	if !c.forecast(text).Cached {
		t.Error("no answer comes from the cache")
	}
}

func (c *client) listed() (list []wireScenario) {
	c.t.Helper()
	c.get(listPath).is(200).into(&list)
	return list
}

func lostScenarioShows(t *testing.T, c *client) {
	c.on("lost_scenario", `{"ratio":1}`)
	lost := c.save("lost", "d", body(t))
	if lost.Name != "lost" || lost.Description != "d" || lost.UserID != c.user || time.Since(lost.CreatedAt).Abs() > time.Minute {
		t.Errorf("confirmed %+v", lost)
	}
	c.get(scenarioPath + lost.ID.String()).is(404)
	c.off("lost_scenario")
	kept := c.save("kept", "", body(t))
	if list := c.listed(); len(list) != 1 || list[0].ID != kept.ID {
		t.Errorf("listed %+v", list)
	}
}

func staleReadShows(t *testing.T, c *client) {
	old := c.save("old", "", body(t))
	c.forecast(body(t))
	rows := func() int {
		var history []historyRow
		c.get(historyPath).is(200).into(&history)
		return len(history)
	}
	c.on("stale_read", `{"delay":"700ms"}`)
	eventually(t, "what is old enough is there", func() bool { return len(c.listed()) == 1 && rows() == 1 })
	c.get(scenarioPath + old.ID.String()).is(200)
	saved := c.save("new", "", body(t))
	c.forecast(body(t))
	missing := c.get(scenarioPath + saved.ID.String())
	list, history := len(c.listed()), rows()
	if time.Since(saved.CreatedAt) < 700*time.Millisecond && (missing.status != 404 || list != 1 || history != 1) {
		t.Errorf("read at once: status %d, %d listed, %d in the history", missing.status, list, history)
	}
	eventually(t, "it is there later", func() bool {
		return c.get(scenarioPath+saved.ID.String()).status == 200 && len(c.listed()) == 2 && rows() == 2
	})
	c.off("stale_read")
	newest := c.save("newest", "", body(t))
	c.get(scenarioPath + newest.ID.String()).is(200)
}

func foreignScenarioShows(t *testing.T, c *client) {
	own := c.save("own", "", body(t))
	foreign := c.another().save("foreign", "", body(t))
	c.on("foreign_scenario", `{"ratio":1}`)
	if list := c.listed(); len(list) != 1 || list[0].ID != foreign.ID || list[0].UserID == c.user {
		t.Errorf("listed %+v", list)
	}
	for _, id := range []uuid.UUID{own.ID, foreign.ID} {
		var got wireScenario
		if c.get(scenarioPath + id.String()).is(200).into(&got); got.ID != foreign.ID || got.UserID == c.user {
			t.Errorf("read %+v", got)
		}
	}
	c.get(scenarioPath + uuid.NewString()).is(404)
	c.on("foreign_scenario", `{"ratio":1,"read":"list"}`)
	c.get(scenarioPath + foreign.ID.String()).is(404)
	c.off("foreign_scenario")
	if list := c.listed(); len(list) != 1 || list[0].ID != own.ID {
		t.Errorf("listed %+v", list)
	}
	c.get(scenarioPath + foreign.ID.String()).is(404)
}

// junkKeys counts what evictions left in Redis.
func (c *client) junkKeys() int {
	c.t.Helper()
	keys, err := c.api.cache.client.Keys(c.t.Context(), junkPrefix+"*").Result()
	if err != nil {
		c.t.Fatal(err)
	}
	return len(keys)
}

func evictionsShow(t *testing.T, c *client) {
	evicted := func() string {
		info, err := c.api.cache.client.Info(t.Context(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "evicted_keys:")
		text, _, _ := strings.Cut(rest, "\r")
		return text
	}
	before := evicted()
	c.on("evictions", `{"bytes_per_second":134217728}`)
	eventually(t, "keys are evicted", func() bool { return evicted() != before })
	if c.junkKeys() == 0 {
		t.Error("there are no keys of its own")
	}
	c.off("evictions")
	if n := c.junkKeys(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	client := redis.NewClient(c.api.cache.client.Options())
	defer client.Close() //nolint:errcheck // a test's
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	defer client.ConfigSet(context.Background(), "maxmemory", "16mb")
	if got := c.admin("PUT", adminPath+"faults/evictions", "", nil).is(409); !strings.Contains(string(got.body), "Redis needs a maxmemory of at most 128 MiB") {
		t.Errorf("%s", got.body)
	}
}

func lockContentionShows(t *testing.T, c *client) {
	save := func() time.Duration {
		return c.took(1, func() reply { return c.post(savePath, `{"name":"n","forecast_params":`+body(t)+`}`).is(201) })
	}
	c.on("lock_contention", `{"hold":"300ms","every":"400ms"}`)
	eventually(t, "a save waits", func() bool { return save() > 100*time.Millisecond })
	c.get(listPath).is(200)
	c.on("lock_contention", `{"hold":"30s","every":"40s","table":"both"}`)
	var waiting sync.WaitGroup
	request := c.request("POST", forecastPath, body(t), nil)
	eventually(t, "the lock is held", func() bool { return c.backends("state = 'idle in transaction'") == 1 })
	waiting.Go(func() {
		if answered, err := c.http.Do(request); err != nil || answered.Body.Close() != nil || answered.StatusCode != http.StatusOK {
			t.Errorf("the forecast that waited: %v %v", answered, err)
		}
	})
	eventually(t, "a forecast waits for a lock", func() bool { return c.backends("wait_event_type = 'Lock'") == 1 })
	c.off("lock_contention")
	waiting.Wait()
	eventually(t, "its session is gone", func() bool { return c.backends("state = 'idle in transaction'") == 0 && c.backends("true") <= 4 })
}

func dependencyDownShows(t *testing.T, c *client) {
	text := body(t, "discount_rate", fmt.Sprintf("0.0%d", time.Now().UnixNano()))
	health := func(what string) func() bool {
		return func() bool { return strings.Contains(string(c.get("/health").is(200).body), what) }
	}
	c.forecast(text)
	c.on("dependency_down", `{"dependency":"postgres"}`)
	for range 3 {
		if got := c.get(listPath).is(503); got.header.Get("Retry-After") != "1" {
			t.Errorf("headers %v", got.header)
		}
	}
	eventually(t, "health tells", health(`"postgres":"down"`))
	if got := c.took(3, func() reply { return c.get(listPath).is(503) }); got > time.Second {
		t.Errorf("it took %v to fail", got)
	}
	c.off("dependency_down")
	eventually(t, "Postgres is back", func() bool { return c.get(listPath).status == 200 })
	c.on("dependency_down", `{"dependency":"redis"}`)
	if c.forecast(text).Cached {
		t.Error("an answer came from a cache that is cut off")
	}
	if got := c.metric("cache_errors_total"); !(got >= 1) {
		t.Errorf("%v errors of the cache", got)
	}
	eventually(t, "health tells", health(`"redis":"down"`))
	c.off("dependency_down")
	eventually(t, "the cache is back", func() bool { return c.forecast(text).Cached })
}

func hangShows(t *testing.T, c *client) {
	c.on("hang", "")
	for _, request := range []*http.Request{c.request("GET", listPath, "", nil), c.request("GET", "/health", "", nil), c.request("POST", forecastPath, body(t), nil)} {
		ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
		if answered, err := c.http.Do(request.WithContext(ctx)); err == nil {
			t.Errorf("%s was answered: %s", request.URL.Path, answered.Status)
			_ = answered.Body.Close()
		}
		cancel()
	}
	eventually(t, "who has left is not kept", func() bool { return c.metric("http_requests_in_flight") == 0 })
	if got := c.metric(`http_requests_total{code="499",method="POST",route="/api/v1/cashflow/forecast"}`); got != 1 {
		t.Errorf("%v forecasts are counted as given up", got)
	}
	request, answers := c.request("POST", forecastPath, body(t), nil), make(chan string, 1)
	go func() {
		answered, err := c.http.Do(request)
		if err != nil {
			answers <- err.Error()
			return
		}
		_, _ = io.Copy(io.Discard, answered.Body)
		_ = answered.Body.Close()
		answers <- answered.Status
	}()
	eventually(t, "it hangs", func() bool { return c.metric("http_requests_in_flight") == 1 })
	c.off("hang")
	if got := <-answers; got != "200 OK" {
		t.Errorf("the one that waited: %s", got)
	}
}

func rateLimitShows(t *testing.T, c *client) {
	c.on("rate_limit", `{"every":"1h","burst":"1h","retry_after":"1500ms"}`)
	for range 3 {
		if got := c.get(listPath).is(429); got.header.Get("Retry-After") != "2" {
			t.Errorf("headers %v", got.header)
		}
	}
	c.get("/health").is(200)
	c.on("rate_limit", `{"every":"400ms","burst":"200ms"}`)
	for _, status := range []int{429, 200, 429} {
		eventually(t, fmt.Sprint("status ", status), func() bool { return c.get(listPath).status == status })
	}
	c.off("rate_limit")
	c.get(listPath).is(200)
}
