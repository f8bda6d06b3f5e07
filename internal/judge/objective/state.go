package objective

import (
	"encoding/json"
	"fmt"
	"time"
)

// state is what is kept of a Tracker.
type state struct {
	Series []seriesState `json:"series"`
}

// seriesState is what is kept of one objective. What the counts are about must be
// the same when they are taken up again; the target may change.
type seriesState struct {
	Name      string        `json:"name"`
	Class     string        `json:"class"`
	Kind      Kind          `json:"kind"`
	Threshold time.Duration `json:"threshold_ns,omitempty"`
	Since     time.Time     `json:"since"`
	Counted   time.Time     `json:"counted"`
	Events    int64         `json:"events"`
	Bad       int64         `json:"bad"`
	Uncounted time.Duration `json:"uncounted_ns"`
	Five      span          `json:"five"`
	Worst     span          `json:"worst"`
	Burning   *burning      `json:"burning,omitempty"`
	// Minutes and Hours have the number, the requests, the bad ones and the
	// nanoseconds seen of each bucket that was counted.
	Minutes [][4]int64 `json:"minutes,omitempty"`
	Hours   [][4]int64 `json:"hours,omitempty"`
}

// State returns the counts as JSON, for [Tracker.Restore]: at most some 30 KiB for
// each objective and period of 30 days.
func (t *Tracker) State() ([]byte, error) {
	var all state
	for _, s := range t.all {
		o := &s.objective
		all.Series = append(all.Series, seriesState{
			Name: o.Name, Class: o.Class, Kind: o.Kind, Threshold: o.Threshold, Since: s.since, Counted: s.counted,
			Events: s.events, Bad: s.bad, Uncounted: s.uncounted, Five: s.five, Worst: s.worst, Burning: s.burning, Minutes: s.minutes.kept(), Hours: s.hours.kept(),
		})
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write the state of the objectives: %w", err)
	}
	return data, nil
}

// Restore takes up the counts of a State. An objective that was not among them, or
// was about other requests, stays as it is. It fails when data is none, and then
// changes nothing.
func (t *Tracker) Restore(data []byte) error {
	var all state
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("read the state of the objectives: %w", err)
	}
	for _, from := range all.Series {
		for _, s := range t.all {
			o := &s.objective
			if o.Name != from.Name || o.Class != from.Class || o.Kind != from.Kind || o.Threshold != from.Threshold {
				continue
			}
			s.since, s.counted, s.events, s.bad, s.uncounted = from.Since, from.Counted, from.Events, from.Bad, from.Uncounted
			s.five, s.worst, s.burning = from.Five, from.Worst, from.Burning
			s.minutes.restore(from.Minutes)
			s.hours.restore(from.Hours)
		}
	}
	return nil
}

// BeginRun lets the counts of a run begin anew, for [Tracker.Judge] and those of
// [Tracker.Status]. What is left of the error budget and how fast it burns goes on.
// The minute in which the run before ended may be the one in which this one begins:
// it is counted once more, with what is new of it.
func (t *Tracker) BeginRun() {
	for _, s := range t.all {
		s.since, s.events, s.bad, s.uncounted, s.five, s.worst = time.Time{}, 0, 0, 0, span{}, span{}
		s.shared = s.counted
	}
}

// Counted returns up to when every objective has counted: windows that end by then
// change nothing any more. It is zero when one has counted nothing yet.
func (t *Tracker) Counted() time.Time {
	var least time.Time
	for i, s := range t.all {
		if i == 0 || s.counted.Before(least) {
			least = s.counted
		}
	}
	return least
}

func (r *ring) kept() [][4]int64 {
	var all [][4]int64
	for _, b := range r.buckets {
		if b.Seen > 0 || b.Events > 0 {
			all = append(all, [4]int64{b.At, b.Events, b.Bad, int64(b.Seen)})
		}
	}
	return all
}

// restore fills an empty ring; of two buckets in one place the later one stays,
// as when they had come one after the other.
func (r *ring) restore(kept [][4]int64) {
	clear(r.buckets)
	for _, k := range kept {
		if into := r.place(k[0]); into.At <= k[0] {
			*into = bucket{At: k[0], Events: k[1], Bad: k[2], Seen: time.Duration(k[3])}
		}
	}
}
