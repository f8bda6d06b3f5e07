// Package results reads what other tools measured (Locust, k6, vegeta, JMeter) and what
// soakd wrote itself, in bounded memory and whatever the files hold, so that it is
// judged and reported like a run of soakd's own.
package results

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// Result is what the files of one run hold.
type Result struct {
	// Run is what they came to, without thresholds, comparison and conclusion.
	Run report.Run
	// Sampled tells that they hold every request: its windows of 10 s were given to
	// [Options].Window, and Whole and Windows are nil.
	Sampled bool
	// Whole is the run and Windows are its stretches of 10 s, oldest first, as far as
	// totals tell. Windows is empty where nothing is known of them.
	Whole   threshold.Stretch
	Windows []threshold.Stretch
	// TimesOfWindows tells that the response times of Windows are known.
	TimesOfWindows bool
	// Cut says that the files end in the midst of something, so that the run was cut
	// short; "" when they do not.
	Cut string
	// FromReport tells that it is a report that soakd wrote, with what it then came to in Run;
	// Recorded are its thresholds.
	FromReport bool
	Recorded   []threshold.Judged
	// Notes say what is missing in the files, and what was left out.
	Notes []string
}

// Options say how files are read.
type Options struct {
	// Format is what the file holds, "" to tell by its content.
	Format Format
	// Window gets the windows of 10 s of files with samples, in order, while they are
	// read; nil for nobody. They are not changed any more.
	Window func(*window.Window)
}

// note adds a line to the notes.
func (r *Result) note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// ErrUnreadable is what is wrong with files that are no results, or broken ones. Errors
// of opening and of reading a file (that it is not there, an I/O error) are not of it.
var ErrUnreadable = errors.New("unreadable results")

// unreadable is an error of [ErrUnreadable] at a place in a file.
type unreadable struct{ text string }

func (u unreadable) Error() string        { return u.text }
func (u unreadable) Is(target error) bool { return target == ErrUnreadable }

// wrong says what is wrong in a line of a file; in none where line is 0.
func wrong(file string, line int, format string, values ...any) error {
	at := file
	if line > 0 {
		at = fmt.Sprintf("%s:%d", file, line)
	}
	return unreadable{at + ": " + fmt.Sprintf(format, values...)}
}

// maxShown bounds the text of a file that an error or a name shows, in bytes.
const maxShown = 200

// clean makes text of a file fit for a report: valid, bounded, on one line.
func clean(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// millis turns milliseconds, as most tools count, into a time; below 0 is unknown, and
// more than a century no time.
func millis(ms float64) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	if !(ms >= 0) || ms > float64(century/time.Millisecond) {
		return unknown
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// unknown stands for a time that is not known, as in [threshold.Times].
const unknown = time.Duration(-1)
