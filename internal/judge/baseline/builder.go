package baseline

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// Config says how a profile is made. Zero values stand for the defaults.
type Config struct {
	// Version: only windows of this version of the target are taken in; "" for all
	// but [window.Mixed] ones.
	Version string
	// WarmUp is how long windows are left out after the first one, after a long gap,
	// after a change of the version and after a restart of the target. Default 3 min;
	// below 0 for none.
	WarmUp time.Duration
	// Samples is how many samples a case, band, phase and figure keeps, 1024 at most.
	// Default 160.
	Samples int
	// Users is above 0 for a closed model: how many users there are stands for the rate
	// then, and no window is of a phase. There the rate is part of the answer: a target
	// that is slower has fewer requests, and is to be compared all the same.
	Users int
}

// The bounds of a profile.
const (
	defaultWarmUp  = 3 * time.Minute
	defaultSamples = 160
	mostSamples    = 1024
	// maxCases and maxStrata bound the cases of a profile and the strata of a case;
	// what is beyond is left out. A day between 20 and 80 arrivals a second
	// has 14 bands that rise and 14 that fall.
	maxCases, maxStrata = 1000, 40
	// longGap is a gap after which the target may have been idle, and is cold again.
	longGap = 10 * time.Minute
	// longestBlock is how long requests of a rare case are put together.
	longestBlock = 6 * time.Hour
	// restarts is the counter of restarts of the target.
	restarts = "soakd_api_restarts_total"
	// failing is the share of failed requests of a case from which on its times are
	// those of failures.
	failing = 0.2
)

func (c Config) withDefaults() Config {
	if c.WarmUp == 0 {
		c.WarmUp = defaultWarmUp
	}
	if c.Samples <= 0 {
		c.Samples = defaultSamples
	}
	c.Samples = min(c.Samples, mostSamples)
	return c
}

// Builder makes the profile of what it observes, in bounded memory: with the
// defaults about 10 kB a case, rate band and phase.
type Builder struct {
	cfg      Config
	from, to time.Time
	windows  int
	// unit is the length of the windows as the profile counts it, see [Profile.Window].
	unit time.Duration
	// seen is the end of the latest window, taken in or not, and version its version.
	seen    time.Time
	version string
	several bool
	// warm is until when windows are left out.
	warm  time.Time
	cases map[string]*caseBuilder
}

// caseBuilder is a case under way.
type caseBuilder struct {
	class   string
	invalid bool
	strata  map[stratumKey]*stratumBuilder
	// blocks are the requests, by figure, that are too few yet for a value.
	blocks [numFigures]block
}

type stratumKey struct {
	phase string
	band  int
}

// stratumBuilder is a stratum under way.
type stratumBuilder struct {
	Stratum
	outcomes map[string]int64
}

// block is a stretch of windows of a rare case.
type block struct {
	of    stratumKey
	from  int32
	times *histogram.Histogram
}

// NewBuilder returns a builder that has seen nothing.
func NewBuilder(cfg Config) *Builder {
	return &Builder{cfg: cfg.withDefaults(), cases: map[string]*caseBuilder{}}
}

// Observe takes the next window in, all of them of the level [window.Short] or all of the level of
// a minute or above: after the first one those of the other kind are left out. Left out too are
// windows in which soakd was not fit or saw less than half, those of several
// versions, and those in which the target may not be warm yet.
func (b *Builder) Observe(w *window.Window) {
	b.notice(w)
	if w.Version == window.Mixed || (b.cfg.Version != "" && w.Version != b.cfg.Version) ||
		w.Start.Before(b.warm) || !w.IsFit() || w.Covered < w.Length/2 {
		return
	}
	unit := window.Minute
	if w.Length < window.Minute {
		unit = window.Short
	}
	if b.windows == 0 {
		b.from, b.unit = w.Start, unit
	}
	if unit != b.unit {
		return
	}
	b.to = w.End()
	b.windows++
	key := b.key(w)
	for i := range w.Cases {
		b.addCase(w, &w.Cases[i], key)
	}
}

// key is the stratum of a window.
func (b *Builder) key(w *window.Window) stratumKey {
	switch {
	case b.cfg.Users > 0:
		return stratumKey{"", BandOf(float64(b.cfg.Users))}
	case w.Phase == "steady":
		return stratumKey{"", BandOf(w.Rate)}
	}
	return stratumKey{w.Phase, BandOf(w.Rate)}
}

