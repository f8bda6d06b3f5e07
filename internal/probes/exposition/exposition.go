// Package exposition reads chosen series from a page of metrics: Prometheus
// text 0.0.4 and 1.0.0, OpenMetrics 1.0 and 0.0.1, and Prometheus protobuf. It
// keeps nothing but these series, so that a page of 100 000 series costs no more
// memory than one of ten.
package exposition

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"soakd/internal/probes"
)

const (
	// MaxBody bounds a page, in bytes, after decompression.
	MaxBody = 10 << 20
	// maxSeries bounds what is kept of a page: about 20 MiB.
	maxSeries = 50_000
)

var (
	errTooLarge    = fmt.Errorf("the answer is larger than %d MiB", MaxBody>>20)
	errTooMany     = fmt.Errorf("the page has more than %d series of the names that are read", maxSeries)
	errNotFinite   = errors.New("is infinite")
	errDuplicate   = errors.New("is there twice with the same labels")
	errUnexpectEnd = errors.New("unexpected end: the page is cut off")
)

// Selector names series as the text format does, so with _sum and _count for
// summaries and histograms, with the label values that they must have.
type Selector struct {
	Name  string
	Match map[string]string
}

// NamesOf returns the names that [Read] must look for to find the selectors.
func NamesOf(selectors []Selector) map[string]bool {
	names := make(map[string]bool, len(selectors))
	for _, s := range selectors {
		names[s.Name] = true
	}
	return names
}

// Page is what was wanted of a page. The zero value is empty.
type Page struct {
	// series are by the name that was wanted.
	series map[string][]series
	count  int
}

// series is one sample; labels are sorted by name.
type series struct {
	labels []label
	value  float64
}

type label struct{ name, value string }

// Read reads the series of names from a page. An error means that the page as a
// whole is not to be trusted: it is none, is cut off, or is over [MaxBody].
func Read(contentType string, body io.Reader, names map[string]bool) (Page, error) {
	kind, err := formatOf(contentType)
	if err != nil {
		return Page{}, probes.Because(probes.ReasonProtocol, err)
	}
	page := Page{series: map[string][]series{}}
	bounded := &boundedReader{r: body, left: MaxBody}
	err = kind.read(bounded, wanted{names: names, scheme: kind.scheme}, &page)
	switch {
	case bounded.failed != nil:
		return Page{}, bounded.failed
	case err != nil:
		return Page{}, probes.Because(probes.ReasonProtocol, err)
	}
	return page, nil
}

// boundedReader fails with errTooLarge after left bytes, so that a page that is
// cut off is never taken for a whole one.
type boundedReader struct {
	r    io.Reader
	left int
	// failed is what reading ended with, unless it was the end.
	failed error
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return b.beyond()
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = err
	}
	return n, err
}

// beyond tells whether the page ends exactly at the bound.
func (b *boundedReader) beyond() (int, error) {
	n, err := b.r.Read(make([]byte, 1))
	switch {
	case n > 0:
		err = probes.Because(probes.ReasonProtocol, errTooLarge)
		b.failed = err
	case err != nil && !errors.Is(err, io.EOF):
		b.failed = err
	}
	return 0, err
}

// add keeps one sample.
func (p *Page) add(name string, labels []label, value float64) error {
	if p.count++; p.count > maxSeries {
		return errTooMany
	}
	p.series[name] = append(p.series[name], series{labels, value})
	return nil
}

// Values returns the values of the series that s selects, in the page's order.
func (p Page) Values(s Selector) ([]float64, error) {
	var found []float64
	seen := map[string]bool{}
	for _, one := range p.series[s.Name] {
		if !one.matches(s.Match) {
			continue
		}
		id := one.id()
		if seen[id] {
			return nil, fmt.Errorf("%s %w", s.Name, errDuplicate)
		}
		seen[id] = true
		found = append(found, one.value)
	}
	return found, nil
}

// Sum returns the sum of the series that s selects. There is none when s selects
// none and when one of them is NaN, which says "no value".
func (p Page) Sum(s Selector) (value float64, ok bool, err error) {
	values, err := p.Values(s)
	if err != nil || len(values) == 0 || slices.ContainsFunc(values, math.IsNaN) {
		return 0, false, err
	}
	for _, one := range values {
		value += one
	}
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return 0, false, fmt.Errorf("%s %w", s.Name, errNotFinite)
	}
	return value, true, nil
}

// matches reports whether the series has the wanted label values; an empty one
// is the same as no such label.
func (s series) matches(want map[string]string) bool {
	for name, value := range want {
		if s.label(name) != value {
			return false
		}
	}
	return true
}

func (s series) label(name string) string {
	for _, l := range s.labels {
		if l.name == name || underscored(l.name) == name {
			return l.value
		}
	}
	return ""
}

// id identifies the series among those of its name. 0xff is in no UTF-8 text.
func (s series) id() string {
	var id strings.Builder
	for _, l := range s.labels {
		id.WriteString(l.name + "\xff" + l.value + "\xff")
	}
	return id.String()
}

// sorted sorts labels by name and refuses a name that is there twice.
func sorted(labels []label) ([]label, error) {
	slices.SortFunc(labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(labels); i++ {
		if labels[i].name == labels[i-1].name {
			return nil, fmt.Errorf("the label %.40q is there twice", labels[i].name)
		}
	}
	return labels, nil
}

// wanted decides which names are kept.
type wanted struct {
	names map[string]bool
	// scheme is how the page has escaped names that have other characters than
	// a-z, A-Z, 0-9, _ and :.
	scheme model.EscapingScheme
}

// find returns the name under which series of the page's name are kept. A name
// of other characters, as OpenTelemetry's process.cpu.time, is found as itself
// and with underscores in their place, as Prometheus writes it for readers that
// know no other: https://prometheus.io/docs/instrumenting/escaping_schemes/
func (w wanted) find(name []byte) (string, bool) {
	if w.names[string(name)] {
		return string(name), true
	}
	if isPlain(name) && !w.escapes(name) {
		return "", false
	}
	unescaped := w.unescape(string(name))
	if w.names[unescaped] {
		return unescaped, true
	}
	under := underscored(unescaped)
	return under, w.names[under]
}

// escapes reports whether name may be an escaped one.
func (w wanted) escapes(name []byte) bool {
	switch w.scheme {
	case model.ValueEncodingEscaping:
		return len(name) > 3 && string(name[:3]) == "U__"
	case model.DotsEscaping:
		return true
	default:
		return false
	}
}

func (w wanted) unescape(name string) string {
	if w.escapes([]byte(name)) {
		return model.UnescapeName(name, w.scheme)
	}
	return name
}

// underscored returns name as it is written where other characters are not
// known.
func underscored(name string) string {
	if isPlain([]byte(name)) {
		return name
	}
	return model.EscapeName(name, model.UnderscoreEscaping)
}

// isPlain reports whether all of name are characters that need no quotes.
func isPlain(name []byte) bool { return nameEnd(name) == len(name) && len(name) > 0 }

// Labels returns the different values that the series of a name have of a label,
// sorted; those that lack it are left out.
func (p Page) Labels(name, label string) []string {
	var found []string
	for _, s := range p.series[name] {
		for _, l := range s.labels {
			if l.name == label {
				found = append(found, l.value)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
