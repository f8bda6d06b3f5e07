package grafana

import (
	"encoding/json"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxText bounds a part of a text, in bytes before it is escaped.
	maxText = 1000
	// maxTags bounds the tags of an annotation written as JSON, in bytes: Grafana refuses
	// more than its tags_length, which is 500 unless somebody raised it.
	maxTags = 500
	// maxTag bounds the part of a tag before and behind its colon: Grafana's columns
	// hold 100 characters.
	maxTag = 100
)

// Escaped makes text of people, of targets and of dependencies safe to stand in an
// annotation, which Grafana shows as HTML: nothing of it is taken for a tag, and it
// stays on one line. What is longer than 1000 bytes is cut.
func Escaped(text string) string {
	return html.EscapeString(cut(line(text), maxText))
}

// line puts a space for everything that is no letter, sign or space.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
}

// cut returns at most so many bytes of a text, in whole letters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}

// Tag writes a tag that Grafana splits into a name and a value.
func Tag(name, value string) string {
	return name + ":" + cut(strings.TrimSpace(line(value)), maxTag)
}

// Tags joins tags up to what Grafana takes; those that come first matter most. One that
// is there twice is left out.
func Tags(all ...string) []string {
	var tags []string
	known := map[string]bool{}
	for _, tag := range all {
		tag = strings.TrimSpace(line(tag))
		if tag == "" || known[tag] {
			continue
		}
		if text, err := json.Marshal(append(tags, tag)); err != nil || len(text) > maxTags {
			continue
		}
		known[tag] = true
		tags = append(tags, tag)
	}
	return tags
}
