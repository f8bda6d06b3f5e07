package cashflow

import (
	"fmt"
	"time"
)

// instant reads a point in time: RFC 3339, with UTC for a time without a zone
// (as Python's isoformat writes it); null is the zero time.
func (r *reader) instant() time.Time {
	if r.isNull() {
		return time.Time{}
	}
	start := r.at
	if r.peek() != '"' {
		r.mismatch("a time")
		return time.Time{}
	}
	text := r.str()
	if at, ok := quickTime(text); ok {
		return at
	}
	at, ok := anyTime(string(text))
	if !ok && r.broken == nil {
		r.mistake(fmt.Errorf("%s at byte %d is not a time (RFC 3339)", clip(text), start))
	}
	return at
}

// anyTime reads all forms that are accepted.
func anyTime(text string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// quickTime reads the common forms, 2026-03-01T15:04:05 with or without a
// fraction, in UTC: an answer has a hundred times, and [time.Parse] takes several
// times as long. What it does not know is left to [anyTime].
func quickTime(text []byte) (time.Time, bool) {
	const form = "2006-01-02T15:04:05"
	if len(text) < len(form) || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, false
	}
	year := 100*twoDigits(text) + twoDigits(text[2:])
	month, day := twoDigits(text[5:]), twoDigits(text[8:])
	hour, minute, second := twoDigits(text[11:]), twoDigits(text[14:]), twoDigits(text[17:])
	nanoseconds, zone := fraction(text[len(form):])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
		minute < 0 || minute > 59 || second < 0 || second > 59 || nanoseconds < 0 {
		return time.Time{}, false
	}
	if string(zone) != "Z" && string(zone) != "+00:00" && len(zone) > 0 {
		return time.Time{}, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, nanoseconds, time.UTC)
	return at, day <= 28 || at.Day() == day // else the month has no such day
}

// noDigits is what is returned for something else than digits: negative, whatever is added.
const noDigits = -10_000

// twoDigits reads the first two bytes of text.
func twoDigits(text []byte) int {
	tens, ones := text[0]-'0', text[1]-'0'
	if tens > 9 || ones > 9 {
		return noDigits
	}
	return int(10*tens + ones)
}

// fraction reads a fraction of a second, in nanoseconds, when there is one, and
// returns what is behind it.
func fraction(text []byte) (nanoseconds int, rest []byte) {
	if len(text) == 0 || text[0] != '.' {
		return 0, text
	}
	at, unit := 1, 100_000_000
	for ; at < len(text) && text[at]-'0' <= 9; at++ {
		nanoseconds += int(text[at]-'0') * unit
		unit /= 10
	}
	if at == 1 || at > 10 {
		return noDigits, nil
	}
	return nanoseconds, text[at:]
}
