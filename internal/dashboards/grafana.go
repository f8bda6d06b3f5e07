package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// schemaVersion is that of Grafana 10.2 to 10.4. Grafana 11 and later migrate it
// when they load the file; Grafana 10 would not understand a newer one.
const schemaVersion = 39

// tag finds the dashboards that link to one another.
const tag = "soakd"

// document is the JSON model of a dashboard. Fields that Grafana fills with its
// own default are left out.
type document struct {
	UID           string          `json:"uid"`
	Title         string          `json:"title"`
	Description   string          `json:"description"`
	Tags          []string        `json:"tags"`
	Timezone      string          `json:"timezone"`
	SchemaVersion int             `json:"schemaVersion"`
	Version       int             `json:"version"`
	Editable      bool            `json:"editable"`
	GraphTooltip  int             `json:"graphTooltip"`
	Refresh       string          `json:"refresh"`
	Time          timeRange       `json:"time"`
	Links         []dashboardLink `json:"links"`
	Annotations   list[any]       `json:"annotations"`
	Templating    list[any]       `json:"templating"`
	Panels        []any           `json:"panels"`
}

type list[T any] struct {
	List []T `json:"list"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type dashboardLink struct {
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
	TargetBlank bool     `json:"targetBlank"`
}

type dataSource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func chosenSource() dataSource { return dataSource{Type: "prometheus", UID: "${datasource}"} }

type object map[string]any

// sharedCrosshair shows the same moment in all panels of a dashboard.
const sharedCrosshair = 1

// JSON writes the dashboard as Grafana reads it. The result is the same each
// time.
func (d Dashboard) JSON() ([]byte, error) {
	doc := document{
		UID: d.UID, Title: d.Title, Description: d.Description, Tags: []string{tag}, Timezone: "browser",
		SchemaVersion: schemaVersion, Version: 1, Editable: true, GraphTooltip: sharedCrosshair, Refresh: "10s",
		Time: timeRange{From: "now-1h", To: "now"},
		Links: []dashboardLink{{
			Type: "dashboards", Title: "soakd", Tags: []string{tag}, IncludeVars: true, KeepTime: true,
		}},
		Annotations: list[any]{List: annotationList()},
		Templating:  list[any]{List: variableList(d.Variables)},
		Panels:      panelList(d.Rows),
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // so that queries stay readable
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return nil, fmt.Errorf("write the dashboard %s: %w", d.UID, err)
	}
	return b.Bytes(), nil
}

func annotationList() []any {
	all := []any{object{
		"builtIn": 1, "datasource": dataSource{Type: "grafana", UID: "-- Grafana --"}, "enable": true, "hide": true,
		"iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
	}}
	all = append(all, writtenAnnotations())
	for _, a := range Annotations() {
		all = append(all, object{
			"datasource": chosenSource(), "enable": true, "iconColor": a.Color, "name": a.Name,
			"expr": condition(a.Signal, a.Condition), "step": "", "titleFormat": a.Name, "textFormat": a.Text,
			"tagKeys": "instance", "useValueForTime": false,
		})
	}
	return all
}

func variableList(own []Variable) []any {
	all := []any{object{
		"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
		"regex": "", "hide": 0, "includeAll": false, "multi": false, "options": []any{}, "current": object{}, "skipUrlSync": false,
	}}
	for _, v := range append(commonVariables(), own...) {
		query := "label_values(" + v.Selector + ", " + v.Label + ")"
		variable := object{
			"name": v.Name, "label": v.Title, "type": "query", "datasource": chosenSource(), "definition": query,
			"query":   object{"query": query, "refId": "StandardVariableQuery"},
			"refresh": 2, "regex": "", "sort": 1, "hide": 0, "includeAll": true, "multi": true, "options": []any{},
			"current": object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}}, "skipUrlSync": false,
		}
		if v.All != "" {
			variable["allValue"] = v.All
		}
		all = append(all, variable)
	}
	return all
}

// panelList writes rows and panels in order, numbered from 1, each row below the
// one before.
func panelList(rows []Row) []any {
	var all []any
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, row := range rows {
		all = append(all, object{
			"id": next(), "type": "row", "title": row.Title, "collapsed": false, "panels": []any{},
			"gridPos": place{X: 0, Y: y, W: gridColumns, H: rowHeight},
		})
		places, below := flow(row.Panels, y+rowHeight)
		for i, panel := range row.Panels {
			all = append(all, panel.json(next(), places[i]))
		}
		y = below
	}
	return all
}

func (p Panel) json(id int, at place) object {
	panel := object{
		"id": id, "type": p.kindName(), "title": p.Title, "description": p.about(), "datasource": chosenSource(), "gridPos": at,
		"fieldConfig": object{"defaults": p.fieldDefaults(), "overrides": p.overrides()},
		"options":     p.options(),
		"targets":     p.targets(),
		"links":       []any{},
	}
	if p.Detail != "" {
		panel["links"] = []any{object{
			"title": "Show more", "targetBlank": false,
			"url": "/d/" + p.Detail + "?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}",
		}}
	}
	return panel
}

func (p Panel) kindName() string {
	switch p.Kind {
	case Stat:
		return "stat"
	case Heatmap:
		return "heatmap"
	default:
		return "timeseries"
	}
}

// about is the description together with when the panel is rightly empty.
func (p Panel) about() string {
	if p.EmptyWhen == "" {
		return p.Description
	}
	return p.Description + " Empty " + p.EmptyWhen + "."
}

func (p Panel) targets() []any {
	var all []any
	for i, t := range p.Targets {
		format := "time_series"
		if p.Kind == Heatmap {
			format = "heatmap"
		}
		// A tile asks for this moment alone: over a range it would still show the
		// last value of a series that has ended.
		all = append(all, object{
			"refId": refID(i), "datasource": chosenSource(), "editorMode": "code", "expr": t.Query, "legendFormat": t.Legend,
			"format": format, "range": p.Kind != Stat, "instant": p.Kind == Stat, "exemplar": t.Exemplars,
		})
	}
	return all
}

func (p Panel) fieldDefaults() object {
	defaults := object{
		"unit": p.Unit, "color": object{"mode": "palette-classic"},
		"thresholds": object{"mode": "absolute", "steps": p.thresholdSteps()},
		"mappings":   p.mappings(),
		"noValue":    "unknown",
	}
	switch p.Limits {
	case FromZero:
		defaults["min"] = 0
	case ZeroToOne:
		defaults["min"], defaults["max"] = 0, 1
	case Free:
	}
	switch p.Kind {
	case Stat:
		defaults["color"] = object{"mode": "thresholds"}
	case Heatmap:
		defaults["custom"] = object{"scaleDistribution": object{"type": "linear"}, "hideFrom": object{"legend": false, "tooltip": false, "viz": false}}
		delete(defaults, "min")
	case Graph:
		defaults["custom"] = p.graphStyle()
		if p.Log {
			delete(defaults, "min")
		}
	}
	return defaults
}

func (p Panel) graphStyle() object {
	style := object{
		"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 8, "gradientMode": "none",
		// A gap is a time at which the value was unknown: it is not bridged.
		"spanNulls": false, "showPoints": "auto", "pointSize": 3, "axisPlacement": "auto",
		"scaleDistribution": object{"type": "linear"},
		"stacking":          object{"mode": "none", "group": "A"},
		"thresholdsStyle":   object{"mode": "off"},
	}
	if p.Log {
		style["scaleDistribution"] = object{"type": "log", "log": 10}
		style["fillOpacity"] = 0
	}
	if p.Stack {
		style["stacking"] = object{"mode": "normal", "group": "A"}
		style["fillOpacity"] = 40
	}
	if len(p.Thresholds) > 0 {
		style["thresholdsStyle"] = object{"mode": "dashed"}
	}
	return style
}

type thresholdStep struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// thresholdSteps gives Grafana's steps, each of which holds from its value up to
// the next one's; the first has none.
func (p Panel) thresholdSteps() []thresholdStep {
	steps := []thresholdStep{{Color: "green"}}
	for _, t := range p.Thresholds {
		value := t.Value
		if t.Below {
			steps[len(steps)-1].Color = t.Color
			steps = append(steps, thresholdStep{Color: "green", Value: &value})
			continue
		}
		steps = append(steps, thresholdStep{Color: t.Color, Value: &value})
	}
	if len(p.Thresholds) == 0 {
		steps[0].Color = "text"
	}
	return steps
}

func (p Panel) mappings() []any {
	if len(p.Texts) == 0 {
		return []any{}
	}
	options := object{}
	for value, text := range p.Texts {
		options[strconv.Itoa(value)] = object{"text": text, "index": value}
	}
	return []any{object{"type": "value", "options": options}}
}

// overrides draw what is aimed at or a limit as a dashed line.
func (p Panel) overrides() []any {
	all := []any{}
	for i, t := range p.Targets {
		if !t.Dashed {
			continue
		}
		all = append(all, object{
			"matcher": object{"id": "byFrameRefID", "options": refID(i)},
			"properties": []any{
				object{"id": "custom.lineStyle", "value": object{"fill": "dash", "dash": []int{8, 6}}},
				object{"id": "custom.fillOpacity", "value": 0},
				object{"id": "custom.stacking", "value": object{"mode": "none", "group": "B"}},
			},
		})
	}
	return all
}

// refID names the queries of a panel A, B, C and so on.
func refID(i int) string { return string(rune('A' + i)) }

func (p Panel) options() object {
	switch p.Kind {
	case Stat:
		return object{
			"reduceOptions": object{"calcs": []string{"last"}, "fields": "", "values": false},
			"orientation":   "auto", "textMode": "auto", "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
		}
	case Heatmap:
		return object{
			"calculate": false, "cellGap": 1, "showValue": "never", "rowsFrame": object{"layout": "auto"},
			"color":        object{"mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": false},
			"exemplars":    object{"color": "rgba(255,0,255,0.7)"},
			"filterValues": object{"le": 1e-9},
			"legend":       object{"show": true},
			"tooltip":      object{"mode": "single", "yHistogram": false, "showColorScale": false},
			"yAxis":        object{"axisPlacement": "left", "reverse": false, "unit": p.Unit},
		}
	default:
		return object{
			"legend":  object{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	}
}

// condition joins a signal and a comparison.
func condition(signal, comparison string) string {
	if strings.ContainsAny(signal, " \n") {
		return "(" + signal + ") " + comparison
	}
	return signal + " " + comparison
}
