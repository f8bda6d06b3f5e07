package api

import (
	"math"
	"slices"

	"soakd/internal/probes/exposition"
)

// selectors are all that groups read of a page.
func selectors(groups []group) []exposition.Selector {
	var found []exposition.Selector
	for _, g := range groups {
		for _, source := range g.sources {
			found = append(found, source.selector())
			if source.minus != "" {
				found = append(found, source.subtrahend())
			}
		}
	}
	return found
}

func (a alias) selector() exposition.Selector {
	return exposition.Selector{Name: a.target, Match: a.match}
}

func (a alias) subtrahend() exposition.Selector {
	return exposition.Selector{Name: a.minus, Match: a.match}
}

// value returns what the alias makes of the page. It has no value when one that
// it needs is missing, and when the result is below 0, which nothing that soakd
// maps can be: two that are subtracted were then read at different moments.
func (a alias) value(page exposition.Page) (value float64, ok bool, err error) {
	value, ok, err = sum(page, a.selector())
	if ok && a.minus != "" {
		var less float64
		less, ok, err = sum(page, a.subtrahend())
		value -= less
	}
	if !ok || err != nil || value < 0 || a.zeroIsNone && value == 0 {
		return 0, false, err
	}
	if a.scale != 0 {
		value *= a.scale
	}
	return value, true, nil
}

// sum is the page's sum without negative values: -1 stands for "unknown" in the
// metrics of a JVM.
func sum(page exposition.Page, s exposition.Selector) (float64, bool, error) {
	values, err := page.Values(s)
	if err != nil || slices.ContainsFunc(values, isNegative) {
		return 0, false, err
	}
	return page.Sum(s)
}

func isNegative(value float64) bool { return value < 0 && !math.IsInf(value, 0) }
