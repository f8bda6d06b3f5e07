package main

import (
	"fmt"
	"strconv"
	"time"

	"soakd/bench/stall"
)

// kind decides which columns a scenario's table has.
type kind int

const (
	kindClosed kind = iota
	kindPaced
	kindStall
	kindLatency
	kindSweep
)

// scenario is one comparison: the same target, several tools in turn.
type scenario struct {
	name, title string
	kind        kind
	// target are the flags of the target.
	target []string
	// pattern is how it stalls; the zero value is not at all.
	pattern stall.Pattern
	entries []entry
}

// entry is one tool with its job; label names it in the table.
type entry struct {
	label, tool string
	job         job
}

// targetFlags adds how many times the target keeps: those of every paced arrival.
func (s scenario) targetFlags(j job) []string {
	return append(s.target, "-keep", strconv.Itoa(j.due()+j.due()/10))
}

// The connections of paced jobs: enough for a target that answers at once.
const (
	users           = 32
	pacedInFlight   = 64
	cashflowFlight  = 256
	latencyInFlight = 256
	sweepInFlight   = 256 // soakd's default
)

// stallPattern is a target that stalls for one second in ten, in their middle, so
// that a run of whole periods that begins a little after the target holds all of
// its stalls and what they leave.
func stallPattern() stall.Pattern {
	return stall.Pattern{Period: 10 * time.Second, From: 5 * time.Second, For: time.Second}
}

// scenarioList lists every scenario but the sweep; length is how long a tool runs in one round.
func scenarioList(length time.Duration) []scenario {
	return append([]scenario{
		full(length), paced2000(length), paced10000(length), stalling(64), stalling(600), cashflowMix(length),
	}, latencies(length)...)
}

// same makes an entry for each tool with the same job.
func same(j job, names ...string) []entry {
	entries := make([]entry, len(names))
	for i, name := range names {
		entries[i] = entry{label: name, tool: name, job: j}
	}
	return entries
}

func full(length time.Duration) scenario {
	j := job{connections: users, duration: length}
	discard := j
	discard.discard = true
	return scenario{
		name: "full", title: fmt.Sprintf("Full speed: %d connections, no pause", users), kind: kindClosed,
		entries: append(same(j, "soakd", "wrk", "bombardier", "fortio", "bare fasthttp", "bare net/http", "vegeta", "k6",
			"Locust FastHttpUser", "Locust HttpUser"), entry{"vegeta, bodies not kept", "vegeta", discard}),
	}
}

func paced2000(length time.Duration) scenario {
	j := job{rate: 2000, connections: pacedInFlight, duration: length}
	ticks := j
	ticks.tick = 5 * time.Millisecond
	discard := j
	discard.discard = true
	entries := append(same(j, "soakd"), entry{"soakd, ticks of 5 ms", "soakd", ticks}, entry{"vegeta, bodies not kept", "vegeta", discard})
	return scenario{
		name: "2000", title: "2 000 arrivals a second, evenly paced", kind: kindPaced,
		entries: append(entries, same(j, "vegeta", "k6", "fortio", "bare fasthttp", "bare net/http")...),
	}
}

func paced10000(length time.Duration) scenario {
	j := job{rate: 10000, connections: pacedInFlight, duration: length}
	capped := j
	capped.capped = true
	entries := append(same(j, "soakd", "bare fasthttp", "fortio", "k6", "vegeta"), entry{"vegeta, 64 workers at most", "vegeta", capped})
	return scenario{name: "10000", title: "10 000 arrivals a second, evenly paced", kind: kindPaced, entries: entries}
}

// stalling always lasts one period: the share of the arrivals that meet the stall
// is then a tenth, whenever the tool begins.
func stalling(connections int) scenario {
	p := stallPattern()
	j := job{rate: 500, connections: connections, duration: p.Period, capped: true, discard: true}
	return scenario{
		name: "stall" + strconv.Itoa(connections), kind: kindStall, pattern: p,
		title:   fmt.Sprintf("500 a second at a target that stalls for 1 s every 10 s, %d connections at most", connections),
		target:  []string{"-stall-period", p.Period.String(), "-stall-from", p.From.String(), "-stall-for", p.For.String()},
		entries: same(j, "soakd", "vegeta", "k6"),
	}
}

func latencies(length time.Duration) []scenario {
	j := job{rate: 2000, connections: latencyInFlight, duration: length, capped: true, discard: true}
	list := []scenario{{
		name: "lognormal", title: "Known latency, log-normal with a median of 5 ms and sigma 0.5", target: []string{"-median", "5ms"},
	}}
	for _, latency := range []string{"1ms", "10ms", "100ms"} {
		list = append(list, scenario{name: "latency" + latency, title: "Known latency of " + latency, target: []string{"-latency", latency}})
	}
	for i := range list {
		list[i].title += ", 2 000 arrivals a second, CPUs kept from halting"
		list[i].kind, list[i].entries = kindLatency, same(j, "soakd", "vegeta", "k6")
	}
	return list
}

func cashflowMix(length time.Duration) scenario {
	j := job{rate: 2000, connections: pacedInFlight, duration: length}
	mix := j
	mix.cashflow, mix.connections = true, cashflowFlight
	return scenario{
		name: "cashflow", title: "2 000 arrivals a second of the cashflow mix at the reference API, and a bare loop at the fixed target", kind: kindPaced,
		entries: append([]entry{{"soakd, cashflow", "soakd", mix}}, same(j, "bare fasthttp")...),
	}
}

// sweep goes up to 80 % of what soakd can send, in arrivals a second.
func sweep(length time.Duration, most float64) scenario {
	s := scenario{name: "sweep", title: fmt.Sprintf("Achieved rate, in parts of soakd's most (%.0f answers a second in the open loop)", most), kind: kindSweep}
	for _, percent := range []int{20, 40, 60, 80} {
		rate := float64(int(most*float64(percent)/100/100)) * 100
		s.entries = append(s.entries, entry{
			fmt.Sprintf("soakd, %d %%", percent), "soakd", job{rate: max(rate, 100), connections: sweepInFlight, duration: length},
		})
	}
	return s
}
