package outage

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"soakd/internal/histogram"
)

// state is what is kept of a Detector.
type state struct {
	Next    time.Time        `json:"next"`
	LastID  int64            `json:"last_id"`
	Totals  map[string]int64 `json:"totals"`
	Records []Record         `json:"records"`
	Open    []openState      `json:"open"`
}

// openState is what is kept of an open outage.
type openState struct {
	Record    Record  `json:"record"`
	Told      bool    `json:"told"`
	Over      bool    `json:"over"`
	Unseen    bool    `json:"unseen"`
	Confirmed bool    `json:"confirmed"`
	Least     float64 `json:"least"`
	// Between and After have the right and the failed requests.
	Between       [2]int64      `json:"between"`
	After         [2]int64      `json:"after"`
	UsualShare    float64       `json:"usual_share"`
	UsualRequests int64         `json:"usual_requests"`
	UsualP95      time.Duration `json:"usual_p95_ns"`
	FailTimes     []byte        `json:"fail_times"`
	Times         []byte        `json:"times"`
}

// State returns the outages and their counts as JSON, for [Detector.Restore].
func (d *Detector) State() ([]byte, error) {
	all := state{Next: d.next, LastID: d.lastID, Totals: d.totals, Records: d.records}
	for _, target := range d.targets() {
		o := d.open[target]
		one := openState{
			Record: o.Record, Told: o.told, Over: o.over, Unseen: o.unseen,
			Confirmed: o.confirmed, Least: o.least, Between: [2]int64{o.between.ok, o.between.failed}, After: [2]int64{o.after.ok, o.after.failed},
			UsualShare: o.usualShare, UsualRequests: o.usualRequests, UsualP95: o.usualP95,
		}
		var err1, err2 error
		one.FailTimes, err1 = o.failTimes.AppendBinary(nil)
		one.Times, err2 = o.times.AppendBinary(nil)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("write the times of the outage of %s: %w, %w", target, err1, err2)
		}
		all.Open = append(all.Open, one)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write the state of the outages: %w", err)
	}
	return data, nil
}

// Restore takes up a State in a Detector that has observed nothing yet. The time
// since then counts as not seen. It fails when data is no state, and then changes
// nothing.
func (d *Detector) Restore(data []byte) error {
	var all state
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("read the state of the outages: %w", err)
	}
	open := map[string]*outage{}
	for i := range all.Open {
		o, err := all.Open[i].outage()
		if err != nil {
			return fmt.Errorf("read the state of the outage of %.40q: %w", all.Open[i].Record.Target, err)
		}
		open[o.Target] = o
	}
	d.next, d.lastID, d.open = all.Next, all.LastID, open
	d.records = all.Records[max(0, len(all.Records)-maxRecords):]
	d.totals = map[string]int64{API: 0}
	maps.Copy(d.totals, all.Totals)
	d.missed()
	return nil
}

func (s *openState) outage() (*outage, error) {
	o := &outage{
		Record: s.Record.clone(), told: s.Told, over: s.Over, unseen: s.Unseen, confirmed: s.Confirmed, least: s.Least,
		between: bin{ok: s.Between[0], failed: s.Between[1]}, after: bin{ok: s.After[0], failed: s.After[1]},
		usualShare: s.UsualShare, usualRequests: s.UsualRequests, usualP95: s.UsualP95,
	}
	if o.Outcomes == nil {
		o.Outcomes = map[string]int64{}
	}
	for _, h := range []struct {
		into *histogram.Histogram
		data []byte
	}{{&o.failTimes, s.FailTimes}, {&o.times, s.Times}} {
		if err := h.into.UnmarshalBinary(slices.Clone(h.data)); err != nil {
			return nil, err
		}
	}
	return o, nil
}
