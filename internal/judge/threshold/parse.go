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
	"unicode"
	"unicode/utf8"

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
	form     = regexp.MustCompile(`^([A-Za-z_][A-Za-z_0-9.]*)\s*(?:\{((?:[^{}"']|"[^"]*"|'[^']*')*)\})?\s*(<=|>=|==|=|<|>)\s*(\S.*)$`)
	quantile = regexp.MustCompile(`^p(\d{1,2}(?:\.\d{1,4})?)$`)
	plain    = regexp.MustCompile(`^[A-Za-z0-9_.:/-]+(?: +[A-Za-z0-9_.:/-]+)*$`)
)

// The bounds of what is read, in bytes: of a threshold, and of a name in it.
const (
	maxText = 500
	maxName = 200
)

// longest is the longest time that can be a limit: no request takes longer.
const longest = 24 * time.Hour

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
// start and need a unit, up to 24h; they are of requests that were answered or timed out,
// so that a refused connection counts in error_rate alone. A share is 1% or 0.01. The
// selector names one class or one case, in quotes where the name has other characters than
// letters, digits, spaces and _ . : / -; it may keep the threshold to the whole run
// (over=run) or the worst window (over=window). Requests, failures, dropped, min and max
// are judged over the run alone, whose limit also bounds every window.
//
// What no run can miss or none can keep is refused. An error says in which column of the
// text it is, without spaces around it.
func Parse(text string) (Threshold, error) {
	text = strings.TrimSpace(text)
	at := form.FindStringSubmatchIndex(text)
	if at == nil || len(text) > maxText {
		hint := ""
		if strings.ContainsAny(text, `{}"'`) {
			hint = `; a name with braces, commas or quotes stands in quotes: {case="/items/{id}"}`
		}
		return Threshold{}, fmt.Errorf("%.100q is not a threshold: write a figure, perhaps a selector, a comparison and a limit, such as p95{class=standard}<=300ms%s", text, hint)
	}
	var t Threshold
	for i, set := range []func(string) error{t.setFigure, t.selectTraffic, t.setComparison, t.setLimit} {
		begin, end := at[2*i+2], at[2*i+3]
		if begin < 0 {
			continue // no selector
		}
		if err := set(text[begin:end]); err != nil {
			return Threshold{}, fmt.Errorf("%.100q, column %d: %w", text, begin+1, err)
		}
	}
	return t, nil
}

func (t *Threshold) setComparison(op string) error {
	t.op = op
	if strings.Trim(op, "=") == "" {
		return fmt.Errorf("%s: no figure that is measured is just that: write <=, <, >= or >", op)
	}
	return nil
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

// selectTraffic reads what stands between the braces.
func (t *Threshold) selectTraffic(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	for _, part := range split(text, ',') {
		if err := t.selectBy(part); err != nil {
			return err
		}
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

// selectBy reads one part of a selector.
func (t *Threshold) selectBy(part string) error {
	key, value, found := strings.Cut(part, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !found {
		return fmt.Errorf("{%s}: a selector is class=NAME, case=NAME or over=run|window", part)
	}
	var into *string
	switch key {
	case "class":
		into = &t.class
	case "case", "name":
		into = &t.name
	case "over":
		into = (*string)(&t.over)
	default:
		return fmt.Errorf("{%s}: traffic is selected by class or case, not by %s%s", part, key, nearest(key, []string{"class", "case", "over"}))
	}
	if *into != "" {
		return fmt.Errorf("{%s}: %s is given twice", part, key)
	}
	name, ok := unquoted(value)
	if !ok {
		return fmt.Errorf("%q is no name of a %s%s", value, key, nameHelp)
	}
	*into = name
	if key == "over" {
		return t.setOver(name)
	}
	return nil
}

// nameHelp says what a name is.
const nameHelp = `: one has up to 200 bytes, and is in quotes where it has others than letters, digits, spaces and _ . : / -`

func (t *Threshold) setOver(value string) error {
	switch value {
	case "run":
		t.over = Run
	case "window":
		t.over = WorstWindow
	default:
		return fmt.Errorf("over=%s: it is run or window", value)
	}
	return nil
}

// unquoted takes the quotes from a name, and tells whether it is one.
func unquoted(value string) (name string, ok bool) {
	name = value
	quoted := len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0]
	if quoted {
		name = value[1 : len(value)-1]
	}
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return "", false
	}
	return name, plain.MatchString(name) || (quoted && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }))
}

