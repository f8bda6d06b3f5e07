// Package leak finds resources that grow without end: memory, files, threads,
// connections. It looks at the lower envelope of each (least values of blocks of
// time), so that a saw-tooth of garbage collections or recycled workers is no growth
// as long as its troughs stay where they are, and over several horizons from 20
// minutes to a week at once: the short ones see a fast leak soon, the long ones a
// slow leak at all.
//
// A horizon speaks of a leak when all of this holds at two of three looks in a row:
//   - its slope (Theil-Sen) matters: at that rate the limit is reached within the time that
//     is configured, or what has no limit doubles;
//   - every quarter of it rises about alike, so neither a step nor a cache that fills up
//     is a leak;
//   - the trend is significant (Mann-Kendall, corrected for autocorrelation and for
//     all looks of a week at all series and horizons);
//   - the growth is more than the series did within horizons of that length before,
//     the null hypothesis that needs no model of caches, day curves and nightly jobs;
//   - it is not the rate of the load that rose: blocks are compared at like rates.
//
// What the series did while the process warmed up is left out; until enough is known of
// how a series behaves, only a leak that is urgent for its horizon is called one.
package leak

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// The grid of time: minutes since the Unix epoch.
const (
	fineSteps   = 64 // of a minute, for horizons below an hour
	coarse      = 5  // minutes in a step of the long ring
	coarseSteps = 7*24*12 + 12
)

// Detector watches the series of its specs. It is not safe for concurrent use.
type Detector struct {
	cfg      Config
	horizons []horizon
	series   map[seriesKey]*series
	order    []*series // by ID
	routes   map[seriesKey]*series
	fine     *ring // the rate
	coarse   *ring
	end      int64 // minute after the newest window
	nextTidy int64
	looks    map[int]loadView
	trends   []Trend
	trendsAt int64
}

type seriesKey struct {
	spec   int
	labels string
}

// New makes a detector; the error lists every mistake of the configuration.
func New(cfg Config) (*Detector, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Detector{
		cfg: cfg, horizons: horizons(), series: map[seriesKey]*series{}, routes: map[seriesKey]*series{},
		fine: newRing(fineSteps), coarse: newRing(coarseSteps), looks: map[int]loadView{}, trendsAt: -1,
	}, nil
}

// Observe takes the next window of the level [window.Minute] and returns the leaks
// that are present now, in the order of their signals. Windows of other levels and
// windows that are not after the last one are ignored.
func (d *Detector) Observe(w *window.Window) []finding.Symptom {
	minute := w.Start.Unix() / 60
	if w.Length != window.Minute || minute < d.end {
		return nil
	}
	d.end = minute + 1
	d.fine.mean(minute, w.Rate)
	d.coarse.mean(minute/coarse, w.Rate)
	d.read(w, minute)
	clear(d.looks)
	var found []finding.Symptom
	for _, s := range d.order {
		if s.seen == minute {
			d.judge(s)
		}
		found = append(found, d.report(s)...)
	}
	return found
}

// read takes the values of the window in.
func (d *Detector) read(w *window.Window, minute int64) {
	for i := range d.cfg.Specs {
		for _, signal := range w.Named(d.cfg.Specs[i].Metric) {
			if signal.N == 0 || signal.Kind != window.Gauge {
				continue
			}
			if s := d.route(i, signal.Labels); s != nil {
				s.take(&signal)
			}
		}
	}
	for _, s := range d.order {
		if s.polls > 0 {
			s.readOwner(w, minute)
			s.close(minute)
		}
	}
}

// route finds the series that a signal belongs to, or makes it; nil when the signal
// is not watched.
func (d *Detector) route(spec int, labels string) *series {
	key := seriesKey{spec, labels}
	if s, known := d.routes[key]; known {
		return s
	}
	if len(d.routes) >= 8*d.cfg.MaxSeries {
		return nil
	}
	reduced, ok := d.cfg.Specs[spec].reduced(labels)
	if !ok {
		d.routes[key] = nil
		return nil
	}
	own := seriesKey{spec, reduced}
	s := d.series[own]
	if s == nil {
		if len(d.series) >= d.cfg.MaxSeries && !d.tidy() {
			return nil
		}
		s = newSeries(&d.cfg.Specs[spec], reduced, len(d.horizons))
		d.series[own] = s
		d.order = append(d.order, s)
		slices.SortFunc(d.order, func(a, b *series) int { return cmp.Compare(a.id, b.id) })
	}
	d.routes[key] = s
	return s
}

// tidy forgets series that have not been seen for a day, at most once an hour; it
// tells whether there is room now.
func (d *Detector) tidy() bool {
	if d.end < d.nextTidy {
		return false
	}
	d.nextTidy = d.end + 60
	stale := func(s *series) bool { return s != nil && s.seen < d.end-24*60 && s.leak == nil }
	for key, s := range d.routes {
		if s == nil || stale(s) {
			delete(d.routes, key)
		}
	}
	for key, s := range d.series {
		if stale(s) {
			delete(d.series, key)
		}
	}
	d.order = slices.DeleteFunc(d.order, stale)
	return len(d.series) < d.cfg.MaxSeries
}

// judge looks at a series over the horizons that are due.
func (d *Detector) judge(s *series) {
	if d.end%coarse == 0 {
		if s.collapsed(d.end) && s.leak != nil {
			s.end(d.end-coarse, "what it held was given back")
		}
		s.warmUp(d.end)
		s.outlived(d.end)
	}
	if s.leak != nil {
		d.follow(s)
		return
	}
	for i := range d.horizons {
		h := &d.horizons[i]
		if d.end%h.cadence != 0 {
			continue
		}
		v := d.look(s, i)
		s.hits[i] <<= 1
		if !v.leak {
			continue
		}
		s.hits[i] |= 1
		if bits.OnesCount8(s.hits[i]&lastLooks) >= persistence {
			d.begin(s, h, v)
			return
		}
	}
}

func at(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }
