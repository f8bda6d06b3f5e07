//go:build unix

package cashflow

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"soakd/internal/load"
	"soakd/internal/load/auth"
	"soakd/internal/secret"
)

// recorded is an arrival, with the answer that the reference API gave to it.
type recorded struct {
	name     string
	arrival  uint64
	exchange *load.Exchange
}

// recordedUsers have more than a full page of scenarios and of forecasts each.
const (
	recordedUsers = 3
	recordedFill  = 110
	// recordedArrivals are drawn by weight, then come the cases that were not among them.
	recordedArrivals = 1000
)

// record sends the mix, drawn by weight, to the reference API on a real Postgres
// and a real Redis: what is measured is the form and size of true answers.
func record(b *testing.B) (w *bench, all []recorded) {
	b.Helper()
	server := startAPI(b)
	source, err := auth.New(auth.Config{JWTSecret: secret.New(apiKey), UserPrefix: "vu"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	w = newBench(b, Config{Users: recordedUsers, Seed: 11, Today: time.Now, CanMint: true})
	d := &driver{bench: w, server: server, source: source, counts: map[string]int{}}
	mix, err := load.NewMix(w.Workload, recordedUsers, 11)
	if err != nil {
		b.Fatal(err)
	}
	for i := range uint64(recordedUsers * recordedFill) {
		for _, name := range []string{"save_scenario", "forecast"} {
			d.send(b, w.cases[name], func() load.Draw { return drawOf(int(i%recordedUsers), 1e9+i) })
		}
	}
	keep := func(c *load.Case, user int, arrival uint64) {
		all = append(all, recorded{c.Name, arrival, d.exchange(b, c, user, arrival)})
	}
	for n := range int64(recordedArrivals) {
		// So late that every user may have any case again.
		arrival := mix.Next(n, time.Duration(n)*complexInterval)
		keep(arrival.Case, arrival.User, uint64(n))
	}
	for _, c := range w.Cases {
		if !slices.ContainsFunc(all, func(r recorded) bool { return r.name == c.Name }) {
			keep(c, 0, recordedArrivals)
		}
	}
	return w, all
}

// exchange makes one request of a case, without checking the answer.
func (d *driver) exchange(b *testing.B, c *load.Case, user int, arrival uint64) *load.Exchange {
	b.Helper()
	r := d.build(b, c.Name, drawOf(user, arrival))
	ctx, cancel := context.WithTimeout(b.Context(), c.Timeout)
	defer cancel()
	sent := time.Now()
	response, body, err := d.do(ctx, testUser(user), r)
	if err != nil {
		if c.Name == "invalid_body_big" { // the API may close before it has read all
			response, body = &load.Response{Status: http.StatusRequestEntityTooLarge, Header: jsonHeader()}, []byte(`{"detail":"x"}`)
		} else {
			b.Fatalf("%s: %v", c.Name, err)
		}
	}
	response.Body = body
	return &load.Exchange{User: testUser(user), Request: r, Response: response, Sent: sent, Received: time.Now()}
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}}
}

// recording is all that was recorded.
type recording struct {
	w   *bench
	all []recorded
}

// recordOnce is shared by the benchmarks, which would else start an API each.
var recordOnce = sync.OnceValue(func() func(b *testing.B) recording {
	var r recording
	return func(b *testing.B) recording {
		if r.w == nil {
			r.w, r.all = record(b)
		}
		return r
	}
})

func (r recording) of(name string) []recorded {
	var some []recorded
	for _, one := range r.all {
		if name == "mix" && len(some) < recordedArrivals || one.name == name {
			some = append(some, one)
		}
	}
	return some
}

// cpuTime is what the process has used. Beside the time on the clock it tells what
// an operation costs on a machine that does other things too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// benchmarkCases runs a benchmark for each valid case, two invalid ones and the
// whole mix by weight, over what was recorded of them.
func benchmarkCases(b *testing.B, run func(b *testing.B, w *bench, some []recorded)) {
	r := recordOnce()(b)
	names := []string{"mix"}
	for _, c := range r.w.Cases {
		if !strings.HasPrefix(c.Name, "invalid_") || slices.Contains([]string{"invalid_principal_huge", "invalid_scenario_unknown"}, c.Name) {
			names = append(names, c.Name)
		}
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			some, before := r.of(name), cpuTime(b)
			run(b, r.w, some)
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	benchmarkCases(b, func(b *testing.B, w *bench, some []recorded) {
		p := newPlace()
		for i := 0; b.Loop(); i++ {
			one := &some[i%len(some)]
			r, err := p.build(w.cases[one.name], one.exchange.User, one.arrival)
			if err != nil {
				b.Fatal(err)
			}
			release(r)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	benchmarkCases(b, func(b *testing.B, w *bench, some []recorded) {
		bytes := 0
		for _, one := range some {
			bytes += len(one.exchange.Response.Body)
		}
		b.SetBytes(int64(bytes / len(some)))
		fail := func(check string, err error) { b.Fatalf("%s: %v", check, err) }
		for i := 0; b.Loop(); i++ {
			one := &some[i%len(some)]
			w.cases[one.name].Verify(one.exchange, fail)
		}
		b.ReportMetric(float64(bytes/len(some)), "B/answer")
	})
}
