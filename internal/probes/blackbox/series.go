package blackbox

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
)

const (
	// maxExporters and maxSeries bound what is read from exporters.
	maxExporters = 20
	maxSeries    = 100
)

// fold is how several series become one value.
type fold string

// The folds. Only a sum of counters is a counter: the others may fall.
const (
	foldSum fold = "sum"
	foldMax fold = "max"
	foldMin fold = "min"
	foldAvg fold = "avg"
)

// wantedSeries is one series to take from an exporter.
type wantedSeries struct {
	// name is soakd's: a label value.
	name string
	// selector is the exporter's.
	selector exposition.Selector
	fold     fold
	// counter tells that the value is a counter.
	counter bool
}

// parseSeries reads a list of name=exporter:metric{label="value"} and returns it
// by exporter.
func parseSeries(variable, list string) (map[string][]wantedSeries, error) {
	entries, err := parseEntries(list, maxSeries)
	if err != nil {
		return nil, prefixed(variable, err)
	}
	wanted := map[string][]wantedSeries{}
	var errs []error
	for i, e := range entries {
		exporter, series, err := parseOneSeries(e)
		if err != nil {
			errs = append(errs, prefixed(fmt.Sprintf("%s: entry %d: %s", variable, i+1, e.name), err))
			continue
		}
		wanted[exporter] = append(wanted[exporter], series)
	}
	return wanted, errors.Join(errs...)
}

func parseOneSeries(e entry) (exporter string, series wantedSeries, err error) {
	series = wantedSeries{name: e.name, fold: foldSum}
	// The braces may hold spaces: all up to the closing one is the selector.
	whole := strings.Join(e.words, " ")
	selector, rest := whole, ""
	if end := strings.LastIndexByte(whole, '}'); end >= 0 {
		selector, rest = whole[:end+1], whole[end+1:]
	} else if first, others, found := strings.Cut(whole, " "); found {
		selector, rest = first, others
	}
	exporter, selector, found := strings.Cut(selector, ":")
	if !found || !entryName.MatchString(exporter) {
		return "", series, errors.New(`want exporter:metric{label="value"}`)
	}
	if series.selector, err = parseSelector(selector); err != nil {
		return "", series, err
	}
	words, err := split(rest, unicode.IsSpace)
	if err != nil {
		return "", series, err
	}
	err = series.take(words)
	return exporter, series, err
}

// take reads the options.
func (s *wantedSeries) take(words []string) error {
	kind := ""
	known := options{
		"fold": {take: func(value string) error {
			s.fold = fold(value)
			if !slices.Contains([]fold{foldSum, foldMax, foldMin, foldAvg}, s.fold) {
				return fmt.Errorf("%q is none of sum, max, min, avg", value)
			}
			return nil
		}},
		"type": {take: func(value string) error {
			kind = value
			if value != "gauge" && value != "counter" {
				return fmt.Errorf("%q is not gauge or counter", value)
			}
			return nil
		}},
	}
	if err := known.parse(words); err != nil {
		return err
	}
	if kind == "counter" && s.fold != foldSum {
		return fmt.Errorf("options fold, type: a %s of counters is no counter", s.fold)
	}
	s.counter = kind == "counter" || kind == "" && s.fold == foldSum && namesCounter(s.selector.Name)
	return nil
}

// namesCounter tells a counter by its name: the type is not read from the page,
// so that soakd's metric does not change when the exporter is away or changes its
// mind. https://prometheus.io/docs/practices/naming/
func namesCounter(metric string) bool {
	return slices.ContainsFunc([]string{"_total", "_count", "_sum", "_bucket"}, func(suffix string) bool {
		return strings.HasSuffix(metric, suffix)
	})
}

// value folds the series of the page into one value.
func (s wantedSeries) value(page exposition.Page) (float64, error) {
	values, err := page.Values(s.selector)
	switch {
	case err != nil:
		return 0, probes.Because(probes.ReasonProtocol, err)
	case len(values) == 0:
		return 0, probes.Because(probes.ReasonMissing, fmt.Errorf("the page has no %s", s))
	case slices.ContainsFunc(values, math.IsNaN):
		return 0, probes.Because(probes.ReasonMissing, fmt.Errorf("%s has no value (NaN)", s))
	}
	folded := s.fold.of(values)
	switch {
	case math.IsInf(folded, 0) || math.IsNaN(folded):
		return 0, probes.Because(probes.ReasonProtocol, fmt.Errorf("%s is infinite", s))
	case s.counter && folded < 0:
		return 0, probes.Because(probes.ReasonProtocol, fmt.Errorf("%s is below 0, which no counter can be; see option type", s))
	}
	return folded, nil
}

// of folds values, of which there is at least one.
func (f fold) of(values []float64) float64 {
	switch f {
	case foldMax:
		return slices.Max(values)
	case foldMin:
		return slices.Min(values)
	}
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	if f == foldAvg {
		return sum / float64(len(values))
	}
	return sum
}

var (
	metricSelector = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?$`)
	labelMatch     = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"([^"]*)"|'([^']*)')\s*$`)
)

// parseSelector parses name{label="value",...}. Label values are taken as they
// stand, without escapes.
func parseSelector(text string) (exposition.Selector, error) {
	found := metricSelector.FindStringSubmatch(text)
	if found == nil {
		return exposition.Selector{}, fmt.Errorf("%q is not a metric's name with labels in braces", text)
	}
	pairs, err := split(found[2], func(r rune) bool { return r == ',' })
	if err != nil {
		return exposition.Selector{}, err
	}
	selector := exposition.Selector{Name: found[1], Match: map[string]string{}}
	for _, pair := range pairs {
		label := labelMatch.FindStringSubmatch(pair)
		if label == nil {
			return selector, fmt.Errorf(`%q is not label="value"`, pair)
		}
		if _, twice := selector.Match[label[1]]; twice {
			return selector, fmt.Errorf("label %s is there twice", label[1])
		}
		selector.Match[label[1]] = label[2] + label[3]
	}
	return selector, nil
}

// checkExporters finds series of exporters that are not listed, and exporters of
// which no series is wanted.
func checkExporters(variable string, wanted map[string][]wantedSeries, listed []spec) error {
	var errs []error
	isListed := map[string]bool{}
	for _, s := range listed {
		isListed[s.name] = true
		if len(wanted[s.name]) == 0 {
			errs = append(errs, fmt.Errorf("%s: names no series of the exporter %s", variable, s.name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !isListed[name] {
			errs = append(errs, fmt.Errorf("%s: %s is taken from the exporter %s, which %s does not list", variable, wanted[name][0].name, name, variableOf(exporterKind)))
		}
	}
	return errors.Join(errs...)
}

// String writes the series as an exposition does, for an error.
func (s wantedSeries) String() string {
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(s.selector.Match)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", label, s.selector.Match[label]))
	}
	if len(pairs) == 0 {
		return s.selector.Name
	}
	return s.selector.Name + "{" + strings.Join(pairs, ",") + "}"
}
