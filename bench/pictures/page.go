package main

import (
	_ "embed"
	"encoding/json"
	"strings"
)

//go:embed page.html
var pageHTML string

// page is what the script in page.html draws.
type page struct {
	Title       string  `json:"title"`
	Note        string  `json:"note"`
	From        float64 `json:"from"`
	To          float64 `json:"to"`
	Times       []int64 `json:"times"`
	Panels      []panel `json:"panels"`
	Annotations []mark  `json:"annotations"`
}

// mark is a moment on the time axis, in seconds since 1970.
type mark struct {
	Time  float64 `json:"time"`
	Color string  `json:"color"`
}

// panel is one of a dashboard with what its queries answer.
type panel struct {
	Type       string             `json:"type"`
	Title      string             `json:"title"`
	X          int                `json:"x"`
	Y          int                `json:"y"`
	W          int                `json:"w"`
	H          int                `json:"h"`
	Unit       string             `json:"unit"`
	NoValue    string             `json:"noValue"`
	Stack      bool               `json:"stack"`
	Log        bool               `json:"log"`
	Stepped    bool               `json:"stepped"`
	Lines      bool               `json:"lines"`
	Cumulative bool               `json:"cumulative"`
	Min        *float64           `json:"min,omitempty"`
	Max        *float64           `json:"max,omitempty"`
	Mappings   map[string]mapping `json:"mappings"`
	Thresholds []threshold        `json:"thresholds"`
	Series     []series           `json:"series"`
	Text       string             `json:"text,omitempty"`
	Columns    []column           `json:"columns,omitempty"`
}

type mapping struct {
	Text  string `json:"text"`
	Color string `json:"color,omitempty"`
}

type threshold struct {
	Value *float64 `json:"value"`
	Color string   `json:"color"`
}

// series is one line; a value that is not there is null.
type series struct {
	Name   string            `json:"name"`
	Ref    string            `json:"ref,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Values []*float64        `json:"values"`
}

// html writes a page that needs nothing else.
func (p *page) html(script, style string) (string, error) {
	data, err := json.Marshal(p) // which writes < as \u003c: no text ends the script
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("STYLE", style, "SCRIPT", script, "DATA", string(data)).Replace(pageHTML), nil
}
