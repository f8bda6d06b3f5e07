package drills

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/dashboards"
)

// pace says how many times as fast an alert's time goes in a drill: windows and
// offsets of its expression by the one factor, how long the condition must hold
// by the other. What is compared with, the factors of burn rates and the limits of
// the signals, stays.
type pace struct{ windows, hold int64 }

// usualPace makes a minute a second: [5m] becomes [5s], five scrapes of 1 s.
const usualPace = 60

// paceOf returns the pace of an alert. Few are not [usualPace]: a window must
// hold what fills it, and what was usual before must fit into a minute.
func paceOf(alert string) pace {
	own := map[string]pace{
		// Windows of the judgement last 10 s whatever the rules say: three of them.
		"SoakdUnfit": {windows: 20, hold: usualPace},
		// A scrape may take longer than its second on a busy machine, not ten times.
		"SoakdDown": {windows: usualPace, hold: 12},
		// soakd stores its history once a minute.
		"SoakdHistoryFailing": {windows: 4, hold: usualPace},
		// An hour before is half a minute before.
		"SoakdRedisHitRatioFell":     {windows: 120, hold: usualPace},
		"SoakdRedisEvictionsStarted": {windows: 120, hold: usualPace},
		// Each long window becomes a minute, each short one 5 s.
		"SoakdErrorBudgetBurnsSteadily": {windows: 360, hold: usualPace},
		"SoakdErrorBudgetBurnsSlowly":   {windows: 4320, hold: usualPace},
	}
	if p, ok := own[alert]; ok {
		return p
	}
	return pace{windows: usualPace, hold: usualPace}
}

// inBrackets matches a range or a subquery, offsetBy an offset, ageBelow the one
// duration that is written as a number of seconds.
var (
	inBrackets = regexp.MustCompile(`\[(\w+)(?::(\w+))?\]`)
	offsetBy   = regexp.MustCompile(`\boffset (\w+)`)
	ageBelow   = regexp.MustCompile(`(process_start_time_seconds < )(\d+)\b`)
)

// shorten divides every duration of an expression.
func shorten(expr string, by int64) string {
	expr = inBrackets.ReplaceAllStringFunc(expr, func(text string) string {
		match := inBrackets.FindStringSubmatch(text)
		if match[2] == "" {
			return "[" + divided(match[1], by) + "]"
		}
		return "[" + divided(match[1], by) + ":" + divided(match[2], by) + "]"
	})
	expr = offsetBy.ReplaceAllStringFunc(expr, func(text string) string {
		return "offset " + divided(strings.TrimPrefix(text, "offset "), by)
	})
	return ageBelow.ReplaceAllStringFunc(expr, func(text string) string {
		match := ageBelow.FindStringSubmatch(text)
		seconds, err := strconv.ParseInt(match[2], 10, 64)
		if err != nil {
			return text // then the test below finds it
		}
		return match[1] + strconv.FormatInt(seconds/by, 10)
	})
}

// divided writes a duration, divided, in whole milliseconds.
func divided(text string, by int64) string {
	return fmt.Sprintf("%dms", parsed(text).Milliseconds()/by)
}

// units are those of Prometheus' durations that our rules use.
var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}

// parsed reads a duration of one unit, as all of our rules have them; 0 for none.
func parsed(text string) time.Duration {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text[:len(text)-1])
	if err != nil {
		return 0
	}
	return time.Duration(n) * units[text[len(text)-1]]
}

// drilled are the rules that alerts need: not those that only panels read, which
// are evaluated at times of their own.
func drilled() []dashboards.Group {
	return slices.DeleteFunc(dashboards.Default().Rules(), func(g dashboards.Group) bool { return g.Interval != "" })
}

// shortened returns the rules for drills.
func shortened() []dashboards.Group {
	groups := drilled()
	for g := range groups {
		for i := range groups[g].Recordings {
			one := &groups[g].Recordings[i]
			one.Query = shorten(one.Query, usualPace)
		}
		for i := range groups[g].Alerts {
			one := &groups[g].Alerts[i]
			p := paceOf(one.Name)
			one.Signal, one.Only, one.Condition = shorten(one.Signal, p.windows), shorten(one.Only, p.windows), shorten(one.Condition, p.windows)
			if one.For != "" {
				one.For = divided(one.For, p.hold)
			}
		}
	}
	return groups
}

// Of shortened rules every duration is in milliseconds, none is below what four
// scrapes need, and apart from durations nothing is changed.
func TestShortenedRulesKeepAllButTime(t *testing.T) {
	const least = 4 * time.Second
	ours, short := drilled(), shortened()
	compare := func(name, before, after string) {
		if masked(before) != masked(after) {
			t.Errorf("%s: more than durations changed:\n%s\n%s", name, before, after)
		}
		for _, match := range inBrackets.FindAllStringSubmatch(after, -1) {
			took, err := time.ParseDuration(match[1])
			if err != nil || !strings.HasSuffix(match[1], "ms") || took < least {
				t.Errorf("%s: range %s, want %v at least, in ms", name, match[0], least)
			}
		}
		for _, match := range offsetBy.FindAllStringSubmatch(after, -1) {
			if !strings.HasSuffix(match[1], "ms") {
				t.Errorf("%s: %s is not shortened", name, match[0])
			}
		}
		if found := regexp.MustCompile(`\b\d+[smhdwy]\b`).FindString(after); found != "" {
			t.Errorf("%s: %s is not shortened in\n%s", name, found, after)
		}
		if strings.Contains(after, "time_seconds < 900") {
			t.Errorf("%s: the age of 900 s is not shortened", name)
		}
	}
	for g := range ours {
		for i, r := range ours[g].Recordings {
			compare(r.Record, r.Query, short[g].Recordings[i].Query)
		}
		for i, a := range ours[g].Alerts {
			compare(a.Name, a.Expr(), short[g].Alerts[i].Expr())
			if got := short[g].Alerts[i].For; a.For != "" && got != divided(a.For, paceOf(a.Name).hold) {
				t.Errorf("%s: for %s instead of %s", a.Name, got, a.For)
			}
		}
	}
}

// masked is an expression without its durations.
func masked(expr string) string {
	expr = inBrackets.ReplaceAllString(expr, "[]")
	return ageBelow.ReplaceAllString(offsetBy.ReplaceAllString(expr, "offset"), "age")
}

func TestShorten(t *testing.T) {
	for expr, want := range map[string]string{
		"rate(a[5m])":                               "rate(a[5000ms])",
		"a offset 30m":                              "a offset 30000ms",
		"count_over_time(a[3d:72m]) / 60":           "count_over_time(a[4320000ms:72000ms]) / 60",
		"time() - process_start_time_seconds < 900": "time() - process_start_time_seconds < 15",
		"a > 900":                          "a > 900",
		"last_over_time(a[1d] offset 15m)": "last_over_time(a[1440000ms] offset 15000ms)",
	} {
		if got := shorten(expr, usualPace); got != want {
			t.Errorf("%s became %s, want %s", expr, got, want)
		}
	}
}
