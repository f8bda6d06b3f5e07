package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

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
// wanted, in their order and under their titles. Options of transformations have
// no types in Grafana's schema.
func (p Panel) transformations() []dashboard.DataTransformerConfig {
	var all []dashboard.DataTransformerConfig
	if len(p.Targets) > 1 {
		all = append(all, dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}})
	}
	names, order, titles := []string{}, map[string]int{}, map[string]string{}
	for i, c := range p.Columns {
		name := p.field(c)
		names = append(names, name)
		order[name], titles[name] = i, c.Title
	}
	return append(all,
		dashboard.DataTransformerConfig{Id: "filterFieldsByName", Options: map[string]any{"include": map[string]any{"names": names}}},
		dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{}, "indexByName": order, "renameByName": titles,
		}},
	)
}

// columnOverrides give the values of a table their units, colours and words.
func (p Panel) columnOverrides() []dashboard.DashboardFieldConfigSourceOverrides {
	all := []dashboard.DashboardFieldConfigSourceOverrides{}
	for _, c := range p.Columns {
		var properties []dashboard.DynamicConfigValue
		if c.Unit != "" {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "unit", Value: c.Unit})
		}
		if len(c.Thresholds) > 0 {
			properties = append(properties,
				dashboard.DynamicConfigValue{Id: "thresholds", Value: steps(c.Thresholds)},
				dashboard.DynamicConfigValue{Id: "color", Value: dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}},
				dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: common.NewTableColorTextCellOptions()})
		}
		if len(c.Texts) > 0 {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "mappings", Value: mappings(c.Texts)})
		}
		if len(properties) > 0 {
			all = append(all, dashboard.DashboardFieldConfigSourceOverrides{
				Matcher: dashboard.MatcherConfig{Id: "byName", Options: c.Title}, Properties: properties,
			})
		}
	}
	return all
}

// sortedBy is the order of the rows of a table.
func (p Panel) sortedBy() []common.TableSortByFieldState {
	var all []common.TableSortByFieldState
	for _, c := range p.Columns {
		if c.Sort != Unsorted {
			all = append(all, common.TableSortByFieldState{DisplayName: c.Title, Desc: new(c.Sort == HighestFirst)})
		}
	}
	return all
}
