package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// board is what of a dashboard's JSON is drawn.
type board struct {
	UID         string      `json:"uid"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Panels      []drawn     `json:"panels"`
	Annotation  annotations `json:"annotations"`
}

type annotations struct {
	List []struct {
		Expr  string `json:"expr"`
		Color string `json:"iconColor"`
	} `json:"list"`
}

type drawn struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr    string `json:"expr"`
		Legend  string `json:"legendFormat"`
		Ref     string `json:"refId"`
		Instant bool   `json:"instant"`
	} `json:"targets"`
	Transformations []organized `json:"transformations"`
	Options         struct {
		Content string `json:"content"`
	} `json:"options"`
	FieldConfig struct {
		Overrides []override `json:"overrides"`
		Defaults  struct {
			Unit       string   `json:"unit"`
			NoValue    string   `json:"noValue"`
			Min        *float64 `json:"min"`
			Max        *float64 `json:"max"`
			Thresholds struct {
				Steps []threshold `json:"steps"`
			} `json:"thresholds"`
			Mappings []struct {
				Type    string             `json:"type"`
				Options map[string]mapping `json:"options"`
			} `json:"mappings"`
			Custom struct {
				Stacking          struct{ Mode string } `json:"stacking"`
				ScaleDistribution struct{ Type string } `json:"scaleDistribution"`
				ThresholdsStyle   struct{ Mode string } `json:"thresholdsStyle"`
				LineInterpolation string                `json:"lineInterpolation"`
			} `json:"custom"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

func readBoard(file string) (*board, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	b := new(board)
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// prometheus answers queries over one stretch of time.
type prometheus struct {
	url      string
	from, to time.Time
	step     time.Duration
}

// times are the moments that are asked for, in seconds since 1970.
func (p *prometheus) times() []int64 {
	var all []int64
	for t := p.from; !t.After(p.to); t = t.Add(p.step) {
		all = append(all, t.Unix())
	}
	return all
}

// variable matches one of a dashboard in a query.
var variable = regexp.MustCompile(`\$\{?(\w+)(?::\w+)?\}?`)

// substituted puts values for the variables as Grafana does where all is chosen. The
// demo is scraped each 5 s, and Grafana takes four times that for a rate.
func (p *prometheus) substituted(expr string) string {
	return variable.ReplaceAllStringFunc(expr, func(name string) string {
		switch variable.FindStringSubmatch(name)[1] {
		case "__rate_interval":
			return "20s"
		case "__interval":
			return p.step.String()
		case "__range":
			return fmt.Sprintf("%ds", int(p.to.Sub(p.from).Seconds()))
		}
		return ".*"
	})
}

// answer is that of /api/v1/query_range.
type answer struct {
	Error string `json:"error"`
	Data  struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Values [][2]any          `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

func (p *prometheus) ask(ctx context.Context, expr string) (*answer, error) {
	query := url.Values{
		"query": {p.substituted(expr)}, "step": {strconv.Itoa(int(p.step.Seconds()))},
		"start": {strconv.FormatInt(p.from.Unix(), 10)}, "end": {strconv.FormatInt(p.to.Unix(), 10)},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/api/v1/query_range", strings.NewReader(query.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := new(answer)
	if err := json.Unmarshal(text, a); err != nil || a.Error != "" {
		return nil, fmt.Errorf("query %s: %s %w", query.Get("query"), a.Error, err)
	}
	return a, nil
}

var label = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// ordered are the values of a series at the times of the page.
func ordered(values [][2]any, times []int64) []*float64 {
	at := map[int64]*float64{}
	for _, pair := range values {
		when, isNumber := pair[0].(float64)
		text, isText := pair[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if isNumber && isText && err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			at[int64(when)] = &v
		}
	}
	list := make([]*float64, len(times))
	for i, t := range times {
		list[i] = at[t]
	}
	return list
}

// draw asks what a dashboard shows.
func (p *prometheus) draw(ctx context.Context, b *board, note string) (*page, error) {
	out := &page{Title: b.Title, Note: note, From: float64(p.from.Unix()), To: float64(p.to.Unix()), Times: p.times(), Annotations: []mark{}}
	for i := range b.Panels {
		one, err := p.panel(ctx, &b.Panels[i], out.Times)
		if err != nil {
			return nil, fmt.Errorf("%s / %s: %w", b.Title, b.Panels[i].Title, err)
		}
		out.Panels = append(out.Panels, one)
	}
	for _, a := range b.Annotation.List {
		if a.Expr == "" {
			continue
		}
		found, err := p.ask(ctx, a.Expr)
		if err != nil {
			return nil, err
		}
		for _, r := range found.Data.Result {
			out.Annotations = append(out.Annotations, beginnings(r.Values, p.step, a.Color)...)
		}
	}
	return out, nil
}

// beginnings are the moments at which a condition began to hold.
func beginnings(values [][2]any, step time.Duration, color string) []mark {
	var marks []mark
	last := math.Inf(-1)
	for _, pair := range values {
		when, _ := pair[0].(float64)
		if when-last > 1.5*step.Seconds() {
			marks = append(marks, mark{Time: when, Color: color})
		}
		last = when
	}
	return marks
}

// panel asks what a panel shows.
func (p *prometheus) panel(ctx context.Context, d *drawn, times []int64) (panel, error) {
	f := &d.FieldConfig.Defaults
	out := panel{
		Type: d.Type, Title: d.Title, X: d.GridPos.X, Y: d.GridPos.Y, W: d.GridPos.W, H: d.GridPos.H, Unit: f.Unit, NoValue: f.NoValue, Min: f.Min, Max: f.Max,
		Stack: f.Custom.Stacking.Mode == "normal", Log: f.Custom.ScaleDistribution.Type == "log", Stepped: strings.HasPrefix(f.Custom.LineInterpolation, "step"),
		Lines: f.Custom.ThresholdsStyle.Mode != "" && f.Custom.ThresholdsStyle.Mode != "off", Cumulative: d.Type == "heatmap",
		Thresholds: f.Thresholds.Steps, Mappings: map[string]mapping{}, Series: []series{},
		Text: d.Options.Content, Columns: columns(d.Transformations, d.FieldConfig.Overrides, f.Unit),
	}
	for _, m := range f.Mappings {
		if m.Type == "value" {
			for value, shown := range m.Options {
				out.Mappings[value] = shown
			}
		}
	}
	for _, target := range d.Targets {
		found, err := p.ask(ctx, target.Expr)
		if err != nil {
			return out, err
		}
		for _, r := range found.Data.Result {
			name := label.ReplaceAllStringFunc(target.Legend, func(l string) string { return r.Metric[label.FindStringSubmatch(l)[1]] })
			out.Series = append(out.Series, series{Name: name, Ref: target.Ref, Labels: r.Metric, Values: ordered(r.Values, times)})
		}
	}
	return out, nil
}
