package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"slices"
	"testing"
	"time"
)

func TestVariablesAreSubstituted(t *testing.T) {
	p := &prometheus{from: time.Unix(1000, 0), to: time.Unix(1300, 0), step: 5 * time.Second}
	for expr, want := range map[string]string{
		`rate(a{job=~"$job"}[$__rate_interval])`: `rate(a{job=~".*"}[20s])`,
		`b{case=~"${case:regex}"}`:               `b{case=~".*"}`,
		`max_over_time(c[$__range])`:             `max_over_time(c[300s])`,
		`d[$__interval]`:                         `d[5s]`,
		`e{code=~"5.."}`:                         `e{code=~"5.."}`,
	} {
		if got := p.substituted(expr); got != want {
			t.Errorf("substituted(%q) = %q, want %q", expr, got, want)
		}
	}
}

func TestValuesAreAtTheirTimes(t *testing.T) {
	got := ordered([][2]any{{10.0, "1.5"}, {20.0, "NaN"}, {30.0, "+Inf"}, {35.0, "7"}}, []int64{0, 10, 20, 30})
	for i, v := range got {
		if (v != nil) != (i == 1) {
			t.Errorf("value %d is there: %v", i, v != nil)
		}
	}
	if *got[1] != 1.5 {
		t.Errorf("got %v, want 1.5", *got[1])
	}
}

func TestAMarkIsWhereAConditionBegins(t *testing.T) {
	got := beginnings([][2]any{{10.0, "1"}, {15.0, "1"}, {40.0, "1"}}, 5*time.Second, "red")
	if want := []mark{{10, "red"}, {40, "red"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestColumnsHaveTheirOrderNamesAndUnits(t *testing.T) {
	var d drawn
	text := `{"transformations": [{"id": "merge", "options": {}}, {"id": "organize", "options": {
		"indexByName": {"Value #A": 1, "signal": 0, "Value #B": 2}, "renameByName": {"Value #A": "Slope", "Value #B": "Left", "signal": "Resource"}}}],
		"fieldConfig": {"overrides": [{"matcher": {"id": "byName", "options": "Left"}, "properties": [{"id": "unit", "value": "s"}]}]}}`
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	got := columns(d.Transformations, d.FieldConfig.Overrides, "short")
	want := []column{{Name: "Resource", Label: "signal", Unit: "short"}, {Name: "Slope", Ref: "A", Unit: "short"}, {Name: "Left", Ref: "B", Unit: "s"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAReducedPictureEndsWhereItsContentDoes(t *testing.T) {
	full := image.NewRGBA(image.Rect(0, 0, 40, 200))
	draw.Draw(full, full.Bounds(), image.NewUniform(color.Black), image.Point{}, draw.Src)
	draw.Draw(full, image.Rect(5, 5, 10, 50), image.NewUniform(color.White), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, full); err != nil {
		t.Fatal(err)
	}
	content, err := reduced(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if want := image.Rect(0, 0, 40, 58); got.Bounds() != want {
		t.Errorf("bounds %v, want %v", got.Bounds(), want)
	}
	if r, _, _, _ := got.At(7, 20).RGBA(); r>>8 != 0xf8 {
		t.Errorf("red is %#x where all is white, want 0xf8", r>>8)
	}
}

func TestColourCountsForMoreThanGrey(t *testing.T) {
	if grey, red := weight(color.RGBA{120, 120, 128, 255}), weight(color.RGBA{242, 73, 92, 255}); grey != 1 || red != 8 {
		t.Errorf("grey %d and red %d, want 1 and 8", grey, red)
	}
}
