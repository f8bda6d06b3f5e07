package redis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"soakd/internal/probes"
)

const (
	// maxTimes bounds how many commands of one answer are looked at: a command that
	// is asked for is answered with each of its subcommands.
	maxTimes = 1000
	// maxBuckets bounds the buckets of a command. Redis has 31, from 1 us to 1 s.
	maxBuckets = 64
)

// commandTimes describes how long the calls of each command took over a window.
type commandTimes struct {
	took *probes.Desc
	// asked are the commands to ask for.
	asked []string
}

// question is the command that asks for their times. A command is answered with each
// of its subcommands, which would be there twice if they were asked for as well.
func (c commandTimes) question() []any {
	args := []any{"LATENCY", "HISTOGRAM"}
	for _, name := range c.asked {
		if command, _, sub := strings.Cut(name, "|"); !sub || !slices.Contains(c.asked, command) {
			args = append(args, name)
		}
	}
	return args
}

func describeCommandTimes(d describer) commandTimes {
	return commandTimes{took: d.gauge("command_latency_seconds", "Time that this share (percentile 50, 99 or 99.9) of the calls of the last window (SOAKD_REDIS_HIT_WINDOW) took at most, by command of SOAKD_REDIS_COMMANDS: as the server measures it, without waiting in line and the network, and up to twice too high (LATENCY HISTOGRAM). Absent when it was not called, before Redis 7, and without the right to LATENCY HISTOGRAM.", "command", "percentile")}
}

// distribution counts the calls of a command: buckets in ascending order, each
// with those of all before it.
type distribution []bucket

type bucket struct {
	// microseconds is the upper bound.
	microseconds int64
	// calls is how many calls took at most as long.
	calls int64
}

// upTo is how many calls took at most that long.
func (d distribution) upTo(microseconds int64) int64 {
	var calls int64
	for _, b := range d {
		if b.microseconds > microseconds {
			break
		}
		calls = b.calls
	}
	return calls
}

// quantile returns the time in seconds that a share q of the calls took at most
// that came after older, an earlier state of the same counts. ok is false when
// there were none.
func (d distribution) quantile(older distribution, q float64) (seconds float64, ok bool) {
	if len(d) == 0 {
		return 0, false
	}
	last := d[len(d)-1]
	calls := last.calls - older.upTo(last.microseconds)
	if calls <= 0 {
		return 0, false
	}
	for _, b := range d {
		if float64(b.calls-older.upTo(b.microseconds)) >= q*float64(calls) {
			return float64(b.microseconds) / microseconds, true
		}
	}
	return float64(last.microseconds) / microseconds, true
}

// parseTimes parses the answer to LATENCY HISTOGRAM: names and lists of calls, a
// number, histogram_usec, and a list of bounds and counts.
func parseTimes(answer any) (map[string]distribution, error) {
	list, ok := answer.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, errors.New("the answer is not a list of commands and their times")
	}
	if len(list) > 2*maxTimes {
		return nil, fmt.Errorf("%d commands; want at most %d", len(list)/2, maxTimes)
	}
	times := make(map[string]distribution, len(list)/2)
	for pair := range slices.Chunk(list, 2) {
		name, ok := pair[0].(string)
		if !ok {
			return nil, fmt.Errorf("the name of a command is a %T", pair[0])
		}
		if _, twice := times[name]; twice {
			return nil, fmt.Errorf("command %.40q is there twice", name)
		}
		counts, err := parseDistribution(pair[1])
		if err != nil {
			return nil, fmt.Errorf("command %.40q: %w", name, err)
		}
		times[name] = counts
	}
	return times, nil
}

func parseDistribution(answer any) (distribution, error) {
	parts, ok := answer.([]any)
	if !ok || len(parts) != 4 || parts[2] != "histogram_usec" {
		return nil, errors.New("want calls and histogram_usec")
	}
	numbers, ok := parts[3].([]any)
	if !ok || len(numbers)%2 != 0 || len(numbers) > 2*maxBuckets {
		return nil, fmt.Errorf("want at most %d bounds and counts", maxBuckets)
	}
	var counts distribution
	last := bucket{}
	for pair := range slices.Chunk(numbers, 2) {
		bound, isBound := pair[0].(int64)
		calls, isCount := pair[1].(int64)
		if !isBound || !isCount || bound <= last.microseconds || calls < last.calls {
			return nil, errors.New("the bounds and counts do not rise")
		}
		last = bucket{bound, calls}
		counts = append(counts, last)
	}
	return counts, nil
}

// add adds the percentiles of each command that was called since first.
func (c commandTimes) add(reading *probes.Reading, node string, now, first map[string]distribution) {
	for _, command := range slices.Sorted(maps.Keys(now)) {
		if !slices.Contains(c.asked, command) {
			continue // a subcommand of one that is
		}
		for _, p := range []struct {
			percentile string
			q          float64
		}{{"50", 0.5}, {"99", 0.99}, {"99.9", 0.999}} {
			if seconds, ok := now[command].quantile(first[command], p.q); ok {
				reading.Add(c.took, seconds, node, command, p.percentile)
			}
		}
	}
}

// timesWindow remembers the times of all commands.
type timesWindow struct {
	window[map[string]distribution]
}

// add takes in the times of a poll and returns what to compare them with.
func (w *timesWindow) add(at time.Time, now map[string]distribution) map[string]distribution {
	if last, ok := w.last(); ok && fell(now, last) {
		w.clear()
	}
	return w.window.add(at, now)
}

// fell reports whether a command has fewer calls than before.
func fell(now, last map[string]distribution) bool {
	for command, before := range last {
		if n := len(before); n > 0 && now[command].upTo(before[n-1].microseconds) < before[n-1].calls {
			return true
		}
	}
	return false
}
