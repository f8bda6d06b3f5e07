package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// day is a day of 24 hours.
const day = 24 * time.Hour

// Retention says how long things are kept. It reads and writes as "400d", the time
// for all with the shorter ones bounded as in [DefaultRetention], or as a list that
// sets each: "1m=8d,5m=35d,1h=400d,runs=400d".
type Retention struct {
	// Minute, Five and Hour are of windows of these lengths.
	Minute, Five, Hour time.Duration
	// Runs is of runs, since they ended, and of findings, events and baselines that
	// nobody pinned.
	Runs time.Duration
}

// DefaultRetention keeps what a judgement needs of minutes, a month with its weeks
// to compare, and a year with its seasons.
func DefaultRetention() Retention {
	return Retention{Minute: 8 * day, Five: 35 * day, Hour: 400 * day, Runs: 400 * day}
}

// minRetention is what a judgement after a restart needs at least.
const minRetention = time.Hour

// parts lists what can be set.
func (r *Retention) parts() []struct {
	name string
	time *time.Duration
} {
	return []struct {
		name string
		time *time.Duration
	}{{"1m", &r.Minute}, {"5m", &r.Five}, {"1h", &r.Hour}, {"runs", &r.Runs}}
}

// UnmarshalText reads it. Times are as 400d, 36h or 90m, at least 1h.
func (r *Retention) UnmarshalText(text []byte) error {
	read := DefaultRetention()
	if !strings.Contains(string(text), "=") {
		all, err := parseDays(string(text))
		if err != nil {
			return err
		}
		*r = Retention{Minute: min(read.Minute, all), Five: min(read.Five, all), Hour: all, Runs: all}
		return nil
	}
	for entry := range strings.SplitSeq(string(text), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(entry), "=")
		time, err := parseDays(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		known := false
		for _, part := range read.parts() {
			if part.name == name {
				*part.time, known = time, true
			}
		}
		if !known {
			return fmt.Errorf("%q is not known: it must be 1m, 5m, 1h or runs, as in 1m=8d,5m=35d,1h=400d,runs=400d", name)
		}
	}
	*r = read
	return nil
}

// MarshalText writes it as a list.
func (r Retention) MarshalText() ([]byte, error) {
	var entries []string
	for _, part := range r.parts() {
		text := part.time.String()
		if *part.time%day == 0 {
			text = strconv.FormatInt(int64(*part.time/day), 10) + "d"
		}
		entries = append(entries, part.name+"="+text)
	}
	return []byte(strings.Join(entries, ",")), nil
}

// parseDays reads a duration that may be in days.
func parseDays(text string) (time.Duration, error) {
	parsed, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); found {
		var n int
		n, err = strconv.Atoi(days)
		const century = 36_500
		if n > century {
			err = strconv.ErrRange
		}
		parsed = time.Duration(min(max(n, 0), century)) * day
	}
	if err != nil || parsed < minRetention {
		return 0, fmt.Errorf("%q must be a time of at least 1h and at most 36500d, such as 400d or 36h", text)
	}
	return parsed, nil
}

// of returns how long windows of a length are kept.
func (r Retention) of(level time.Duration) time.Duration {
	switch {
	case level < 5*time.Minute:
		return r.Minute
	case level < time.Hour:
		return r.Five
	}
	return r.Hour
}
