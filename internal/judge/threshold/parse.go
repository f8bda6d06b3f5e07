package threshold

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// Threshold is a limit on a figure of the traffic.
type Threshold struct {
	figure figure
	// q is which quantile, 0..1.
	q float64
	// class and name select the traffic; both "" select all.
	class, name string
	// over is "" for the run and its worst window.
	over Over
	// op is <=, <, >= or >; limit is in the unit of the figure.
	op    string
	limit float64
}

// unit is what a figure is measured in.
type unit string

const (
	seconds   unit = "seconds"
	ratio     unit = "ratio"
	perSecond unit = "per second"
	count     unit = "count"
)

// figure is something that can be limited.
type figure struct {
	name string
	unit unit
	// windows tells that a window has one of its own: a count over the whole run
	// bounds that of every window, and so does the longest time.
	windows bool
}

// quantileName is the name of the figure that is any quantile.
const quantileName = "p"

// figures lists them all, quantiles apart.
func figures() []figure {
	return []figure{
		{"rate", perSecond, true},
		{"error_rate", ratio, true},
		{"mean", seconds, true},
		{"min", seconds, false},
		{"max", seconds, false},
		{"requests", count, false},
		{"failures", count, false},
		{"dropped", count, false},
	}
}

// otherNames are further names of figures.
func otherNames() map[string]string {
	return map[string]string{"median": "p50", "avg": "mean", "average": "mean", "rps": "rate", "fail_ratio": "error_rate", "failed": "failures"}
}

