package dashboards

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/text"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// plugin is the name of the kind in Grafana.
func (k Kind) plugin() string {
	switch k {
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

// more is the link to the dashboard that shows more, which keeps time and
// variables. Variables that it does not have are not looked at.
func more(uid string) []dashboard.DashboardLink {
	return []dashboard.DashboardLink{{
		Type: dashboard.DashboardLinkTypeLink, Title: "Show more", Tags: []string{},
		Url: new("/d/" + uid + "?${__url_time_range}&${__all_variables}"),
	}}
}

func (p Panel) model(id uint32, at place) dashboard.Panel {
	panel := dashboard.Panel{
		Id: &id, Type: p.Kind.plugin(), Title: &p.Title, Description: new(p.about()), GridPos: at.grid(), Options: p.options(),
	}
	if p.Kind == Text {
		return panel
	}
	panel.Datasource = chosenSource()
	panel.FieldConfig = &dashboard.FieldConfigSource{Defaults: p.fieldDefaults(), Overrides: p.overrides()}
	panel.Targets = p.targets()
	if p.Kind == Table {
		panel.Transformations = p.transformations()
	}
	if p.Detail != "" {
		panel.Links = more(p.Detail)
	}
	return panel
}

// about is the description together with when the panel is rightly empty.
func (p Panel) about() string {
	if p.EmptyWhen == "" {
		return p.Description
	}
	return p.Description + " Empty " + p.EmptyWhen + "."
}

// refID names the queries of a panel A, B, C and so on.
func refID(i int) string { return string(rune('A' + i)) }

func (p Panel) targets() []variants.Dataquery {
	format := prometheus.PromQueryFormatTimeSeries
	switch p.Kind {
	case Heatmap:
		format = prometheus.PromQueryFormatHeatmap
	case Table:
		format = prometheus.PromQueryFormatTable
	}
	var all []variants.Dataquery
	for i, t := range p.Targets {
		var interval *string
		if t.Interval != "" {
			interval = &t.Interval
		}
		all = append(all, prometheus.Dataquery{
			Interval: interval,
			RefId:    new(refID(i)), Datasource: chosenSource(), EditorMode: new(prometheus.QueryEditorModeCode), Expr: t.Query, LegendFormat: &t.Legend,
			Format: &format, Range: new(!p.Kind.instant()), Instant: new(p.Kind.instant()), Exemplar: &t.Exemplars,
		})
	}
	return all
}

func (p Panel) fieldDefaults() dashboard.FieldConfig {
	defaults := dashboard.FieldConfig{
		Unit: &p.Unit, Color: &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds},
		Thresholds: steps(p.Thresholds), Mappings: mappings(p.Texts), NoValue: new("unknown"), Custom: p.style(),
	}
	if p.Kind == Graph {
		defaults.Color.Mode = dashboard.FieldColorModeIdPaletteClassic
	}
	switch p.Limits {
	case FromZero:
		if p.Kind != Heatmap && !p.Log { // neither has a zero
			defaults.Min = new(0.0)
		}
	case ZeroToOne:
		defaults.Min, defaults.Max = new(0.0), new(1.0)
	case Free:
	}
	return defaults
}

// style is what only the kind of panel knows of a field.
func (p Panel) style() any {
	switch p.Kind {
	case Graph:
		return p.graphStyle()
	case Heatmap:
		return heatmap.FieldConfig{ScaleDistribution: &common.ScaleDistributionConfig{Type: common.ScaleDistributionLinear}, HideFrom: &common.HideSeriesConfig{}}
	case StateTimeline:
		return statetimeline.FieldConfig{LineWidth: new(uint32(0)), FillOpacity: new(uint32(70)), SpanNulls: &statetimeline.BoolOrUint32{Bool: new(false)}}
	case Table:
		return common.TableFieldOptions{Align: common.FieldTextAlignmentAuto, CellOptions: &common.TableCellOptions{
			TableAutoCellOptions: common.NewTableAutoCellOptions(),
		}, Filterable: new(true)}
	default:
		return nil
	}
}

func (p Panel) graphStyle() common.GraphFieldConfig {
	style := common.GraphFieldConfig{
		DrawStyle: new(common.GraphDrawStyleLine), LineInterpolation: new(common.LineInterpolationLinear), LineWidth: new(1.0),
		FillOpacity: new(8.0), GradientMode: new(common.GraphGradientModeNone),
		// A gap is a time at which the value was unknown: it is not bridged.
		SpanNulls:  &common.BoolOrFloat64{Bool: new(false)},
		ShowPoints: new(common.VisibilityModeAuto), PointSize: new(3.0), AxisPlacement: new(common.AxisPlacementAuto),
		ScaleDistribution: &common.ScaleDistributionConfig{Type: common.ScaleDistributionLinear},
		Stacking:          stacking(common.StackingModeNone, "A"),
		ThresholdsStyle:   &common.GraphThresholdsStyleConfig{Mode: common.GraphThresholdsStyleModeOff},
	}
	if p.Log {
		style.ScaleDistribution = &common.ScaleDistributionConfig{Type: common.ScaleDistributionLog, Log: new(10.0)}
		style.FillOpacity = new(0.0)
	}
	if p.Stack {
		style.Stacking = stacking(common.StackingModeNormal, "A")
		style.FillOpacity = new(40.0)
	}
	if len(p.Thresholds) > 0 {
		style.ThresholdsStyle.Mode = common.GraphThresholdsStyleModeDashed
	}
	return style
}

func stacking(mode common.StackingMode, group string) *common.StackingConfig {
	return &common.StackingConfig{Mode: &mode, Group: &group}
}

// steps gives Grafana's thresholds, each of which holds from its value up to the
// next one's; the first has none.
func steps(thresholds []Threshold) *dashboard.ThresholdsConfig {
	all := []dashboard.Threshold{{Color: "green"}}
	for _, t := range thresholds {
		if t.Below {
			all[len(all)-1].Color = t.Color
			all = append(all, dashboard.Threshold{Color: "green", Value: &t.Value})
			continue
		}
		all = append(all, dashboard.Threshold{Color: t.Color, Value: &t.Value})
	}
	if len(thresholds) == 0 {
		all[0].Color = "text"
	}
	return &dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute, Steps: all}
}

