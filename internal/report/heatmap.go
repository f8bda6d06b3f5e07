package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/window"
)

// heatLevels are the shades of a heatmap, from few to many.
const heatLevels = 6

// heatCell is where the requests of a window lie: Row counts its buckets from the
// shortest times.
type heatCell struct{ row, level int }

// heatmap shows how the response times of each window were spread: time from left to
// right, response times upwards on a log scale, darker for a larger share of the
// window's requests. It returns nil where no histogram is known.
func heatmap(r *Run, points []Point) *chart {
	if len(r.Windows) == 0 {
		return nil
	}
	schema, counts, first, last := heatCounts(r.Windows)
	if first > last {
		return nil
	}
	f := newFrame(r, points, chartWidth, chartHeight)
	f.step = r.Windows[0].Length
	c := &chart{
		ID: "heatmap", Title: "Response times, how they were spread", Width: chartWidth, Height: chartHeight,
		Desc: "Each column is a window; the darker a field, the larger the share of the window's requests that took so long.",
	}
	perBucket := math.Pow(2, math.Pow(2, float64(-schema)))
	s := scale{low: bucketStart(first, perBucket), high: bucketStart(last+1, perBucket), log: true}
	s.ticks = powersWithin(s.low, s.high)
	var paths [heatLevels]strings.Builder
	for i, w := range r.Windows {
		left, right := f.x(w.Start), f.x(w.End())
		for _, cell := range heatColumn(counts[i]) {
			low := bucketStart(cell.row, perBucket)
			top, bottom := f.y(s, low*perBucket), f.y(s, low)
			fmt.Fprintf(&paths[cell.level], "M%s %sH%sV%sH%sZ", short(left), short(bottom), short(right), short(top), short(left))
		}
	}
	for level := range paths {
		if paths[level].Len() > 0 {
			c.Areas = append(c.Areas, shape{D: paths[level].String(), Class: fmt.Sprintf("heat h%d", level)})
		}
	}
	f.axes(c, s, secondsText)
	c.Legend = []legend{{"under 1 % of the window's requests", "heat h0"}, {"1 to 5 %", "heat h1"}, {"5 to 10 %", "heat h2"}, {"10 to 20 %", "heat h3"}, {"20 to 40 %", "heat h4"}, {"over 40 %", "heat h5"}}
	f.mark(c, r, points)
	return c
}

// heatCounts counts the requests of each window by bucket: two buckets a doubling, one
// where there were more than 40 rows otherwise. first and last are the buckets that
// have any; first is above last where none has.
func heatCounts(windows []*window.Window) (schema int, counts []map[int]uint64, first, last int) {
	for schema = 1; ; schema-- {
		counts, first, last = make([]map[int]uint64, len(windows)), math.MaxInt, math.MinInt
		for i, w := range windows {
			counts[i] = map[int]uint64{}
			for j := range w.Cases {
				if w.Cases[j].Times == nil {
					continue
				}
				for key, n := range w.Cases[j].Times.Native(schema) {
					counts[i][key] += n
					first, last = min(first, key), max(last, key)
				}
			}
		}
		if schema == 0 || first > last || last-first < 40 {
			return schema, counts, first, last
		}
	}
}

// bucketStart is the lower end of a bucket of a native histogram in seconds: bucket k
// ends at base^k, base = 2^(2^-schema), https://prometheus.io/docs/specs/native_histograms.
func bucketStart(key int, base float64) float64 { return math.Pow(base, float64(key-1)) }

// heatColumn shades the buckets of one window by their share.
func heatColumn(counts map[int]uint64) []heatCell {
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	var cells []heatCell
	for key, n := range counts {
		cells = append(cells, heatCell{key, heatLevel(float64(n) / float64(total))})
	}
	slices.SortFunc(cells, func(a, b heatCell) int { return cmp.Compare(a.row, b.row) })
	return cells
}

// heatLevel is the shade of a share of a window's requests.
func heatLevel(share float64) int {
	for level, below := range [heatLevels - 1]float64{0.01, 0.05, 0.1, 0.2, 0.4} {
		if share < below {
			return level
		}
	}
	return heatLevels - 1
}

// powersWithin are the powers of ten in a scale, or its ends where there is none.
func powersWithin(low, high float64) []float64 {
	var ticks []float64
	for exponent := math.Ceil(math.Log10(low)); exponent <= math.Floor(math.Log10(high)); exponent++ {
		ticks = append(ticks, math.Pow(10, exponent))
	}
	if len(ticks) == 0 {
		return []float64{low, high}
	}
	return ticks
}

// secondsText writes seconds as a time.
func secondsText(s float64) string {
	if s > 9e9 {
		return number(significant(s, 3)) + "s"
	}
	return span(time.Duration(math.Round(s * 1e9)))
}
