package redis

import (
	"fmt"

	"soakd/internal/probes"
)

// The settings that CONFIG GET is asked for: without them nobody can tell an
// empty slow log from one that is off.
const (
	slowlogThreshold = "slowlog-log-slower-than"   // in microseconds; below 0: off
	latencyThreshold = "latency-monitor-threshold" // in milliseconds; 0: off
)

// thresholds describes from when on the server calls something slow.
type thresholds struct {
	slowlog, latency *probes.Desc
	// wanted tells that the server is asked: CONFIG GET needs a right that is not
	// given lightly, because it shows passwords.
	wanted bool
}

func describeThresholds(d describer) thresholds {
	return thresholds{
		slowlog: d.gauge("slowlog_threshold_seconds", "Time from which on a command goes to the slow log (slowlog-log-slower-than); absent when the log is off, and without SOAKD_REDIS_READ_CONFIG."),
		latency: d.gauge("latency_monitor_threshold_seconds", "Time from which on an event counts as slow (latency-monitor-threshold); absent when the monitor is off, and without SOAKD_REDIS_READ_CONFIG."),
	}
}

// add adds the setting of that name, whose value is text.
func (t thresholds) add(reading *probes.Reading, node, name, text string) error {
	value, err := parseNumber(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case name == slowlogThreshold && value >= 0:
		reading.Add(t.slowlog, value/microseconds, node)
	case name == latencyThreshold && value > 0:
		reading.Add(t.latency, value/milliseconds, node)
	}
	return nil
}
