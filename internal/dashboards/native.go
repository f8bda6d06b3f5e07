package dashboards

import (
	"regexp"
	"slices"
	"strings"
)

// Every histogram of soakd is classic and native at once. A Prometheus that takes
// the native ones in keeps these alone: there are no series NAME_bucket,
// NAME_count and NAME_sum then, but one series NAME whose values are histograms.
// Queries are written for classic buckets, and native makes the others of them.
// https://prometheus.io/docs/specs/native_histograms/

// native writes the query that gives the same on native histograms as the given
// one on classic ones:
//
//	histogram_quantile(q, sum by (case, le) (rate(M_bucket[5m])))  histogram_quantile(q, sum by (case) (rate(M[5m])))
//	sum by (le) (increase(M_bucket[5m]))                           sum(increase(M[5m])), whole histograms
//	M_count                                                        histogram_count(M)
//	rate(M_count[5m])                                              histogram_count(rate(M[5m]))
//
// and M_sum as M_count. It knows the forms that the queries of this package have,
// no more of PromQL.
func native(query string) string {
	var b strings.Builder
	for {
		at := classicSeries.FindStringSubmatchIndex(query)
		if at == nil {
			return b.String() + withoutBounds(query)
		}
		name, part := query[at[2]:at[3]], query[at[4]:at[5]]
		before, series, after := query[:at[0]], name+query[at[5]:at[1]], query[at[1]:]
		switch {
		case part == "bucket":
		case strings.Contains(name, ":"): // a recording of counts, which are numbers already
			series = query[at[0]:at[1]]
		default:
			before, series, after = wrapped(before, series, after, "histogram_"+part)
		}
		b.WriteString(withoutBounds(before) + series)
		query = after
	}
}

// classicSeries is a series of a classic histogram of soakd, or a recording of
// one, with its matchers and offset or range.
var classicSeries = regexp.MustCompile(`\b((?:[a-z_]+:)?soakd_[a-z0-9_]+)_(bucket|count|sum)\b(?::[a-z0-9_]+)?(?:\{[^}]*\})?(?:\[[^\]:]*\])?(?: offset [-$\w]+)?`)

// ofRange is a call whose result is a histogram when that over whose range it goes is.
var ofRange = regexp.MustCompile(`\b(?:rate|increase|delta|irate|idelta|last_over_time|avg_over_time|sum_over_time)\($`)

// wrapped puts a function around the series, or around the call over its range.
func wrapped(before, series, after, function string) (newBefore, newSeries, newAfter string) {
	if !strings.Contains(series, "[") {
		return before, function + "(" + series + ")", after
	}
	call := ofRange.FindStringIndex(before)
	if call == nil || !strings.HasPrefix(after, ")") { // such as count_over_time, which gives numbers
		return before, series, after
	}
	return before[:call[0]], function + "(" + before[call[0]:] + series + "))", after[1:]
}

// bounds are the labels of a grouping.
var bounds = regexp.MustCompile(`(\s*)\bby \(([^)]*)\)(\s*)`)

// withoutBounds takes the bucket's bound out of groupings: a native histogram is
// one value.
func withoutBounds(query string) string {
	return bounds.ReplaceAllStringFunc(query, func(group string) string {
		parts := bounds.FindStringSubmatch(group)
		labels := strings.Split(parts[2], ", ")
		kept := slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return label == "le" })
		switch len(kept) {
		case len(labels):
			return group
		case 0:
			return ""
		}
		return parts[1] + "by (" + strings.Join(kept, ", ") + ")" + parts[3]
	})
}

// inNative turns every query of a dashboard.
func (d Dashboard) inNative() Dashboard {
	d.Variables = slices.Clone(d.Variables)
	for i := range d.Variables {
		d.Variables[i].Selector = nativeSeries(d.Variables[i].Selector)
	}
	d.Rows = slices.Clone(d.Rows)
	for i := range d.Rows {
		panels := slices.Clone(d.Rows[i].Panels)
		for j := range panels {
			panels[j].Targets = slices.Clone(panels[j].Targets)
			for k := range panels[j].Targets {
				panels[j].Targets[k].Query = native(panels[j].Targets[k].Query)
				if panels[j].Kind == Heatmap { // its cells come with their bounds
					panels[j].Targets[k].Legend = ""
				}
			}
		}
		d.Rows[i].Panels = panels
	}
	return d
}

// nativeSeries is the selector of the histogram in place of that of its count: a
// variable asks for series, not for values.
func nativeSeries(selector string) string {
	return classicSeries.ReplaceAllStringFunc(selector, func(series string) string {
		parts := classicSeries.FindStringSubmatch(series)
		return parts[1] + strings.TrimPrefix(series, parts[1]+"_"+parts[2])
	})
}

// inNative turns every query of a group of rules. A recording of buckets becomes
// one of histograms and is called so.
func (g Group) inNative() Group {
	g.Recordings, g.Alerts = slices.Clone(g.Recordings), slices.Clone(g.Alerts)
	for i, r := range g.Recordings {
		g.Recordings[i] = Recording{Record: strings.Replace(r.Record, "_bucket:", ":", 1), Query: native(r.Query)}
	}
	for i, a := range g.Alerts {
		g.Alerts[i].Signal, g.Alerts[i].Only = native(a.Signal), native(a.Only)
	}
	return g
}
