package correlate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

// What is compared around an onset, in minutes.
const (
	// beforeSpan ends near minutes before the onset: what moved shortly before has moved then.
	beforeSpan, afterSpan   = 60, 30
	beforeLeast, afterLeast = 15, 4
	// near is how far from the onset a signal may have moved.
	near = 15
	// slopeLeast is how many minutes of a leak or drift it takes, and slopePoints into
	// how many means they are put, at most.
	slopeLeast, slopePoints = 30, 60
)

// Of the decision.
const (
	// significance is the p of a hint, corrected for all signals that are looked at (Holm).
	significance = 0.01
	// effectLeast is the least movement, in standard deviations of the signal before.
	effectLeast = 4
	// relativeNoise is taken for the deviation of a signal that scatters less: a share
	// of its level.
	relativeNoise = 0.02
)

// movement is what one series did, before the correction for many.
type movement struct {
	one           *series
	before, after float64
	effect, p     float64
	moved         int64
}

// Around returns at most so many signals that moved with the symptom, the best first.
// A symptom with a slope (a leak, a drift) is set beside signals that began to rise or fall with it,
// any other beside those whose level shifted at its onset. The symptom's own metric
// is left out, and of a metric with several labels all but the best.
func (s *Store) Around(symptom *finding.Symptom, most int) []finding.Hint {
	onset := minuteOf(symptom.Onset)
	own, _, _ := strings.Cut(symptom.Subject.Signal, "{")
	var moves []movement
	for _, one := range s.order {
		if one.name == own || isClock(one.name) {
			continue
		}
		var m movement
		var ok bool
		if symptom.Kind == finding.Leak || symptom.Kind == finding.LatencyDrift {
			m, ok = s.trend(one, onset)
		} else {
			m, ok = s.shift(one, onset)
		}
		if ok {
			moves = append(moves, m)
		}
	}
	return hints(symptom, significantOnes(moves), most)
}

// isClock tells whether a signal is a time that passes: it always moves.
func isClock(name string) bool {
	return strings.HasSuffix(name, "_timestamp_seconds") || strings.HasSuffix(name, "_time_seconds") || strings.HasSuffix(name, "_uptime_seconds") || strings.HasPrefix(name, "soakd_postgres_table_last_")
}

// significantOnes leaves those that moved for sure and far enough. All that were
// looked at count for the correction.
func significantOnes(moves []movement) []movement {
	p := make([]float64, len(moves))
	for i, m := range moves {
		p[i] = m.p
	}
	var kept []movement
	for i, adjusted := range stats.Holm(p) {
		if adjusted <= significance && moves[i].effect >= effectLeast {
			kept = append(kept, moves[i])
		}
	}
	return kept
}

// shift compares the levels on both sides of the onset, and looks for the minute at
// which the signal itself moved. It is false when there is not enough of it.
func (s *Store) shift(one *series, onset int64) (movement, bool) {
	before, beforeMinutes := one.stretch(onset-near-beforeSpan, onset-near, 1)
	after, afterMinutes := one.stretch(onset+1, min(onset+1+afterSpan, s.end), 1)
	if len(before) < beforeLeast || len(after) < afterLeast {
		return movement{}, false
	}
	m := compare(before, after)
	m.one, m.moved = one, onset
	if flatBefore, flatAfter, ok := withoutTrend(before, beforeMinutes, after, afterMinutes); ok {
		// It has to have moved with the trend as well as without: one of both is a chance.
		flat := compare(flatBefore, flatAfter)
		m.effect, m.p = min(m.effect, flat.effect), max(m.p, flat.p)
	}
	if m.effect >= effectLeast {
		values, minutes := one.stretch(onset-2*near, min(onset+2*near, s.end), 1)
		if split := stepAt(values); split > 0 {
			m.moved = minutes[split]
		}
		if lag := m.moved - onset; lag < -near || lag > near {
			m.p = 1
		}
	}
	return m, true
}

// compare compares two levels. The p of the rank test is weakened for values that depend
// on those before.
func compare(before, after []float64) movement {
	m := movement{before: stats.Median(before), after: stats.Median(after)}
	_, p := stats.MannWhitney(before, after)
	m.p = weaker(p, (stats.EffectiveSize(before)+stats.EffectiveSize(after))/float64(len(before)+len(after)))
	m.effect = math.Abs(m.after-m.before) / noise(before, m.before, m.after)
	return m
}

