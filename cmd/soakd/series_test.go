package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// seriesBudget is the number of series that docs/performance.md promises for the
// default configuration with Postgres, Redis and the API's metrics, on a target
// that answers rightly. Prometheus adds five of its own for each target.
const seriesBudget = 3000

// countSeries counts the series that Prometheus makes of a page with classic
// histograms, soakd's own of the Go runtime and the process among them.
func countSeries(all map[string]*dto.MetricFamily) int {
	n := 0
	for _, family := range all {
		for _, metric := range family.GetMetric() {
			n++
			if h := metric.GetHistogram(); h != nil {
				n += len(h.GetBucket()) + 1 // _sum; _count was counted
			}
			if s := metric.GetSummary(); s != nil {
				n += len(s.GetQuantile()) + 1
			}
		}
	}
	return n
}

// churn makes of Postgres and Redis what weeks bring: applications, databases,
// tables, statements and clients that nobody has configured.
func (b *bench) churn(t *testing.T, round int) {
	t.Helper()
	ctx := t.Context()
	cfg, err := pgx.ParseConfig(b.services.postgres.AdminURL().Value())
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["application_name"] = fmt.Sprintf("job-%d", round)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // it has done its work
	for _, statement := range []string{
		"CREATE TABLE churn_%d (id int)", "SELECT count(*) AS c%d FROM pg_class", "CREATE DATABASE churn_%d", "INSERT INTO churn_%d VALUES (1)", "CREATE ROLE churn_%d",
	} {
		if _, err := conn.Exec(ctx, fmt.Sprintf(statement, round)); err != nil {
			t.Fatal(err)
		}
	}
	options, err := redis.ParseURL(b.services.redis.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	options.ClientName, options.DB = fmt.Sprintf("client-%d", round), round%16
	client := redis.NewClient(options)
	defer client.Close() //nolint:errcheck // it has done its work
	if err := client.Set(ctx, fmt.Sprintf("key-%d", round), "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	client.Do(ctx, fmt.Sprintf("UNKNOWN%d", round)) // an error of its own
	client.Do(ctx, "LPUSH", fmt.Sprintf("key-%d", round), "wrong type")
}

// The default configuration keeps to its budget of series, and what comes and goes
// in Postgres and Redis adds none once every kind of it has been there.
func TestSeriesBudget(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := newBench(t)
	d := b.daemon(t, "--rate", "200", "--users", "4")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%v; log:\n%s", err, b.log)
		}
		if err := b.services.stop(); err != nil {
			t.Error(err)
		}
	}()
	finished := func(n int64) func() bool {
		return func() bool { return d.engine.Counts().Finished >= n }
	}
	polled := func() float64 { return slices.Min(values(sum(metricsOf(t, d), "soakd_probe_polls_total", "probe"))) }
	wait(t, "every case to have been sent", finished(1500), b.log)
	healthy := countSeries(metricsOf(t, d))
	t.Logf("%d series after %d requests", healthy, d.engine.Counts().Finished)
	if healthy > seriesBudget {
		t.Errorf("%d series, the budget is %d", healthy, seriesBudget)
	}

	// The first rounds bring the databases 0 to 15 of Redis and what is counted from
	// its first time on. A value alone, such as the age of a transaction, may come
	// and go.
	most := map[string]int{}
	for round := range 64 {
		b.churn(t, round)
		if round%16 != 15 {
			continue
		}
		seen := polled()
		wait(t, "two polls of each probe", func() bool { return polled() >= seen+2 }, b.log)
		for name, family := range metricsOf(t, d) {
			// What Redis takes for slow depends on what else the machine does; its kinds are
			// those of a short list.
			if (!strings.HasPrefix(name, "soakd_postgres_") && !strings.HasPrefix(name, "soakd_redis_")) || strings.HasPrefix(name, "soakd_redis_latency_event_") {
				continue
			}
			n := len(family.GetMetric())
			if round > 31 && n > max(1, most[name]) {
				t.Errorf("after %d rounds %s has %d series, it had %d", round+1, name, n, most[name])
			}
			most[name] = max(most[name], n)
		}
	}
	if n := most["soakd_redis_keys"]; n < 16 {
		t.Errorf("the churn is not seen: soakd_redis_keys has %d series", n)
	}
}

func values(by map[string]float64) []float64 {
	var all []float64
	for _, v := range by {
		all = append(all, v)
	}
	return all
}
