package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// organized is what a dashboard says about the columns of a table.
type organized struct {
	ID      string `json:"id"`
	Options struct {
		Order  map[string]int    `json:"indexByName"`
		Rename map[string]string `json:"renameByName"`
	} `json:"options"`
}

// override is what a dashboard says about one column.
type override struct {
	Matcher struct {
		Options any `json:"options"`
	} `json:"matcher"`
	Properties []struct {
		ID    string `json:"id"`
		Value any    `json:"value"`
	} `json:"properties"`
}

// column is one of a table: of a label, or of the answers of the query Ref.
type column struct {
	Name  string `json:"name"`
	Label string `json:"label,omitempty"`
	Ref   string `json:"ref,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

// columns are those of a table, in their order.
func columns(transformations []organized, overrides []override, unit string) []column {
	var all []column
	for _, t := range transformations {
		if t.ID != "organize" {
			continue
		}
		order := t.Options.Order
		for _, field := range slices.SortedFunc(maps.Keys(order), func(a, b string) int { return cmp.Compare(order[a], order[b]) }) {
			c := column{Name: cmp.Or(t.Options.Rename[field], field), Unit: unit}
			if ref, isValue := strings.CutPrefix(field, "Value #"); isValue {
				c.Ref = ref
			} else {
				c.Label = field
			}
			for _, o := range overrides {
				if o.Matcher.Options == c.Name {
					c.Unit = cmp.Or(o.unit(), c.Unit)
				}
			}
			all = append(all, c)
		}
	}
	return all
}

// unit is the one that an override sets, empty if none.
func (o *override) unit() string {
	for _, p := range o.Properties {
		if text, isText := p.Value.(string); isText && p.ID == "unit" {
			return text
		}
	}
	return ""
}