// withoutTrend takes a trend that was there before the onset off both sides, so that what
// always rises, or rises with the day, does not seem to move. It is false when there was none.
func withoutTrend(before []float64, beforeMinutes []int64, after []float64, afterMinutes []int64) (flatBefore, flatAfter []float64, found bool) {
	if stats.MannKendallCorrected(before).P > 1e-3 {
		return nil, nil, false
	}
	x := floats(beforeMinutes)
	line, ok := stats.TheilSen(x, before, 0.9)
	if !ok {
		return nil, nil, false
	}
	end := x[len(x)-1]
	flat := func(y []float64, minutes []int64) []float64 {
		out := make([]float64, len(y))
		for i := range y {
			out[i] = y[i] - line.Slope*(float64(minutes[i])-end)
		}
		return out
	}
	return flat(before, beforeMinutes), flat(after, afterMinutes), true
}

func floats(minutes []int64) []float64 {
	x := make([]float64, len(minutes))
	for i, minute := range minutes {
		x[i] = float64(minute)
	}
	return x
}

// weaker is p as it would be with fewer independent values: the z of a rank test
// goes with the root of their number, so log p about with their number.
func weaker(p, share float64) float64 { return math.Pow(p, share) }

// noise is the standard deviation of a signal before, or what is taken for it when the signal
// hardly scatters.
func noise(before []float64, levels ...float64) float64 {
	size := math.SmallestNonzeroFloat32
	for _, level := range levels {
		size = max(size, math.Abs(level))
	}
	return max(stats.MAD(before), spread(before)/2, relativeNoise*size)
}

// spread is the distance of the outer twentieths in standard deviations of a normal
// variable, which sees bursts that the MAD does not.
func spread(y []float64) float64 {
	return (stats.Quantile(y, 0.95) - stats.Quantile(y, 0.05)) / 3.29
}

// stepAt is the first index of the second of the two levels that fit best (least
// squares), 0 when there are too few values.
func stepAt(y []float64) int {
	total := 0.0
	for _, v := range y {
		total += v
	}
	best, at, sum, n := 0.0, 0, 0.0, float64(len(y))
	for i := 0; i+2 < len(y); i++ {
		sum += y[i]
		left, right := float64(i+1), n-float64(i+1)
		apart := sum/left - (total-sum)/right
		if gain := left * right / n * apart * apart; i > 0 && gain > best {
			best, at = gain, i+1
		}
	}
	return at
}

// trend asks whether the signal rises or falls since the onset, and did not before.
func (s *Store) trend(one *series, onset int64) (movement, bool) {
	from := max(onset, s.end-kept/2)
	span := s.end - from
	if span < slopeLeast {
		return movement{}, false
	}
	step := max(1, (span+slopePoints-1)/slopePoints)
	since, minutes := one.stretch(from, s.end, step)
	before, beforeMinutes := one.stretch(max(from-span, s.end-kept), from, step)
	if len(since) < slopeLeast*2/3 {
		return movement{}, false
	}
	hour := func(minutes []int64) []float64 {
		x := floats(minutes)
		for i := range x {
			x[i] = (x[i] - float64(from)) / 60
		}
		return x
	}
	line, ok := stats.TheilSen(hour(minutes), since, 0.99)
	if !ok {
		return movement{}, false
	}
	hours := float64(span) / 60
	m := movement{one: one, before: line.Intercept, after: line.Intercept + line.Slope*hours, p: stats.MannKendallCorrected(since).P, moved: from}
	// The growth that counts is what was not there before.
	growth := line.Slope * hours
	quiet := since
	if len(before) >= slopeLeast/3 {
		quiet = before
		if earlier, ok := stats.TheilSen(hour(beforeMinutes), before, 0.9); ok {
			growth -= earlier.Slope * hours
			quiet = rest(hour(beforeMinutes), before, earlier)
		}
		all := append(slices.Clone(before), since...)
		m.moved = turnAt(all, append(slices.Clone(beforeMinutes), minutes...))
	} else {
		quiet = rest(hour(minutes), quiet, line)
	}
	if growth*line.Slope <= 0 {
		growth = 0
	}
	m.effect = math.Abs(growth) / noise(quiet, m.before, m.after)
	return m, true
}

