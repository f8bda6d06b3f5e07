package dashboards

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/exporter"
	"soakd/internal/load"
	"soakd/internal/load/cashflow"
)

var bucketLine = regexp.MustCompile(`(?m)^(soakd_[a-z_]+_bucket)\{.*le="([^"]+)"\}`)

// bucketBounds reads the upper bounds of the buckets of soakd's histograms, by
// the name of the bucket's series, from an exporter.
func bucketBounds(t *testing.T) map[string][]float64 {
	t.Helper()
	workload, err := cashflow.New(cashflow.Config{APIVersion: "v1", Users: 1, CanMint: true})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	exporter.NewMetrics(load.NewRecorder(workload, time.Now())).Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	bounds := map[string][]float64{}
	for _, line := range bucketLine.FindAllStringSubmatch(answer.Body.String(), -1) {
		bound, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		bounds[line[1]] = append(bounds[line[1]], bound)
	}
	return bounds
}

// quantileBuckets names the buckets of which a query reads quantiles, itself or
// through recordings.
func quantileBuckets(text string) []string {
	var all []string
	for _, s := range parse(text).selectors {
		for _, r := range everyRecording() {
			if r.Record == s.metric {
				all = append(all, quantileBuckets(r.Query)...)
			}
		}
		if strings.Contains(text, "histogram_quantile(") && strings.HasSuffix(s.metric, "_bucket") {
			all = append(all, s.metric)
		}
	}
	return all
}

// limited is a limit on what a query gives.
type limited struct {
	query
	limit float64
}

// quantileLimits lists the limits of alerts and panels whose queries read
// quantiles.
func quantileLimits(t *testing.T) []limited {
	t.Helper()
	var all []limited
	for _, a := range Default().Alerts() {
		limit, err := strconv.ParseFloat(a.Condition[strings.LastIndexByte(a.Condition, ' ')+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, limited{query{a.Name, a.Signal}, limit})
	}
	for _, d := range Default().All() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				for _, threshold := range p.Thresholds {
					for _, target := range p.Targets {
						all = append(all, limited{query{d.UID + " / " + p.Title, target.Query}, threshold.Value})
					}
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(l limited) bool { return len(quantileBuckets(l.text)) == 0 })
}

// A quantile is interpolated inside of a bucket. Only on the bound of a bucket is
// it exact, whichever way the values lie: a limit anywhere else would fire too
// early or too late.
func TestLimitsOfQuantilesAreBucketBounds(t *testing.T) {
	bounds := bucketBounds(t)
	var seen []string
	for _, l := range quantileLimits(t) {
		seen = append(seen, l.where)
		for _, buckets := range quantileBuckets(l.text) {
			if !slices.Contains(bounds[buckets], l.limit) {
				t.Errorf("%s: the limit %v is not a bound of %s: %v", l.where, l.limit, buckets, bounds[buckets])
			}
		}
	}
	for _, name := range []string{"SoakdLate", "SoakdTargetLatencyHigh", "SoakdTargetCalculationLatencyHigh", selfUID + " / Schedule lag"} {
		if !slices.Contains(seen, name) {
			t.Errorf("the limit of %s was not looked at: %q", name, seen)
		}
	}
}