// notice finds out whether the target is warm.
func (b *Builder) notice(w *window.Window) {
	warmUp := max(b.cfg.WarmUp, 0)
	if b.seen.IsZero() || w.Start.Sub(b.seen) >= longGap {
		b.warm = w.Start.Add(warmUp)
	}
	b.seen = w.End()
	if w.Version != "" && w.Version != window.Mixed && (b.cfg.Version == "" || w.Version == b.cfg.Version) {
		if b.version != "" && w.Version != b.version {
			b.several = true
			b.warm = w.Start.Add(warmUp)
		}
		b.version = w.Version
	}
	if w.Version == window.Mixed {
		b.warm = w.End().Add(warmUp)
	}
	for _, s := range w.Named(restarts) {
		if s.Increase > 0 {
			b.warm = w.End().Add(warmUp)
		}
	}
}

func (b *Builder) addCase(w *window.Window, c *window.Case, key stratumKey) {
	sum := b.cases[c.Name]
	if sum == nil {
		if len(b.cases) >= maxCases {
			return
		}
		sum = &caseBuilder{class: c.Class, invalid: c.Invalid, strata: map[stratumKey]*stratumBuilder{}}
		b.cases[c.Name] = sum
	}
	s := sum.strata[key]
	if s == nil {
		if len(sum.strata) >= maxStrata {
			return
		}
		s = &stratumBuilder{Stratum: Stratum{Band: key.band, Phase: key.phase, Times: new(histogram.Histogram)}, outcomes: map[string]int64{}}
		sum.strata[key] = s
	}
	s.Windows++
	for _, o := range c.Outcomes {
		s.outcomes[o.Name] += o.N
	}
	at, length := int32(w.Start.Unix()/int64(b.unit/time.Second)), int32(w.Length/b.unit)
	all, failed := c.Requests(), c.Failed()
	if all > 0 {
		s.failures.add(sample{at, length, count(all), count(failed)}, b.cfg.Samples)
	}
	if c.Times == nil || float64(failed) > failing*float64(all) {
		return
	}
	s.Times.Merge(c.Times)
	for i, f := range figures() {
		if one, whole := sum.blocks[i].take(c.Times, key, place{at, length, b.unit}, f); whole {
			s.figures[i].add(one, b.cfg.Samples)
		}
	}
}

// place is where a window lies: its start and length in units.
type place struct {
	at, length int32
	unit       time.Duration
}

// take adds the times of a window to the block and returns its figure, when it has
// enough requests, and empties it.
func (b *block) take(times *histogram.Histogram, key stratumKey, p place, f figure) (one sample, whole bool) {
	end := p.at + p.length
	if b.times != nil && (b.of != key || int64(end)-int64(b.from) > int64(longestBlock/p.unit)) {
		b.times = nil
	}
	from := p.at
	if b.times != nil {
		b.times.Merge(times)
		times, from = b.times, b.from
	}
	if times.Count() < f.least(p.unit) {
		if b.times == nil {
			b.of, b.from, b.times = key, p.at, new(histogram.Histogram)
			b.times.Merge(times)
		}
		return sample{}, false
	}
	b.times = nil
	value := times.Quantile(f.quantile)
	if value <= 0 {
		return sample{}, false
	}
	return sample{at: from, length: end - from, n: count(int64(min(times.Count(), math.MaxInt32))), value: logOf(value.Seconds())}, true
}

// Windows is how many windows were taken in.
func (b *Builder) Windows() int { return b.windows }

// Profile returns the profile of what was observed so far.
func (b *Builder) Profile() *Profile {
	p := b.figures()
	for i := range p.Cases {
		for j := range p.Cases[i].Strata {
			s := &p.Cases[i].Strata[j]
			times := s.Times
			s.Times = new(histogram.Histogram)
			s.Times.Merge(times)
		}
	}
	return p
}

// figures is the profile with the histograms of the builder itself, which go on
// counting: enough to compare.
func (b *Builder) figures() *Profile {
	p := &Profile{Version: b.version, From: b.from, To: b.to, Windows: b.windows, Window: b.unit}
	if b.several {
		p.Version = window.Mixed
	}
	for _, name := range slices.Sorted(maps.Keys(b.cases)) {
		c := b.cases[name]
		one := CaseProfile{Name: name, Class: c.class, Invalid: c.invalid}
		for _, s := range c.strata {
			copied := s.Stratum
			copied.Outcomes = window.Counts(s.outcomes)
			one.Strata = append(one.Strata, copied)
		}
		slices.SortFunc(one.Strata, func(a, b Stratum) int { return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Band, b.Band)) })
		p.Cases = append(p.Cases, one)
	}
	return p
}