// quotedName writes a name so that it is read as the same.
func quotedName(name string) string {
	switch {
	case plain.MatchString(name):
		return name
	case strings.Contains(name, `"`):
		return "'" + name + "'"
	}
	return `"` + name + `"`
}

// split splits text where a separator is not in quotes.
func split(text string, separator rune) []string {
	var parts []string
	begin, quote := 0, rune(0)
	for i, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == separator:
			parts, begin = append(parts, text[begin:i]), i+1
		}
	}
	return append(parts, text[begin:])
}

func (t *Threshold) setLimit(text string) error {
	var err error
	switch t.figure.unit {
	case seconds:
		err = t.setTime(text)
	case ratio:
		err = t.setShare(text)
	default:
		number := text
		if t.figure.unit == perSecond {
			number = strings.TrimSpace(strings.TrimSuffix(text, "/s"))
		}
		if t.limit, err = strconv.ParseFloat(number, 64); err != nil {
			err = fmt.Errorf("%q is not a number such as 50", text)
		}
	}
	if err != nil {
		return err
	}
	return t.checkLimit()
}

// setShare reads 1% or 0.01. A bare 1 is refused: half of those who write it mean 1 %.
func (t *Threshold) setShare(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a share such as 0.01 or 1%%", text)
	case percent && value > 100:
		return fmt.Errorf("%s: a share is at most 100%%", text)
	case percent:
		value /= 100
	case value >= 1:
		return fmt.Errorf("%s: a share is below 1; write %s%% for so many in a hundred", text, text)
	}
	t.limit = value
	return nil
}

func (t *Threshold) setTime(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, bare := strconv.ParseFloat(text, 64); bare == nil {
			return fmt.Errorf("%s has no unit: write %sms or %ss", text, text, text)
		}
		return fmt.Errorf("%q is not a time such as 300ms or 5s", text)
	}
	if d > longest {
		return fmt.Errorf("%s: no request takes longer than %v", text, longest)
	}
	t.limit = d.Seconds()
	return nil
}

// checkLimit refuses limits that every run keeps, and those that none can.
func (t *Threshold) checkLimit() error {
	if math.IsNaN(t.limit) || math.IsInf(t.limit, 0) || t.limit < 0 {
		return errors.New("the limit must be a number of 0 or more")
	}
	zero, all := t.limit == 0, t.figure.unit == ratio && t.limit == 1
	timed := t.figure.unit == seconds
	switch {
	case zero && !t.upper() && (timed || t.op == ">="), all && t.op == "<=":
		return errors.New("every run keeps this: it says nothing")
	case zero && t.upper() && (timed || t.op == "<"), all && t.op == ">":
		return errors.New("no run can keep this")
	}
	t.limit = math.Abs(t.limit) // of -0 this makes 0
	return nil
}

// upper tells an upper limit from a lower one.
func (t *Threshold) upper() bool { return t.op[0] == '<' }

// Case is the case that the threshold is about, "" for a class or all traffic.
func (t Threshold) Case() string { return t.name }

// String writes the threshold in its canonical form, which Parse reads.
func (t Threshold) String() string {
	var selectors []string
	if t.class != "" {
		selectors = append(selectors, "class="+quotedName(t.class))
	}
	if t.name != "" {
		selectors = append(selectors, "case="+quotedName(t.name))
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

// amount writes a limit as it is read.
func (t *Threshold) amount(value float64) string {
	if t.figure.unit == seconds {
		return time.Duration(math.Round(value * 1e9)).String()
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// List is several thresholds. Its text separates them by semicolons.
type List []Threshold

// UnmarshalText reads a list; "" is an empty one. All mistakes are told at once.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	var errs []error
	for _, part := range split(string(text), ';') {
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

// maxNamed bounds how many names an error lists.
const maxNamed = 20

// alternatives says which names there are.
func alternatives(name string, known []string) string {
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	if len(known) == 0 {
		return "; there are none"
	}
	text := nearest(name, known) + "; there are " + strings.Join(known[:min(len(known), maxNamed)], ", ")
	if more := len(known) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
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
				errs = append(errs, fmt.Errorf("%s: there is no %s %s%s", t, one.what, one.name, alternatives(one.name, one.known)))
			}
		}
	}
	return errors.Join(errs...)
}