func mappings(words map[int]string) []dashboard.ValueMapping {
	if len(words) == 0 {
		return nil
	}
	options := map[string]dashboard.ValueMappingResult{}
	for value, word := range words {
		options[strconv.Itoa(value)] = dashboard.ValueMappingResult{Text: &word, Index: new(int32(value))} //nolint:gosec // a state, a small number
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// overrides draw what is aimed at or a limit as a dashed line.
func (p Panel) overrides() []dashboard.DashboardFieldConfigSourceOverrides {
	if p.Kind == Table {
		return p.columnOverrides()
	}
	all := []dashboard.DashboardFieldConfigSourceOverrides{}
	for i, t := range p.Targets {
		if !t.Dashed {
			continue
		}
		all = append(all, dashboard.DashboardFieldConfigSourceOverrides{
			Matcher: dashboard.MatcherConfig{Id: "byFrameRefID", Options: refID(i)},
			Properties: []dashboard.DynamicConfigValue{
				{Id: "custom.lineStyle", Value: common.LineStyle{Fill: new(common.LineStyleFillDash), Dash: []float64{8, 6}}},
				{Id: "custom.fillOpacity", Value: 0},
				{Id: "custom.stacking", Value: stacking(common.StackingModeNone, "B")},
			},
		})
	}
	return all
}

// bottomLegend stands below the lines, where a narrow screen has room for it.
func bottomLegend(mode common.LegendDisplayMode, calcs ...string) common.VizLegendOptions {
	if calcs == nil {
		calcs = []string{}
	}
	return common.VizLegendOptions{DisplayMode: mode, Placement: common.LegendPlacementBottom, ShowLegend: true, Calcs: calcs}
}

// present reduces a query to its last value.
func present() common.ReduceDataOptions {
	return common.ReduceDataOptions{Calcs: []string{"last"}, Fields: new(""), Values: new(false)}
}

func (p Panel) options() any {
	switch p.Kind {
	case Stat:
		return stat.Options{
			ReduceOptions: present(), Orientation: common.VizOrientationAuto, TextMode: common.BigValueTextModeAuto, ColorMode: common.BigValueColorModeValue,
			GraphMode: common.BigValueGraphModeNone, JustifyMode: common.BigValueJustifyModeAuto, WideLayout: true,
			PercentChangeColorMode: common.PercentChangeColorModeStandard,
		}
	case Heatmap:
		return p.heatmapOptions()
	case StateTimeline:
		return statetimeline.Options{
			MergeValues: new(true), ShowValue: common.VisibilityModeAuto, AlignValue: new(common.TimelineValueAlignmentLeft), RowHeight: 0.9,
			Legend: bottomLegend(common.LegendDisplayModeList), Tooltip: common.VizTooltipOptions{Mode: common.TooltipDisplayModeSingle, Sort: common.SortOrderNone},
		}
	case Table:
		return table.Options{ShowHeader: true, CellHeight: new(common.TableCellHeightSm), SortBy: p.sortedBy()}
	case BarGauge:
		options := *bargauge.NewOptions()
		options.ReduceOptions, options.Orientation, options.DisplayMode = present(), common.VizOrientationHorizontal, common.BarGaugeDisplayModeBasic
		options.Legend = bottomLegend(common.LegendDisplayModeList)
		options.Legend.ShowLegend = false // the bars have their names
		return options
	case Text:
		return text.Options{Mode: text.TextModeMarkdown, Content: p.Markdown}
	default:
		return timeseries.Options{
			Legend:  bottomLegend(common.LegendDisplayModeTable, "lastNotNull", "max"),
			Tooltip: common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderDescending},
		}
	}
}

func (p Panel) heatmapOptions() heatmap.Options {
	options := *heatmap.NewOptions() // Grafana's own colours
	options.Calculate, options.CellGap, options.ShowValue = new(false), new(uint8(1)), common.VisibilityModeNever
	options.Color.Mode, options.Color.Scale = new(heatmap.HeatmapColorModeScheme), new(heatmap.HeatmapColorScaleExponential)
	options.RowsFrame = &heatmap.RowsHeatmapOptions{Layout: new(common.HeatmapCellLayoutAuto)}
	options.Exemplars = heatmap.ExemplarConfig{Color: "rgba(255,0,255,0.7)"}
	options.Legend = heatmap.HeatmapLegend{Show: true}
	options.Tooltip = heatmap.HeatmapTooltip{Mode: common.TooltipDisplayModeSingle, YHistogram: new(false), ShowColorScale: new(false)}
	options.YAxis = heatmap.YAxisConfig{AxisPlacement: new(common.AxisPlacementLeft), Reverse: new(false), Unit: &p.Unit}
	return options
}
