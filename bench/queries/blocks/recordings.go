package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
)

// readRecordings reads what the rules' queries gave at coarse steps. Between two
// of them a recording goes straight from one value to the other.
func readRecordings(path string) ([]series, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var answers []struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	if err := json.Unmarshal(text, &answers); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var all []series
	for _, answer := range answers {
		times, values, err := points(answer.Values)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		all = append(all, series{labels: labels.FromMap(answer.Metric), value: func(seconds float64) (float64, bool) {
			return between(times, values, seconds)
		}})
	}
	slices.SortFunc(all, func(a, b series) int { return labels.Compare(a.labels, b.labels) })
	return all, nil
}

func points(answer [][2]any) (times, values []float64, err error) {
	for _, point := range answer {
		t, isNumber := point[0].(float64)
		text, isText := point[1].(string)
		if !isNumber || !isText {
			return nil, nil, fmt.Errorf("a point is %v, want [time, \"value\"]", point)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, nil, err
		}
		times, values = append(times, t), append(values, v)
	}
	return times, values, nil
}

// between is the value on the line through the points around a moment, with a
// thousandth of it up and down so that values differ as measured ones do.
func between(times, values []float64, seconds float64) (float64, bool) {
	after, _ := slices.BinarySearch(times, seconds)
	if after == len(times) {
		return 0, false
	}
	v := values[after]
	if after > 0 {
		part := (seconds - times[after-1]) / (times[after] - times[after-1])
		v = values[after-1] + part*(v-values[after-1])
	}
	return v * (1 + 0.001*math.Sin(seconds)), !math.IsNaN(v)
}
