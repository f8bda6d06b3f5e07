package probes

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"soakd/internal/secret"
)

// maxErrorText bounds the text of an error of a probe, in bytes.
const maxErrorText = 300

// minSecret is the shortest text, in bytes, that [Brief] takes for a secret:
// hiding every "a" would make errors unreadable and hide nothing.
const minSecret = 3

// Brief returns err with a text that can be logged as it is: on one line, valid
// UTF-8, at most 300 bytes, with every one of hidden, plain or escaped as in a
// URL, replaced. [errors.Is] still sees what is inside; [errors.As] does not,
// because the driver's errors inside may hold the whole URL. The reason that
// [ReasonOf] finds in err stays.
func Brief(err error, hidden ...secret.String) error {
	if err == nil {
		return nil
	}
	return &briefError{text: briefText(err.Error(), hidden), err: err, reason: ReasonOf(err)}
}

type briefError struct {
	text   string
	err    error
	reason Reason
}

func (e *briefError) Error() string { return e.text }

func (e *briefError) Is(target error) bool { return errors.Is(e.err, target) }

func briefText(text string, hidden []secret.String) string {
	for _, s := range hidden {
		for _, form := range []string{s.Value(), url.QueryEscape(s.Value()), url.PathEscape(s.Value()), url.UserPassword("", s.Value()).String()[1:]} {
			if len(form) >= minSecret {
				text = strings.ReplaceAll(text, form, "[redacted]")
			}
		}
	}
	return truncate(oneLine(text), maxErrorText)
}

// oneLine folds white space and control characters into single spaces.
func oneLine(text string) string {
	fields := strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r <= ' ' || r == 0x7f })
	return strings.Join(fields, " ")
}

// truncate cuts text to at most size bytes, at the border of a rune.
func truncate(text string, size int) string {
	if len(text) <= size {
		return text
	}
	const mark = "…"
	cut := size - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}
