package redis

import (
	"errors"
	"fmt"
	"math"

	"soakd/internal/probes"
)

// maxLatencyEvents bounds how many events of one answer are looked at. Redis
// has about 20 kinds.
const maxLatencyEvents = 100

// latency describes the events of the server's latency monitor.
type latency struct{ last, worst, at *probes.Desc }

func describeLatency(d describer) latency {
	const which = " Events are the server's own: command, fork, aof-fsync-always, expire-cycle, ...; absent while latency-monitor-threshold is 0, and without the right to LATENCY LATEST."
	return latency{
		last:  d.gauge("latency_event_last_seconds", "How long the latest event of this kind lasted that was over latency-monitor-threshold."+which, "event"),
		worst: d.gauge("latency_event_max_seconds", "How long the longest event of this kind lasted since the server started or since LATENCY RESET."+which, "event"),
		at:    d.gauge("latency_event_last_timestamp_seconds", "When the latest event of this kind was."+which, "event"),
	}
}

// latencyEvent is one event of LATENCY LATEST.
type latencyEvent struct {
	name string
	// at is its Unix time; last and worst are in seconds.
	at, last, worst float64
}

// parseLatency parses the answer to LATENCY LATEST: name, time, last and longest
// milliseconds of each event. Valkey adds a sum and a count.
func parseLatency(answer any) ([]latencyEvent, error) {
	rows, ok := answer.([]any)
	if !ok {
		return nil, fmt.Errorf("the answer is a %T, not a list", answer)
	}
	if len(rows) > maxLatencyEvents {
		return nil, fmt.Errorf("%d events; want at most %d", len(rows), maxLatencyEvents)
	}
	events := make([]latencyEvent, 0, len(rows))
	seen := map[string]bool{}
	for _, row := range rows {
		event, err := parseLatencyEvent(row)
		if err != nil {
			return nil, err
		}
		if seen[event.name] {
			return nil, fmt.Errorf("event %.40q is there twice", event.name)
		}
		seen[event.name] = true
		events = append(events, event)
	}
	return events, nil
}

func parseLatencyEvent(row any) (latencyEvent, error) {
	parts, ok := row.([]any)
	if !ok || len(parts) < 4 {
		return latencyEvent{}, errors.New("an event is not a name and three numbers")
	}
	name, ok := parts[0].(string)
	numbers := [3]float64{}
	for i := range numbers {
		number, isNumber := parts[i+1].(int64)
		ok = ok && isNumber && number >= 0
		numbers[i] = float64(number)
	}
	if !ok {
		return latencyEvent{}, errors.New("an event is not a name and three numbers")
	}
	return latencyEvent{name: name, at: numbers[0], last: numbers[1] / milliseconds, worst: numbers[2] / milliseconds}, nil
}

// add adds the events; of those that are not known the worst.
func (l latency) add(reading *probes.Reading, node string, events []latencyEvent) {
	rest, folded := latencyEvent{name: other}, false
	for _, event := range events {
		if knownEvent(event.name) {
			l.addOne(reading, node, event)
			continue
		}
		reading.Overflow++
		folded = true
		rest.last, rest.worst, rest.at = math.Max(rest.last, event.last), math.Max(rest.worst, event.worst), math.Max(rest.at, event.at)
	}
	if folded {
		l.addOne(reading, node, rest)
	}
}

func (l latency) addOne(reading *probes.Reading, node string, event latencyEvent) {
	reading.Add(l.last, event.last, node, event.name)
	reading.Add(l.worst, event.worst, node, event.name)
	reading.Add(l.at, event.at, node, event.name)
}

// knownEvent reports whether name is an event of the sources of Redis and Valkey.
func knownEvent(name string) bool {
	switch name {
	case "command", "fast-command", "fork", "command-unblocking", "while-blocked-cron", "module-acquire-GIL",
		"aof-write", "aof-write-pending-fsync", "aof-write-active-child", "aof-write-alone", "aof-fsync-always",
		"aof-fstat", "aof-rename", "aof-rewrite-diff-write", "rdb-unlink-temp-file",
		"expire-cycle", "expire-del", "eviction-cycle", "eviction-del", "eviction-lazyfree", "active-defrag-cycle",
		"cluster-config-open", "cluster-config-write", "cluster-config-fsync", "cluster-config-rename", "cluster-config-dir-fsync",
		"cluster-config-close", "cluster-config-unlink":
		return true
	default:
		return false
	}
}