// rest is what a line leaves.
func rest(x, y []float64, line stats.Slope) []float64 {
	out := make([]float64, len(y))
	for i := range y {
		out[i] = y[i] - line.Intercept - line.Slope*x[i]
	}
	return out
}

// turnAt is the minute at which a level turns into a line, by least squares.
func turnAt(y []float64, minutes []int64) int64 {
	best, at, sum := math.Inf(1), minutes[0], 0.0
	for k := range y {
		sum += y[k]
		if k < 2 || k+3 > len(y) {
			continue
		}
		level, xy, xx := sum/float64(k+1), 0.0, 0.0
		for i := k; i < len(y); i++ {
			x := float64(minutes[i] - minutes[k])
			xy += x * (y[i] - level)
			xx += x * x
		}
		cost := 0.0
		for i := range y {
			fitted := level
			if i > k {
				fitted += xy / xx * float64(minutes[i]-minutes[k])
			}
			cost += (y[i] - fitted) * (y[i] - fitted)
		}
		if cost < best {
			best, at = cost, minutes[k]
		}
	}
	return at
}

// hints ranks what moved, and describes it.
func hints(symptom *finding.Symptom, moves []movement, most int) []finding.Hint {
	onset := minuteOf(symptom.Onset)
	found := make([]finding.Hint, 0, len(moves))
	for _, m := range moves {
		lag := time.Duration(m.moved-onset) * time.Minute
		hint := finding.Hint{
			Signal: m.one.id, Before: m.before, After: m.after, Unit: unitOf(m.one), Moved: timeOf(m.moved), LagSeconds: lag.Seconds(),
			Score: m.effect / (m.effect + effectLeast) * math.Exp(-math.Abs(lag.Minutes())/60),
		}
		hint.Text = text(m.one, &hint)
		found = append(found, hint)
	}
	slices.SortFunc(found, func(a, b finding.Hint) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Signal, b.Signal))
	})
	seen := map[string]bool{}
	found = slices.DeleteFunc(found, func(h finding.Hint) bool {
		name, _, _ := strings.Cut(h.Signal, "{")
		double := seen[name]
		seen[name] = true
		return double
	})
	return found[:min(max(most, 0), len(found))]
}

// unitOf follows from the name, as Prometheus wants it.
func unitOf(one *series) string {
	if one.kind == window.Counter {
		return "per second"
	}
	for _, unit := range []string{"seconds", "bytes", "ratio"} {
		if strings.HasSuffix(one.name, "_"+unit) {
			return unit
		}
	}
	return "count"
}

// text is such as "api pool waits (replica="main") rose from 0 to 12 a second, 3 min before".
func text(one *series, h *finding.Hint) string {
	name := strings.TrimPrefix(one.name, "soakd_")
	what := ""
	for _, suffix := range []string{"_total", "_seconds", "_bytes"} {
		if rest, found := strings.CutSuffix(name, suffix); found {
			name = rest
			if suffix != "_total" {
				what = " " + suffix[1:]
			}
		}
	}
	name = strings.ReplaceAll(name, "_", " ")
	if one.labels != "" {
		name += " (" + strings.ReplaceAll(one.labels, ",", ", ") + ")"
	}
	if one.kind == window.Counter {
		what += " a second"
	}
	verb := "rose"
	if h.After < h.Before {
		verb = "fell"
	}
	return fmt.Sprintf("%s %s from %s to %s%s, %s", name, verb, figure(h.Before), figure(h.After), what, lagText(time.Duration(h.LagSeconds*float64(time.Second))))
}

func figure(v float64) string {
	if math.Abs(v) >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// lagText knows minutes only: that is how the signals are kept.
func lagText(lag time.Duration) string {
	minutes := int64(lag / time.Minute)
	switch {
	case minutes < -1:
		return fmt.Sprintf("%d min before", -minutes)
	case minutes > 1:
		return fmt.Sprintf("%d min after", minutes)
	default:
		return "at the same time"
	}
}
