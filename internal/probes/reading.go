package probes

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ValueType is how a metric behaves over time.
type ValueType int

// The value types. A counter only rises, or falls to start anew (a reset); a
// histogram counts times in seconds.
const (
	Gauge ValueType = iota
	Counter
	Histogram
)

// Desc describes one metric of a probe: its full name with unit suffix, its
// help text and its label names in order. Each label takes configured names or
// an enumeration, so that the number of series is bounded.
type Desc struct {
	Name   string
	Help   string
	Type   ValueType
	Labels []string
}

// Descs collects the descriptions of one probe as its parts make them, so that
// none can be forgotten in [Probe.Describe]. The zero value is empty.
type Descs []*Desc

// Gauge adds and returns the description of a gauge.
func (d *Descs) Gauge(name, help string, labels ...string) *Desc {
	return d.add(&Desc{Name: name, Help: help, Type: Gauge, Labels: labels})
}

// Counter adds and returns the description of a counter; name ends in _total.
func (d *Descs) Counter(name, help string, labels ...string) *Desc {
	return d.add(&Desc{Name: name, Help: help, Type: Counter, Labels: labels})
}

// Histogram adds and returns the description of a histogram of times; name ends
// in _seconds.
func (d *Descs) Histogram(name, help string, labels ...string) *Desc {
	return d.add(&Desc{Name: name, Help: help, Type: Histogram, Labels: labels})
}

func (d *Descs) add(desc *Desc) *Desc {
	*d = append(*d, desc)
	return desc
}

// Sample is one value that a poll read. Labels are the label values in the
// order of Desc.Labels. What could not be read has no Sample: never a zero,
// never the value of an earlier poll.
type Sample struct {
	Desc   *Desc
	Labels []string
	Value  float64
	// Times are those of a histogram, which has no Value; nil for all others.
	Times *Times
}

// Reading is what one poll of a probe brought. The zero value is empty.
type Reading struct {
	Samples []Sample
	// Overflow counts label values that were folded into "other" in this poll.
	Overflow int
	// Cost is what the poll cost the dependency.
	Cost Cost
}

// Cost is what the dependency was asked for.
type Cost struct {
	// Queries counts queries, commands or requests that were sent, whatever their
	// end; time that was spent on connecting is not in.
	Queries int
	// Time is how long their answers took, together.
	Time time.Duration
}

// Add counts one query that was sent at start and has ended now.
func (c *Cost) Add(start time.Time) {
	c.Queries++
	c.Time += time.Since(start)
}

// Plus adds what another part of the poll cost.
func (c *Cost) Plus(other Cost) {
	c.Queries += other.Queries
	c.Time += other.Time
}

// Add adds one sample; labels are in the order of desc.Labels. NaN means that
// there is no value and adds nothing.
func (r *Reading) Add(desc *Desc, value float64, labels ...string) {
	if math.IsNaN(value) {
		return
	}
	r.Samples = append(r.Samples, Sample{Desc: desc, Labels: labels, Value: value})
}

// AddTimes adds one histogram as it is now; labels are in the order of
// desc.Labels.
func (r *Reading) AddTimes(desc *Desc, times *Times, labels ...string) {
	r.Samples = append(r.Samples, Sample{Desc: desc, Labels: labels, Times: times.clone()})
}

// checked returns reading without the samples that no registry could take, and
// an error that names the first of them: one wrong sample must not spoil the
// scrape of all others.
func (r Reading) checked(described map[*Desc]bool) (Reading, error) {
	var firstErr error
	seen := make(map[string]bool, len(r.Samples))
	kept := r.Samples[:0:0]
	for _, sample := range r.Samples {
		key, err := sample.key(described)
		if err == nil && seen[key] {
			err = fmt.Errorf("metric %s was given twice with labels %q", sample.Desc.Name, sample.Labels)
		}
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		seen[key] = true
		kept = append(kept, sample)
	}
	r.Samples = kept
	return r, firstErr
}

// key identifies the series of s, which must be one of those described.
func (s Sample) key(described map[*Desc]bool) (string, error) {
	if s.Desc == nil || !described[s.Desc] {
		return "", fmt.Errorf("a sample without a description: %v", s.Labels)
	}
	if (s.Times != nil) != (s.Desc.Type == Histogram) {
		return "", fmt.Errorf("metric %s: a histogram has times, and nothing else has", s.Desc.Name)
	}
	if len(s.Labels) != len(s.Desc.Labels) {
		return "", fmt.Errorf("metric %s has %d label values for %d labels", s.Desc.Name, len(s.Labels), len(s.Desc.Labels))
	}
	if slices.ContainsFunc(s.Labels, func(label string) bool { return !utf8.ValidString(label) }) {
		return "", fmt.Errorf("metric %s has a label value that is not UTF-8: %q", s.Desc.Name, s.Labels)
	}
	return s.Desc.Name + "\xff" + strings.Join(s.Labels, "\xff"), nil
}
