package api

import (
	"context"
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
}

func (v value) key() string { return v.desc.Name + "\xff" + strings.Join(v.labels, "\xff") }

// found is what one source gave at one poll.
type found struct {
	values []value
	// whole tells that the source was read without an error: what it does not
	// have now, it does not export.
	whole bool
}

// combine returns one value for each series from what the sources gave, in
// order of preference. held keeps which source a counter is taken from.
func combine(sources []found, held map[string]int) []value {
	var order []string
	has, counters := map[string][]bool{}, map[string]bool{}
	whole := make([]bool, len(sources))
	byKey := make([]map[string]value, len(sources))
	for i, s := range sources {
		whole[i] = s.whole
		byKey[i] = map[string]value{}
		for _, v := range s.values {
			key := v.key()
			if has[key] == nil {
				has[key] = make([]bool, len(sources))
				order, counters[key] = append(order, key), v.desc.Type == probes.Counter
			}
			has[key][i], byKey[i][key] = true, v
		}
	}
	var values []value
	for _, key := range order {
		at, ok := pick(has[key], whole, counters[key], held[key])
		if !ok {
			continue
		}
		if counters[key] {
			held[key] = at
		}
		values = append(values, byKey[at][key])
	}
	return values
}

// pick returns the source that a series is taken from: the first that has it.
//
// A counter must not go to and fro between two that count different things, as
// those of one worker and of all. It starts from the one that held it before, and
// moves on only when that one was read and has it no more, never because it could
// not be read, and never back.
func pick(has, whole []bool, counter bool, held int) (int, bool) {
	if !counter {
		held = 0
	}
	for at := held; at < len(has); at++ {
		if has[at] {
			return at, true
		}
		if counter && !whole[at] {
			return 0, false
		}
	}
	return 0, false
}
