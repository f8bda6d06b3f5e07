package api

import (
	"testing"

	"soakd/internal/probes"
)

// One counter and one gauge, each in up to three sources.
func TestCombine(t *testing.T) {
	counter := &probes.Desc{Name: "c_total", Type: probes.Counter}
	gauge := &probes.Desc{Name: "g", Type: probes.Gauge}
	const away, none = -1, -2 // not read; read, and without the value
	type step struct {
		counters, gauges         []float64
		wantCounter, wantedGauge float64 // none: absent
	}
	for name, steps := range map[string][]step{
		"the first that has it": {{[]float64{1, 2, 3}, []float64{1, 2, 3}, 1, 1}, {[]float64{2, 2, 3}, []float64{none, none, 3}, 2, 3}},
		"a counter does not go back": {
			{[]float64{none, 2}, []float64{none, 2}, 2, 2}, {[]float64{1, 3}, []float64{1, 3}, 3, 1},
		},
		"a counter goes on where it was": {
			{[]float64{7, 900}, []float64{1, 1}, 7, 1},
			{[]float64{none, 901}, []float64{1, 1}, 7, 1}, // moved on
			{[]float64{8, 904}, []float64{1, 1}, 10, 1},
			{[]float64{9, away}, []float64{1, away}, none, 1},
			{[]float64{9, 905}, []float64{1, 1}, 11, 1},
			{[]float64{9, 1}, []float64{1, 1}, 1, 1}, // started anew
			{[]float64{9, 2}, []float64{1, 1}, 2, 1},
		},
		"away: the gauge is filled in, the counter is absent": {
			{[]float64{1, 2}, []float64{1, 2}, 1, 1}, {[]float64{away, 2}, []float64{away, 2}, none, 2}, {[]float64{3, 4}, []float64{3, 4}, 3, 3},
		},
		"all away": {{[]float64{away, away}, []float64{away, away}, none, none}},
	} {
		t.Run(name, func(t *testing.T) {
			counters := map[string]counted{}
			for i, s := range steps {
				sources := make([]found, len(s.counters))
				for at := range sources {
					sources[at].whole = s.counters[at] != away
					if s.counters[at] >= 0 {
						sources[at].values = append(sources[at].values, value{desc: counter, amount: s.counters[at]})
					}
					if s.gauges[at] >= 0 {
						sources[at].values = append(sources[at].values, value{desc: gauge, amount: s.gauges[at]})
					}
				}
				got := map[string]float64{"c_total": none, "g": none}
				for _, v := range combine(sources, counters) {
					got[v.desc.Name] = v.amount
				}
				if got["c_total"] != s.wantCounter || got["g"] != s.wantedGauge {
					t.Errorf("step %d: %v", i, got)
				}
			}
		})
	}
}

// Of several workers one answers: what is known of all of them comes first.
func TestAllComeBeforeOneOfSeveral(t *testing.T) {
	resident, queued := &probes.Desc{Name: "resident"}, &probes.Desc{Name: "queued"}
	page := found{whole: true, values: []value{{desc: resident, amount: 1, partial: true}, {desc: queued, amount: 2, partial: true}}}
	process := found{whole: true, values: []value{{desc: resident, amount: 30}}}
	got := map[string]float64{}
	for _, v := range combine([]found{page, process}, map[string]counted{}) {
		got[v.desc.Name] = v.amount
	}
	if got["resident"] != 30 || got["queued"] != 2 {
		t.Errorf("%v", got)
	}
}