var (
	form     = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z_0-9.]*)\s*(?:\{([^}]*)\})?\s*(<=|>=|==|=|<|>)\s*(\S.*?)\s*$`)
	quantile = regexp.MustCompile(`^p(\d{1,2}(?:\.\d{1,4})?)$`)
	label    = regexp.MustCompile(`^[A-Za-z0-9_.:/ -]{1,128}$`)
)

// Parse reads a threshold: FIGURE{SELECTOR} OP LIMIT, such as
//
//	rate>=50
//	error_rate<=1%
//	p99{class=monte_carlo}<=5s
//	p95{case=forecast,over=window}<300ms
//
// FIGURE is rate (requests that came to an end a second), error_rate (the share of
// them that failed), requests, failures, dropped (arrivals that were dropped or cut),
// mean, min, max or a quantile: p50 or median, p95, p99.9. Times run from the intended
// start and need a unit. The selector names one class or one case, and may keep the threshold
// to the whole run (over=run) or the worst window (over=window).
func Parse(text string) (Threshold, error) {
	parts := form.FindStringSubmatch(text)
	if parts == nil {
		return Threshold{}, fmt.Errorf("%.100q is not a threshold: write a figure, perhaps a selector, a comparison and a limit, such as p95{class=standard}<=300ms", text)
	}
	var t Threshold
	wrong := func(err error) (Threshold, error) {
		return Threshold{}, fmt.Errorf("%.100q: %w", strings.TrimSpace(text), err)
	}
	if err := t.setFigure(parts[1]); err != nil {
		return wrong(err)
	}
	if err := t.selectTraffic(parts[2]); err != nil {
		return wrong(err)
	}
	t.op = parts[3]
	if strings.TrimLeft(t.op, "=") == "" {
		return wrong(fmt.Errorf("%s: no figure that is measured is just that: write <=, <, >= or >", t.op))
	}
	if err := t.setLimit(parts[4]); err != nil {
		return wrong(err)
	}
	return t, nil
}

func (t *Threshold) setFigure(name string) error {
	name = cmp.Or(otherNames()[name], name)
	if parts := quantile.FindStringSubmatch(name); parts != nil {
		percent, err := strconv.ParseFloat(parts[1], 64)
		if err != nil || percent <= 0 {
			return fmt.Errorf("%s: a quantile is above p0 and below p100", name)
		}
		t.figure, t.q = figure{quantileName, seconds, true}, percent/100
		return nil
	}
	for _, known := range figures() {
		if known.name == name {
			t.figure = known
			return nil
		}
	}
	names := []string{"p50", "p95", "p99"}
	for _, known := range figures() {
		names = append(names, known.name)
	}
	return fmt.Errorf("%s is not a figure%s; there are %s", name, nearest(name, names), strings.Join(names, ", "))
}

// nearest suggests what was meant, "" for nothing.
func nearest(name string, names []string) string {
	best, distance := "", len(name)/2+1
	for _, one := range names {
		if d := levenshtein.ComputeDistance(name, one); d < distance {
			best, distance = one, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

func (t *Threshold) selectTraffic(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
		var into *string
		switch {
		case !found:
			return fmt.Errorf("{%s}: a selector is class=NAME, case=NAME or over=run|window", text)
		case key == "class":
			into = &t.class
		case key == "case" || key == "name":
			into = &t.name
		case key == "over":
			into = (*string)(&t.over)
			if value == "window" {
				value = string(WorstWindow)
			}
			if value != string(Run) && value != string(WorstWindow) {
				return fmt.Errorf("over=%s: it is run or window", value)
			}
		default:
			return fmt.Errorf("{%s}: traffic is selected by class or case, not by %s", text, key)
		}
		switch {
		case *into != "":
			return fmt.Errorf("{%s}: %s is given twice", text, key)
		case !label.MatchString(value):
			return fmt.Errorf("{%s}: %q is no name of a %s", text, value, key)
		}
		*into = value
	}
	switch {
	case t.class != "" && t.name != "":
		return fmt.Errorf("{%s}: give a class or a case, not both", text)
	case t.figure.name == "dropped" && t.class+t.name != "":
		return errors.New("an arrival that was dropped is of no case yet: leave the selector out")
	case t.over == WorstWindow && !t.figure.windows:
		return fmt.Errorf("%s is judged over the whole run: that bounds every window", t.figure.name)
	}
	return nil
}

func (t *Threshold) setLimit(text string) error {
	var err error
	switch t.figure.unit {
	case seconds:
		err = t.setTime(text)
	case ratio:
		number, percent := strings.CutSuffix(text, "%")
		if t.limit, err = strconv.ParseFloat(strings.TrimSpace(number), 64); err != nil {
			return fmt.Errorf("%q is not a share such as 0.01 or 1%%", text)
		}
		if percent {
			t.limit /= 100
		}
		if t.limit > 1 {
			return fmt.Errorf("%s: a share is at most 1; write 1%% for one in a hundred", text)
		}
	default:
		text = strings.TrimSuffix(text, "/s")
		if t.limit, err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
			return fmt.Errorf("%q is not a number such as 50", text)
		}
	}
	if err != nil {
		return err
	}
	return t.checkLimit()
}

func (t *Threshold) setTime(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, bare := strconv.ParseFloat(text, 64); bare == nil {
			return fmt.Errorf("%s has no unit: write %sms or %ss", text, text, text)
		}
		return fmt.Errorf("%q is not a time such as 300ms or 5s", text)
	}
	t.limit = d.Seconds()
	return nil
}

// checkLimit refuses limits that every run keeps, and those that none can.
func (t *Threshold) checkLimit() error {
	switch {
	case math.IsNaN(t.limit) || math.IsInf(t.limit, 0) || t.limit < 0:
		return errors.New("the limit must be a number of 0 or more")
	case !t.upper() && t.op == ">=" && t.limit == 0, t.figure.unit == ratio && t.upper() && t.op == "<=" && t.limit == 1:
		return errors.New("every run keeps this: it says nothing")
	case t.upper() && t.op == "<" && t.limit == 0, t.figure.unit == seconds && t.upper() && t.limit == 0, t.figure.unit == ratio && !t.upper() && t.op == ">" && t.limit == 1:
		return errors.New("no run can keep this")
	}
	return nil
}

// upper tells an upper limit from a lower one.
func (t *Threshold) upper() bool { return t.op[0] == '<' }

// String writes the threshold in its canonical form, which Parse reads.
func (t Threshold) String() string {
	var selectors []string
	if t.class != "" {
		selectors = append(selectors, "class="+t.class)
	}
	if t.name != "" {
		selectors = append(selectors, "case="+t.name)
	}
	switch t.over {
	case Run:
		selectors = append(selectors, "over=run")
	case WorstWindow:
		selectors = append(selectors, "over=window")
	}
	text := t.figureText()
	if len(selectors) > 0 {
		text += "{" + strings.Join(selectors, ",") + "}"
	}
	return text + t.op + t.amount(t.limit)
}

// figureText is the name of the figure.
func (t *Threshold) figureText() string {
	if t.figure.name == quantileName {
		return quantileName + strconv.FormatFloat(math.Round(t.q*1e8)/1e6, 'f', -1, 64)
	}
	return t.figure.name
}

// amount writes a value of the figure with its unit.
func (t *Threshold) amount(value float64) string {
	switch {
	case t.figure.unit != seconds:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case value >= 1e9:
		return "endless"
	}
	return time.Duration(math.Round(value * 1e9)).String()
}

// List is several thresholds. Its text separates them by semicolons.
type List []Threshold

// UnmarshalText reads a list; "" is an empty one. All mistakes are told at once.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	var errs []error
	for part := range strings.SplitSeq(string(text), ";") {
		if strings.TrimSpace(part) != "" {
			errs = append(errs, l.Add(part))
		}
	}
	return errors.Join(errs...)
}

// Add adds a threshold. One that is there already is not added again.
func (l *List) Add(text string) error {
	t, err := Parse(text)
	if err == nil && !slices.Contains(*l, t) {
		*l = append(*l, t)
	}
	return err
}

// String writes the list as it is read.
func (l List) String() string {
	texts := make([]string, len(l))
	for i, t := range l {
		texts[i] = t.String()
	}
	return strings.Join(texts, "; ")
}

// Check returns an error for every threshold whose class or case is not among those
// that there are.
func (l List) Check(classes, cases []string) error {
	var errs []error
	for _, t := range l {
		for _, one := range []struct {
			what, name string
			known      []string
		}{{"class", t.class, classes}, {"case", t.name, cases}} {
			if one.name != "" && !slices.Contains(one.known, one.name) {
				known := slices.Compact(slices.Sorted(slices.Values(one.known)))
				errs = append(errs, fmt.Errorf("%s: there is no %s %s%s; there are %s", t, one.what, one.name, nearest(one.name, known), strings.Join(known, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}
