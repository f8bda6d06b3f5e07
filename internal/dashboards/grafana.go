package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The description becomes Grafana's own types, so that what is written has
// Grafana's schema. The types are used as they are and not through the builders of
// the same module, which place panels by themselves and have one type a kind of panel.

// schemaVersion is that of Grafana 10.2 to 10.4. Grafana 11 and later migrate it
// when they load the file; Grafana 10 would not understand what a newer one
// promises. (The types are those of version 42, whose new fields are not used.)
const schemaVersion = 39

// tag finds the dashboards that link to one another.
const tag = "soakd"

func chosenSource() *common.DataSourceRef {
	return &common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// grafanas is the model that all Grafanas read. The newer one that is to be preferred
// needs Grafana 12.
type grafanas = dashboard.Dashboard //nolint:staticcheck // deprecated for the newer one, see above

// model is the dashboard in Grafana's types. Fields that Grafana fills with its own
// default are left out.
func (d Dashboard) model() grafanas {
	return grafanas{
		Uid: &d.UID, Title: &d.Title, Description: &d.Description, Tags: []string{tag}, Timezone: new(common.TimeZoneBrowser),
		SchemaVersion: schemaVersion, Version: new(uint32(1)), Editable: new(true),
		// The same moment in all panels of a dashboard.
		GraphTooltip: new(dashboard.DashboardCursorSyncCrosshair),
		Refresh:      new(or(d.Refresh, "10s")),
		Time:         &dashboard.DashboardDashboardTime{From: or(d.Range, "now-1h"), To: "now"},
		Links: []dashboard.DashboardLink{{
			Type: dashboard.DashboardLinkTypeDashboards, Title: "soakd", Tags: []string{tag}, IncludeVars: true, KeepTime: true,
		}},
		Annotations: dashboard.AnnotationContainer{List: d.annotationList()},
		Templating:  dashboard.DashboardDashboardTemplating{List: d.variableList()},
		Panels:      panelList(d.Rows),
	}
}

// JSON writes the dashboard as Grafana reads it. The result is the same each time.
func (d Dashboard) JSON() ([]byte, error) {
	model := d.model()
	if err := model.Validate(); err != nil {
		return nil, fmt.Errorf("write the dashboard %s: %w", d.UID, err)
	}
	content, err := json.MarshalIndent(model, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the dashboard %s: %w", d.UID, err)
	}
	return append(readable(content), '\n'), nil
}

// IsDashboard reports whether a file was written by [Dashboard.JSON]: it is a
// dashboard with soakd's tag and an address of soakd's.
func IsDashboard(content []byte) bool {
	var file struct {
		UID  string   `json:"uid"`
		Tags []string `json:"tags"`
	}
	return json.Unmarshal(content, &file) == nil && strings.HasPrefix(file.UID, tag+"-") && slices.Contains(file.Tags, tag)
}

// escaped is a backslash of a text, or a character of HTML that is written as its code.
var escaped = regexp.MustCompile(`\\\\|\\u003c|\\u003e|\\u0026`)

// readable writes the characters of HTML themselves, so that queries can be read.
// The encoder cannot be told so: Grafana's types write their parts by encoders of
// their own.
func readable(content []byte) []byte {
	return escaped.ReplaceAllFunc(content, func(code []byte) []byte {
		switch {
		case bytes.HasSuffix(code, []byte("3c")):
			return []byte("<")
		case bytes.HasSuffix(code, []byte("3e")):
			return []byte(">")
		case bytes.HasSuffix(code, []byte("26")):
			return []byte("&")
		}
		return code
	})
}

// or is the wanted text, or the usual one when none is wanted.
func or(wanted, usual string) string {
	if wanted == "" {
		return usual
	}
	return wanted
}

func (d Dashboard) annotationList() []dashboard.AnnotationQuery {
	all := []dashboard.AnnotationQuery{{
		BuiltIn: new(1.0), Datasource: &common.DataSourceRef{Type: new("grafana"), Uid: new("-- Grafana --")}, Enable: true, Hide: new(true),
		IconColor: "rgba(0, 211, 255, 1)", Name: "Annotations & Alerts", Type: new("dashboard"),
	}}
	all = append(all, writtenAnnotations())
	for _, a := range d.Marks {
		all = append(all, dashboard.AnnotationQuery{
			Datasource: chosenSource(), Enable: true, IconColor: a.Color, Name: a.Name,
			Expr: new(condition(a.Signal, a.Condition)), Step: new(""), TitleFormat: &a.Name, TextFormat: &a.Text,
			TagKeys: new("instance"), UseValueForTime: new(false),
		})
	}
	return all
}

// chosen is a choice of one value.
func chosen(value string) dashboard.StringOrArrayOfString {
	return dashboard.StringOrArrayOfString{String: &value}
}

// severalChosen is a choice of several.
func severalChosen(values ...string) dashboard.StringOrArrayOfString {
	return dashboard.StringOrArrayOfString{ArrayOfString: values}
}

func (d Dashboard) variableList() []dashboard.VariableModel {
	source := dashboard.VariableModel{
		Name: "datasource", Label: new("Data source"), Type: dashboard.VariableTypeDatasource, Query: &dashboard.StringOrMap{String: new("prometheus")},
		Refresh: new(dashboard.VariableRefreshOnDashboardLoad), Hide: new(dashboard.VariableHideDontHide),
		IncludeAll: new(false), Multi: new(false), Regex: new(""), SkipUrlSync: new(false),
	}
	if d.DataSource != "" {
		source.Current = &dashboard.VariableOption{Selected: new(true), Text: chosen(d.DataSource), Value: chosen(d.DataSource)}
	}
	all := []dashboard.VariableModel{source}
	for _, v := range append(commonVariables(), d.Variables...) {
		all = append(all, v.model())
	}
	return all
}

func (v Variable) model() dashboard.VariableModel {
	query := "label_values(" + v.Selector + ", " + v.Label + ")"
	model := dashboard.VariableModel{
		Name: v.Name, Label: &v.Title, Type: dashboard.VariableTypeQuery, Datasource: chosenSource(), Definition: &query,
		Query:   &dashboard.StringOrMap{Map: map[string]any{"query": query, "refId": "StandardVariableQuery"}},
		Refresh: new(dashboard.VariableRefreshOnTimeRangeChanged), Regex: new(""), Sort: new(dashboard.VariableSortAlphabeticalAsc),
		Hide: new(dashboard.VariableHideDontHide), IncludeAll: new(true), Multi: new(true), SkipUrlSync: new(false),
		Current: &dashboard.VariableOption{Selected: new(true), Text: severalChosen("All"), Value: severalChosen("$__all")},
	}
	if v.All != "" {
		model.AllValue = &v.All
	}
	return model
}

// grid is a place in Grafana's type.
func (p place) grid() *dashboard.GridPos {
	return &dashboard.GridPos{X: uint32(p.X), Y: uint32(p.Y), W: uint32(p.W), H: uint32(p.H)} //nolint:gosec // a place is never negative, see flow
}

// panelList writes rows and panels in order, numbered from 1, each row below the
// one before. The panels of a collapsed row are kept inside of it.
func panelList(rows []Row) []dashboard.PanelOrRowPanel {
	var all []dashboard.PanelOrRowPanel
	y := 0
	last := uint32(0)
	next := func() uint32 { last++; return last }
	for _, row := range rows {
		heading := &dashboard.RowPanel{
			Id: next(), Type: "row", Title: &row.Title, Collapsed: row.Collapsed, Panels: []dashboard.Panel{},
			GridPos: place{X: 0, Y: y, W: gridColumns, H: rowHeight}.grid(),
		}
		if row.Repeat != "" {
			heading.Repeat = &row.Repeat
		}
		all = append(all, dashboard.PanelOrRowPanel{RowPanel: heading})
		places, below := flow(row.Panels, y+rowHeight)
		y = below
		if row.Collapsed {
			y = int(heading.GridPos.Y) + rowHeight
		}
		for i, described := range row.Panels {
			panel := described.model(next(), places[i])
			if row.Collapsed {
				heading.Panels = append(heading.Panels, panel)
			} else {
				all = append(all, dashboard.PanelOrRowPanel{Panel: &panel})
			}
		}
	}
	return all
}

// condition joins a signal and a comparison.
func condition(signal, comparison string) string {
	if strings.ContainsAny(signal, " \n") {
		return "(" + signal + ") " + comparison
	}
	return signal + " " + comparison
}
