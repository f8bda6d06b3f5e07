package leak

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

// A process that is restarted again and again may leak without ever coming near its
// limit. No one life is long enough to tell; several that grow alike are.
const (
	// livesLeast is how many lives in a row have to agree, livesMost how many are looked at.
	livesLeast, livesMost = 4, 8
	// lifePoints is the least number of blocks of 5 min in a life after its warm-up.
	lifePoints = 8
	// livesAlike is by how much of their median the slopes may differ.
	livesAlike = 0.4
	// lifeSignificance is the p of the trend of each life; livesLeast of them multiply.
	lifeSignificance = 0.01
)

// lifeTrend is how a series went in one life.
type lifeTrend struct {
	grows         bool
	slope, growth float64 // per hour; in the life
	p             float64
}

// savedLeak is a leak that restarts cut short.
type savedLeak struct {
	symptom finding.Symptom
	// until is the minute by which the next life has to have ended.
	until int64
}

// endLife closes the life of now: its leak is over, its trend is kept.
func (s *series) endLife(minute int64) {
	l := s.current()
	l.to = minute
	if s.leak != nil {
		s.lastSlope = s.leak.slope.Slope
		s.end(minute, "the process was restarted")
	}
	var points []point
	for step := (l.from + warmLeast/2 + coarse - 1) / coarse; (step+1)*coarse <= minute; step++ {
		if v := s.coarse.at(step); !math.IsNaN(v) {
			points = append(points, point{x: float64(step) * coarse / 60, y: v})
		}
	}
	// A long life was judged by itself.
	if len(points) <= 12*12 {
		l.trend = trendOf(points)
	}
	s.judgeLives(minute)
}

// trendOf is the trend of a life: it grows when it does so in both halves.
func trendOf(points []point) lifeTrend {
	if len(points) < lifePoints {
		return lifeTrend{}
	}
	x, y := split(points)
	line, ok := stats.TheilSen(x, y, 0.95)
	half := len(points) / 2
	first, ok1 := stats.TheilSen(x[:half], y[:half], 0.95)
	second, ok2 := stats.TheilSen(x[half:], y[half:], 0.95)
	p := stats.MannKendallCorrected(y).P / 2
	if !ok || !ok1 || !ok2 || line.Slope <= 0 || p > lifeSignificance || first.Slope <= 0 || second.Slope < 0.6*first.Slope {
		return lifeTrend{}
	}
	return lifeTrend{grows: true, slope: line.Slope, growth: line.Slope * (x[len(x)-1] - x[0]), p: p}
}

// judgeLives looks whether the last lives grew alike.
func (s *series) judgeLives(minute int64) {
	var slopes, growths []float64
	p := 1.0
	from := minute
	for i := len(s.lives) - 1; i >= 0 && len(slopes) < livesMost; i-- {
		trend := s.lives[i].trend
		if !trend.grows {
			break
		}
		slopes, growths, p, from = append(slopes, trend.slope), append(growths, trend.growth), p*trend.p, s.lives[i].from
	}
	middle := stats.Median(slopes)
	alike := len(slopes) >= livesLeast
	for _, slope := range slopes {
		alike = alike && math.Abs(slope-middle) <= livesAlike*middle
	}
	growth := stats.Median(growths)
	if !alike || growth < s.spec.least() || growth < s.savedLeast() {
		if s.saved != nil {
			over := s.saved.symptom
			s.over = append(s.over, endedLeak{symptom: over, ended: minute, why: "the last process did not grow like those before"})
			s.saved = nil
		}
		return
	}
	l := s.current()
	s.saved = &savedLeak{until: minute + 2*(l.to-l.from), symptom: s.savedSymptom(from, slopes, growth, p)}
}

// savedLeast is the growth in a life that matters: a hundredth of the limit, or a
// twentieth of the level of what has none.
func (s *series) savedLeast() float64 {
	if s.limited() {
		return 0.01 * s.limit
	}
	return 0.05 * s.last
}

func (s *series) savedSymptom(from int64, slopes []float64, growth, p float64) finding.Symptom {
	middle := stats.Median(slopes)
	symptom := finding.Symptom{
		Kind: finding.Leak, Subject: finding.Subject{Target: s.spec.Target, Signal: s.id}, What: "slope",
		Onset: at(from), OnsetFrom: at(from), OnsetTo: at(from), After: s.last, Before: s.last - growth, Unit: s.spec.Unit, Against: "earlier in this run",
		Confidence: 1 - min(1, p*1e3), Windows: len(slopes), SlopePerHour: middle,
	}
	if s.saved != nil {
		symptom.Onset, symptom.OnsetFrom, symptom.OnsetTo = s.saved.symptom.Onset, s.saved.symptom.OnsetFrom, s.saved.symptom.OnsetTo
	}
	low, high := slices.Min(slopes), slices.Max(slopes)
	symptom.Text = fmt.Sprintf("%s rises by %s an hour in each of the last %d processes (%s to %s), by %s before the next restart: restarts hide a leak",
		s.subject(), s.figure(middle), len(slopes), s.figure(low), s.figure(high), s.figure(growth))
	return symptom
}

// outlived ends a leak that restarts hid when no restart comes any more: from then
// on the life is long enough to be judged by itself.
func (s *series) outlived(end int64) {
	if s.saved == nil || end <= s.saved.until {
		return
	}
	s.over = append(s.over, endedLeak{symptom: s.saved.symptom, ended: s.saved.until, why: "the process is no longer restarted"})
	s.saved = nil
}

// subject names the resource: "resident memory of api (replica main)".
func (s *series) subject() string {
	text := cmp.Or(s.spec.Name, s.spec.Metric) + " of " + targetName(s.spec.Target)
	if who := owner(s.labels); who != "" {
		text += " (" + who + ")"
	}
	return text
}

func targetName(target string) string {
	switch target {
	case "api":
		return "the API"
	case "postgres":
		return "Postgres"
	case "redis":
		return "Redis"
	default:
		return target
	}
}

func (s *series) figure(value float64) string {
	if s.spec.Unit == Bytes {
		return bytesText(value)
	}
	return countText(value)
}

func bytesText(value float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if math.Abs(value) >= unit.size {
			return countText(value/unit.size) + " " + unit.name
		}
	}
	return countText(value) + " B"
}

// countText writes three figures.
func countText(value float64) string {
	switch size := math.Abs(value); {
	case size >= 100:
		return fmt.Sprintf("%.0f", value)
	case size >= 10:
		return fmt.Sprintf("%.3g", value)
	default:
		return fmt.Sprintf("%.2g", value)
	}
}

// durationText writes the two largest units: "3 d 4 h", "3 h 10 min".
func durationText(d time.Duration) string {
	minutes := int64(d.Round(time.Minute) / time.Minute)
	days, hours, rest := minutes/(24*60), minutes/60%24, minutes%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, rest)
	default:
		return fmt.Sprintf("%d min", rest)
	}
}
