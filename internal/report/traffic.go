package report

import (
	"cmp"
	"slices"

	"soakd/internal/histogram"
	"soakd/internal/judge/threshold"
	"soakd/internal/load"
)

// TrafficOf returns what the cases of a snapshot came to that had requests, sorted by
// name, and the same of each class and of all together. incomplete tells that requests
// are missing that were slower than all others: times are lower bounds.
func TrafficOf(s *load.Snapshot, incomplete bool) (all Traffic, classes, cases []Traffic) {
	whole, byClass := newSum(""), map[string]*sum{}
	for i := range s.Cases {
		one := newSum(string(s.Cases[i].Case.Class))
		one.add(&s.Cases[i], true)
		if one.Requests == 0 {
			continue
		}
		one.Name, one.Method, one.Invalid = s.Cases[i].Case.Name, s.Cases[i].Case.Method, s.Cases[i].Case.Invalid
		cases = append(cases, one.traffic(incomplete))
		whole.add(&s.Cases[i], false)
		class := byClass[one.Class]
		if class == nil {
			class = newSum(one.Class)
			class.Invalid = one.Invalid
			byClass[one.Class] = class
		}
		class.Invalid = class.Invalid && one.Invalid
		class.add(&s.Cases[i], false)
	}
	for _, class := range byClass {
		classes = append(classes, class.traffic(incomplete))
	}
	slices.SortFunc(classes, func(a, b Traffic) int { return cmp.Compare(a.Class, b.Class) })
	slices.SortFunc(cases, func(a, b Traffic) int { return cmp.Compare(a.Name, b.Name) })
	return whole.traffic(incomplete), classes, cases
}

// sum adds cases up.
type sum struct {
	Traffic
	failures           map[load.Outcome]*load.OutcomeCount
	response, duration histogram.Histogram
}

func newSum(class string) *sum {
	return &sum{Traffic: Traffic{Class: class}, failures: map[load.Outcome]*load.OutcomeCount{}}
}

// add adds a case, with the first reasons of its failures when they are wanted: those
// of several cases together say nothing.
func (s *sum) add(c *load.CaseSnapshot, reasons bool) {
	for _, r := range c.Requests {
		s.Requests += int64(r.Count)
		if r.Outcome == load.OK {
			continue
		}
		s.Failed += int64(r.Count)
		failure := s.failures[r.Outcome]
		if failure == nil {
			failure = &load.OutcomeCount{}
			s.failures[r.Outcome] = failure
		}
		failure.Add(&r)
		if reasons && failure.Reason == "" {
			failure.Reason = r.Reason
		}
	}
	s.Bytes += c.Bytes
	s.response.Merge(&c.ResponseTime.Histogram)
	s.duration.Merge(&c.Duration.Histogram)
}

func (s *sum) traffic(incomplete bool) Traffic {
	t := s.Traffic
	for _, failure := range s.failures {
		t.Failures = append(t.Failures, Failure{Outcome: string(failure.Outcome), Count: failure.Count, Reason: failure.Reason, First: failure.First, Last: failure.Last})
	}
	slices.SortFunc(t.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Outcome, b.Outcome))
	})
	t.ResponseTime, t.ServiceTime = threshold.FromHistogram(&s.response), threshold.FromHistogram(&s.duration)
	t.ResponseTime.AtLeast, t.ServiceTime.AtLeast = incomplete, incomplete
	return t
}
