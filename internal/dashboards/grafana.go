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
		SchemaVersion: schemaVersion, Version: 1, Editable: true, GraphTooltip: sharedCrosshair, Refresh: or(d.Refresh, "10s"),
		Time: timeRange{From: or(d.Range, "now-1h"), To: "now"},
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

// or is the wanted text, or the usual one when none is wanted.
func or(wanted, usual string) string {
	if wanted == "" {
		return usual
	}
	return wanted
}

// panelList writes rows and panels in order, numbered from 1, each row below the
// one before. The panels of a collapsed row are kept inside of it.
func panelList(rows []Row) []any {
	var all []any
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, row := range rows {
		heading := object{
			"id": next(), "type": "row", "title": row.Title, "collapsed": row.Collapsed, "panels": []any{},
			"gridPos": place{X: 0, Y: y, W: gridColumns, H: rowHeight},
		}
		if row.Repeat != "" {
			heading["repeat"] = row.Repeat
		}
		places, below := flow(row.Panels, y+rowHeight)
		panels := []any{}
		for i, panel := range row.Panels {
			panels = append(panels, panel.json(next(), places[i]))
		}
		all = append(all, heading)
		if row.Collapsed {
			heading["panels"] = panels
			y += rowHeight
			continue
		}
		all = append(all, panels...)
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
	if p.Kind == Table {
		panel["transformations"] = p.transformations()
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
	case StateTimeline:
		return "state-timeline"
	case Table:
		return "table"
	case BarGauge:
		return "bargauge"
	case Text:
		return "text"
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
		switch p.Kind {
		case Heatmap:
			format = "heatmap"
		case Table:
			format = "table"
		}
		all = append(all, object{
			"refId": refID(i), "datasource": chosenSource(), "editorMode": "code", "expr": t.Query, "legendFormat": t.Legend,
			"format": format, "range": !p.Kind.instant(), "instant": p.Kind.instant(), "exemplar": t.Exemplars,
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
	case Stat, BarGauge:
		defaults["color"] = object{"mode": "thresholds"}
	case StateTimeline:
		defaults["color"] = object{"mode": "thresholds"}
		defaults["custom"] = object{"lineWidth": 0, "fillOpacity": 70, "spanNulls": false}
	case Table:
		defaults["custom"] = object{"align": "auto", "cellOptions": object{"type": "auto"}, "filterable": true}
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
func (p Panel) thresholdSteps() []thresholdStep { return thresholdSteps(p.Thresholds) }

func thresholdSteps(thresholds []Threshold) []thresholdStep {
	steps := []thresholdStep{{Color: "green"}}
	for _, t := range thresholds {
		value := t.Value
		if t.Below {
			steps[len(steps)-1].Color = t.Color
			steps = append(steps, thresholdStep{Color: "green", Value: &value})
			continue
		}
		steps = append(steps, thresholdStep{Color: t.Color, Value: &value})
	}
	if len(thresholds) == 0 {
		steps[0].Color = "text"
	}
	return steps
}

func (p Panel) mappings() []any { return mappings(p.Texts) }

func mappings(texts map[int]string) []any {
	if len(texts) == 0 {
		return []any{}
	}
	options := object{}
	for value, text := range texts {
		options[strconv.Itoa(value)] = object{"text": text, "index": value}
	}
	return []any{object{"type": "value", "options": options}}
}

// field is what Grafana calls the column of the query's answer.
func (p Panel) field(c Column) string {
	switch {
	case c.Label != "":
		return c.Label
	case len(p.Targets) > 1:
		return "Value #" + refID(c.Target)
	}
	return "Value"
}

// transformations make one table of the answers, with the columns that are
// wanted, in their order and under their titles.
func (p Panel) transformations() []any {
	var all []any
	if len(p.Targets) > 1 {
		all = append(all, object{"id": "merge", "options": object{}})
	}
	names, order, titles := []string{}, object{}, object{}
	for i, c := range p.Columns {
		name := p.field(c)
		names = append(names, name)
		order[name], titles[name] = i, c.Title
	}
	return append(all,
		object{"id": "filterFieldsByName", "options": object{"include": object{"names": names}}},
		object{"id": "organize", "options": object{"excludeByName": object{}, "indexByName": order, "renameByName": titles}},
	)
}

// columnOverrides give the values of a table their units, colours and words.
func (p Panel) columnOverrides() []any {
	all := []any{}
	for _, c := range p.Columns {
		var properties []any
		if c.Unit != "" {
			properties = append(properties, object{"id": "unit", "value": c.Unit})
		}
		if len(c.Thresholds) > 0 {
			properties = append(properties,
				object{"id": "thresholds", "value": object{"mode": "absolute", "steps": thresholdSteps(c.Thresholds)}},
				object{"id": "color", "value": object{"mode": "thresholds"}},
				object{"id": "custom.cellOptions", "value": object{"type": "color-text"}})
		}
		if len(c.Texts) > 0 {
			properties = append(properties, object{"id": "mappings", "value": mappings(c.Texts)})
		}
		if len(properties) > 0 {
			all = append(all, object{"matcher": object{"id": "byName", "options": c.Title}, "properties": properties})
		}
	}
	return all
}

// sortedBy is the order of the rows of a table.
func (p Panel) sortedBy() []any {
	all := []any{}
	for _, c := range p.Columns {
		if c.Sort != Unsorted {
			all = append(all, object{"displayName": c.Title, "desc": c.Sort == HighestFirst})
		}
	}
	return all
}

// overrides draw what is aimed at or a limit as a dashed line.
func (p Panel) overrides() []any {
	if p.Kind == Table {
		return p.columnOverrides()
	}
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
	case StateTimeline:
		return object{
			"mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9,
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": object{"mode": "single", "sort": "none"},
		}
	case Table:
		return object{"showHeader": true, "cellHeight": "sm", "footer": object{"show": false, "reducer": []string{}, "countRows": false}, "sortBy": p.sortedBy()}
	case BarGauge:
		return object{
			"reduceOptions": object{"calcs": []string{"last"}, "fields": "", "values": false},
			"orientation":   "horizontal", "displayMode": "basic", "valueMode": "color", "namePlacement": "auto", "showUnfilled": true,
			"sizing": "auto", "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 300,
		}
	case Text:
		return object{"mode": "markdown", "content": p.Markdown}
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
