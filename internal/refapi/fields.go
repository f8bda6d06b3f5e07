package refapi

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// fieldError says what is wrong with one field. It never quotes the input.
type fieldError struct {
	Loc  []any  `json:"loc"` // names and indexes that lead to the field
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// fields reads the members of one object and collects all that is wrong.
// After any error the values it returned mean nothing.
type fields struct {
	members map[string]value
	loc     []any
	bad     *[]fieldError
}

// fieldsOf reads the members of v, which must be an object.
func fieldsOf(v value, loc []any, bad *[]fieldError) fields {
	f := fields{members: v.members, loc: loc, bad: bad}
	if v.kind != object {
		*bad = append(*bad, fieldError{loc, "Input should be an object", "object_type"})
	}
	return f
}

// at leads to a field below loc.
func at(loc []any, keys ...any) []any { return append(slices.Clip(loc), keys...) }

func (f fields) fail(name any, kind, format string, args ...any) {
	*f.bad = append(*f.bad, fieldError{at(f.loc, name), fmt.Sprintf(format, args...), kind})
}

// require returns the named member, which must be there.
func (f fields) require(name string) (value, bool) {
	v, ok := f.members[name]
	if !ok && f.members != nil {
		f.fail(name, "missing", "Field required")
	}
	return v, ok
}

// given returns the named member unless it is absent or null.
func (f fields) given(name string) (value, bool) {
	v, ok := f.members[name]
	return v, ok && v.kind != null
}

// limits are those of a number. The open ends exclude the limit itself.
type limits struct {
	low, high         float64
	openLow, openHigh bool
}

// fraction is the range of rates and shares.
func fraction() limits { return limits{low: 0, high: 1} }

// number reads a number within limits.
func (f fields) number(name any, v value, l limits) float64 {
	if v.kind != number {
		f.fail(name, "float_type", "Input should be a number")
		return 0
	}
	x, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		f.fail(name, "finite_number", "Input should be a number that fits in 64 bits")
		return 0
	}
	f.within(name, x, l)
	return x
}

func (f fields) within(name any, x float64, l limits) {
	switch {
	case l.openLow && x <= l.low:
		f.fail(name, "greater_than", "Input should be greater than %v", l.low)
	case x < l.low:
		f.fail(name, "greater_than_equal", "Input should be greater than or equal to %v", l.low)
	case l.openHigh && x >= l.high:
		f.fail(name, "less_than", "Input should be less than %v", l.high)
	case x > l.high:
		f.fail(name, "less_than_equal", "Input should be less than or equal to %v", l.high)
	}
}

func (f fields) requireNumber(name string, l limits) float64 {
	if v, ok := f.require(name); ok {
		return f.number(name, v, l)
	}
	return 0
}

func (f fields) numberOr(name string, otherwise float64, l limits) float64 {
	if v, ok := f.members[name]; ok {
		return f.number(name, v, l)
	}
	return otherwise
}

// optionalNumber returns nil when the member is absent or null.
func (f fields) optionalNumber(name string, l limits) *float64 {
	if v, ok := f.given(name); ok {
		x := f.number(name, v, l)
		return &x
	}
	return nil
}

// integer reads a whole number; 12.0 and 1.2e1 are 12.
func (f fields) integer(name string, v value) (int64, bool) {
	if v.kind == number {
		if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
			return n, true
		}
		const exact = 1 << 53 // up to here every whole number is its own float64
		x, err := strconv.ParseFloat(v.text, 64)
		if err == nil && x == math.Trunc(x) && math.Abs(x) <= exact && strings.ContainsAny(v.text, ".eE") {
			return int64(x), true
		}
	}
	f.fail(name, "int_type", "Input should be a whole number that fits in 64 bits")
	return 0, false
}

func (f fields) integerWithin(name string, v value, low, high int) int {
	n, ok := f.integer(name, v)
	if ok {
		f.within(name, float64(n), limits{low: float64(low), high: float64(high)})
	}
	if ok && n >= int64(low) && n <= int64(high) {
		return int(n)
	}
	return low
}

func (f fields) requireInteger(name string, low, high int) int {
	if v, ok := f.require(name); ok {
		return f.integerWithin(name, v, low, high)
	}
	return low
}

func (f fields) integerOr(name string, otherwise, low, high int) int {
	if v, ok := f.members[name]; ok {
		return f.integerWithin(name, v, low, high)
	}
	return otherwise
}

func (f fields) boolean(name string) bool {
	v, ok := f.members[name]
	if ok && v.kind != boolean {
		f.fail(name, "bool_type", "Input should be true or false")
	}
	return v.truth
}

// oneOf checks that a string is one of the allowed ones.
func (f fields) oneOf(name string, v value, allowed ...string) string {
	if v.kind != text || !slices.Contains(allowed, v.text) {
		f.fail(name, "enum", "Input should be one of: %s", strings.Join(allowed, ", "))
		return ""
	}
	return v.text
}

// Dates must leave room for a term of 50 years within four digits.
const minYear, maxYear = 1900, 2199

func (f fields) requireDate(name string) time.Time {
	v, ok := f.require(name)
	if !ok {
		return time.Time{}
	}
	date, err := time.Parse(time.DateOnly, v.text)
	switch {
	case v.kind != text || err != nil:
		f.fail(name, "date_parsing", "Input should be a date that exists, as YYYY-MM-DD")
	case date.Year() < minYear || date.Year() > maxYear:
		f.fail(name, "date_range", "Input should be a date in the years %d to %d", minYear, maxYear)
	}
	return date
}

// string reads a text of low..high characters. Postgres cannot keep NUL.
func (f fields) string(name string, v value, low, high int) string {
	length := utf8.RuneCountInString(v.text)
	switch {
	case v.kind != text:
		f.fail(name, "string_type", "Input should be a string")
	case length < low:
		f.fail(name, "string_too_short", "Input should have at least %d characters", low)
	case length > high:
		f.fail(name, "string_too_long", "Input should have at most %d characters", high)
	case strings.ContainsRune(v.text, 0):
		f.fail(name, "string_nul", "Input should not hold the character NUL")
	}
	return v.text
}

// list reads an array of low..high items; nil when it is not one.
func (f fields) list(name string, v value, low, high int) []value {
	switch {
	case v.kind != array:
		f.fail(name, "list_type", "Input should be a list")
	case len(v.items) < low:
		f.fail(name, "too_short", "List should have at least %d items", low)
	case len(v.items) > high:
		f.fail(name, "too_long", "List should have at most %d items", high)
	default:
		return v.items
	}
	return nil
}
