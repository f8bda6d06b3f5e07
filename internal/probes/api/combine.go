package api

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"soakd/internal/probes"
)

// source is one place where the values of a replica stand.
type source interface {
	// read returns what the source has now. Values with an error mean that the
	// rest could not be read.
	read(ctx context.Context) ([]value, probes.Cost, error)
	close()
}

// value is one sample without the replica's label.
type value struct {
	desc   *probes.Desc
	labels []string
	amount float64
	// partial tells that it is of one of several workers: what a source says of
	// all of them comes first.
	partial bool
}

func (v value) key() string { return v.desc.Name + "\xff" + strings.Join(v.labels, "\xff") }

// becauseLocal gives the errors of files of this machine their reason: by
// themselves they would pass for those of the network.
func becauseLocal(err error) error {
	switch {
	case probes.ReasonOf(err) != probes.ReasonConnect: // it has its reason, or none fits
		return err
	case errors.Is(err, fs.ErrPermission):
		return probes.Because(probes.ReasonPermission, err)
	}
	return probes.Because(probes.ReasonMissing, err)
}

// found is what one source gave at one poll.
type found struct {
	values []value
	// whole tells that the source was read without an error: what it does not
	// have now, it does not export.
	whole bool
}

// counted keeps where one counter is taken from, and how it goes on there.
type counted struct {
	source int
	// last is the source's value at the last poll that had one.
	last float64
	// moved tells that the counter goes on from the value of another source, so
	// that only the differences count.
	moved bool
	// shown is what is exported.
	shown float64
}

// offers are what the sources have of one series at one poll.
type offers struct {
	isCounter bool
	// has tells which sources have it, partly those that have it of one worker.
	has, partly []bool
	values      []value
}

// combine returns one value for each series from what the sources gave, in
// order of preference. counters keeps the state of the counters by series.
func combine(sources []found, counters map[string]counted) []value {
	whole := make([]bool, len(sources))
	for i, s := range sources {
		whole[i] = s.whole
	}
	order, all := bySeries(sources)
	var values []value
	for _, key := range order {
		s := all[key]
		if s.isCounter {
			before, known := counters[key]
			if at, ok := pickCounter(s.has, whole, before.source); ok {
				v := s.values[at]
				counters[key] = before.next(known, at, v.amount)
				v.amount = counters[key].shown
				values = append(values, v)
			}
			continue
		}
		at := slices.Index(s.has, true)
		if at < 0 {
			at = slices.Index(s.partly, true)
		}
		values = append(values, s.values[at])
	}
	return values
}

// bySeries gathers what the sources gave by series, in order.
func bySeries(sources []found) (order []string, all map[string]*offers) {
	all = map[string]*offers{}
	for i, source := range sources {
		for _, v := range source.values {
			s := all[v.key()]
			if s == nil {
				s = &offers{
					isCounter: v.desc.Type == probes.Counter,
					has:       make([]bool, len(sources)), partly: make([]bool, len(sources)), values: make([]value, len(sources)),
				}
				all[v.key()] = s
				order = append(order, v.key())
			}
			s.has[i], s.partly[i], s.values[i] = !v.partial, v.partial, v
		}
	}
	return order, all
}

// pickCounter returns the source that a counter is taken from. It must not go to
// and fro between two that count different things, as those of one worker and of
// all: it stays with the one that held it, moves on only when that one was read
// and has it no more, never because it could not be read, and never back.
func pickCounter(has, whole []bool, held int) (int, bool) {
	for at := held; at < len(has); at++ {
		if has[at] {
			return at, true
		}
		if !whole[at] {
			return 0, false
		}
	}
	return 0, false
}

// next returns the state after a value of that source. A counter that moves on
// to another source stays where it was at first: the difference between the two is
// nothing that was used between two polls.
func (c counted) next(known bool, source int, amount float64) counted {
	switch {
	case !known, source == c.source && amount < c.last: // it starts, or starts anew
		return counted{source: source, last: amount, shown: amount}
	case source != c.source:
		c.source, c.moved = source, true
	case c.moved:
		c.shown += amount - c.last
	default:
		c.shown = amount
	}
	c.last = amount
	return c
}
