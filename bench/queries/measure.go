package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/dashboards"
)

// prometheus is the server with the data, which ends at end.
type prometheus struct {
	base string
	end  time.Time
	// pid is its process where its CPU time is measured, 0 where the time of its
	// answers is.
	pid int
}

// clock is what is measured: time, or time on a CPU.
func (p *prometheus) clock() (time.Duration, error) {
	if p.pid == 0 {
		return time.Duration(time.Now().UnixNano()), nil
	}
	return cpuTime(p.pid)
}

// matrixSeries is one series of an answer over a range.
type matrixSeries struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values"`
}

// ask sends a query and returns the data of its answer and how long both took.
func (p *prometheus) ask(ctx context.Context, path string, form url.Values) (json.RawMessage, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	started, err := p.clock()
	if err != nil {
		return nil, 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, err
	}
	ended, err := p.clock()
	if err != nil {
		return nil, 0, err
	}
	took := ended - started
	var answer struct {
		Error string
		Data  struct{ Result json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, 0, fmt.Errorf("%s answered %s: %.200s", path, response.Status, body)
	}
	if answer.Error != "" {
		return nil, 0, fmt.Errorf("%s: %s", path, answer.Error)
	}
	return answer.Data.Result, took, nil
}

// lastMoment is the newest sample, at most a day old.
func (p *prometheus) lastMoment(ctx context.Context) (time.Time, error) {
	result, _, err := p.ask(ctx, "/api/v1/query", url.Values{"query": {"max(max_over_time(timestamp(up)[1d:1m]))"}})
	if err != nil {
		return time.Time{}, err
	}
	var vector []struct{ Value [2]any }
	if err := json.Unmarshal(result, &vector); err != nil || len(vector) != 1 {
		return time.Time{}, fmt.Errorf("the storage has no data of the last day: %.100s", result)
	}
	seconds, err := strconv.ParseFloat(fmt.Sprint(vector[0].Value[1]), 64)
	return time.UnixMilli(int64(seconds * 1000)), err
}

func (p *prometheus) overRange(ctx context.Context, query string, span, step time.Duration) ([]matrixSeries, error) {
	result, _, err := p.ask(ctx, "/api/v1/query_range", p.rangeForm(query, span, step))
	if err != nil {
		return nil, err
	}
	var series []matrixSeries
	err = json.Unmarshal(result, &series)
	return series, err
}

func (p *prometheus) rangeForm(query string, span, step time.Duration) url.Values {
	return url.Values{
		"query": {query}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
		"start": {strconv.FormatInt(p.end.Add(-span).Unix(), 10)}, "end": {strconv.FormatInt(p.end.Unix(), 10)},
	}
}

// result is what one query took.
type result struct {
	dashboard, panel, legend, query string
	// opened, day and fortnight are the medians; 0 when it was not asked.
	opened, day, fortnight time.Duration
	// oneCase is opened with one case chosen instead of all.
	oneCase time.Duration
}

// worst is the longest over the time the dashboard opens with.
func (r result) worst() time.Duration { return max(r.opened, r.oneCase) }

func (o options) measureAll(ctx context.Context, server *prometheus) ([]result, error) {
	var all []result
	for _, d := range o.settings().All() {
		for _, row := range d.Rows {
			for _, panel := range row.Panels {
				for _, target := range panel.Targets {
					r, err := o.measure(ctx, server, d, panel, target)
					if ctx.Err() != nil {
						return all, nil // what there is by now
					}
					if err != nil {
						return nil, fmt.Errorf("%s / %s: %w\n  %s", d.Title, panel.Title, err, target.Query)
					}
					all = append(all, r)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b result) int { return cmp.Compare(b.worst(), a.worst()) })
	return all, nil
}

func (o options) measure(ctx context.Context, server *prometheus, d dashboards.Dashboard, panel dashboards.Panel, target dashboards.Target) (r result, err error) {
	r = result{dashboard: d.Title, panel: panel.Title, legend: target.Legend, query: target.Query}
	instant := panel.Kind == dashboards.Stat || panel.Kind == dashboards.Table || panel.Kind == dashboards.BarGauge
	ask := func(span time.Duration, one bool) (time.Duration, error) {
		return o.median(ctx, server, target, span, instant, one)
	}
	opened, err := openingRange(d)
	if err != nil {
		return r, err
	}
	if r.opened, err = ask(opened, false); err != nil {
		return r, err
	}
	if strings.Contains(target.Query, "$case") {
		if r.oneCase, err = ask(opened, true); err != nil {
			return r, err
		}
	}
	if o.day {
		if r.day, err = ask(24*time.Hour, false); err != nil {
			return r, err
		}
	}
	if o.fortnight {
		r.fortnight, err = ask(span, false)
	}
	return r, err
}

// openingRange is the time a dashboard shows when it is opened.
func openingRange(d dashboards.Dashboard) (time.Duration, error) {
	if d.Range == "" {
		return time.Hour, nil
	}
	text := strings.TrimPrefix(d.Range, "now-")
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// points is about how many a graph of Grafana asks for: one for each pixel of its
// width, of which half the screen has fewer than a thousand.
const points = 1000

// median asks once to warm up and then as often as is set.
func (o options) median(ctx context.Context, server *prometheus, target dashboards.Target, span time.Duration, instant, one bool) (time.Duration, error) {
	shortest, err := time.ParseDuration(target.Interval)
	if err != nil { // it has none
		shortest = o.step
	}
	step := max((span / points).Round(time.Second), shortest)
	text := substituted(target.Query, span, step, o.step, one)
	path, form := "/api/v1/query_range", server.rangeForm(text, span, step)
	if instant {
		path, form = "/api/v1/query", url.Values{"query": {text}, "time": {strconv.FormatInt(server.end.Unix(), 10)}}
	}
	var took []time.Duration
	for i := range o.runs + 1 {
		_, t, err := server.ask(ctx, path, form)
		if err != nil {
			return 0, err
		}
		if i > 0 {
			took = append(took, t)
		}
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// substituted puts in what Grafana would, with everything chosen or one case. The
// interval of a rate is the larger of the step and one scrape more, and at least
// four scrapes.
// https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
func substituted(query string, span, step, scrape time.Duration, one bool) string {
	chosen := ".*"
	if one {
		chosen = "forecast"
	}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }
	return strings.NewReplacer(
		"$__rate_interval", seconds(max(step+scrape, 4*scrape)), "$__interval", seconds(step), "$__range", seconds(span),
		"$job", "soakd", "$instance", `(soakd-1:9100|soakd-2:9100|soakd-3:9100)`,
		"$case", chosen, "$class", ".*", "$target", ".+",
	).Replace(variables(query))
}

// variables that are not named above are all values.
func variables(query string) string {
	var b strings.Builder
	for {
		at := strings.Index(query, `=~"$`)
		if at < 0 {
			return b.String() + query
		}
		end := at + 4
		for end < len(query) && query[end] != '"' {
			end++
		}
		name := query[at+3 : end]
		switch name {
		case "$job", "$instance", "$case", "$class", "$target":
			b.WriteString(query[:end])
		default:
			b.WriteString(query[:at] + `=~".*`)
		}
		query = query[end:]
	}
}
