package dashboards

import (
	"regexp"
	"strings"
	"testing"
)

func TestNative(t *testing.T) {
	for classic, want := range map[string]string{
		`histogram_quantile(0.99, sum by (case, le) (rate(soakd_x_seconds_bucket{job=~"$job"}[$__rate_interval])))`:                  `histogram_quantile(0.99, sum by (case) (rate(soakd_x_seconds{job=~"$job"}[$__rate_interval])))`,
		`sum by (le) (increase(soakd_x_seconds_bucket[5m]))`:                                                                         `sum(increase(soakd_x_seconds[5m]))`,
		`sum by (job, instance, le) (rate(soakd_x_seconds_bucket[5m]))`:                                                              `sum by (job, instance) (rate(soakd_x_seconds[5m]))`,
		`0 * sum by (case) (soakd_x_seconds_count{class="invalid"})`:                                                                 `0 * sum by (case) (histogram_count(soakd_x_seconds{class="invalid"}))`,
		`a unless on () soakd_x_seconds_bucket{a="b"} offset -520w`:                                                                  `a unless on () soakd_x_seconds{a="b"} offset -520w`,
		`sum by (le) (avg_over_time(a:soakd_x_seconds_bucket:rate2m{a="b"}[$__interval]) or a:soakd_x_seconds_bucket:rate2m{a="b"})`: `sum(avg_over_time(a:soakd_x_seconds:rate2m{a="b"}[$__interval]) or a:soakd_x_seconds:rate2m{a="b"})`,
		`soakd_x_seconds_count offset 5m`:                                                                                            `histogram_count(soakd_x_seconds offset 5m)`,
		`sum(rate(soakd_x_seconds_sum{a="b"}[5m])) / sum(rate(soakd_x_seconds_count{a="b"}[5m]))`:                                    `sum(histogram_sum(rate(soakd_x_seconds{a="b"}[5m]))) / sum(histogram_count(rate(soakd_x_seconds{a="b"}[5m])))`,
		`increase(soakd_x_seconds_count[5m] offset 10m)`:                                                                             `histogram_count(increase(soakd_x_seconds[5m] offset 10m))`,
		`count_over_time(soakd_x_seconds_count[5m])`:                                                                                 `count_over_time(soakd_x_seconds[5m])`,
		`max_over_time(soakd_x_seconds_count[5m:1m])`:                                                                                `max_over_time(histogram_count(soakd_x_seconds)[5m:1m])`,
		`histogram_quantile(0.9, sum by (le) (case:soakd_x_seconds_bucket:rate5m{a="b"}))`:                                           `histogram_quantile(0.9, sum(case:soakd_x_seconds:rate5m{a="b"}))`,
		`sum(case:soakd_x_seconds_count:rate5m)`:                                                                                     `sum(case:soakd_x_seconds_count:rate5m)`,
		`sum by (role) (instance:soakd_data_lost:sum) > soakd_open_files`:                                                            `sum by (role) (instance:soakd_data_lost:sum) > soakd_open_files`,
	} {
		if got := native(classic); got != want {
			t.Errorf("%s\n got %s\nwant %s", classic, got, want)
		}
	}
}

// classicName is a series that a Prometheus with native histograms does not have.
var classicName = regexp.MustCompile(`\bsoakd_[a-z0-9_]+_(bucket|count|sum)(\{|\[|\)|\s|$)|\ble\b`)

func TestNativeLeavesNothingClassic(t *testing.T) {
	s := Settings{Native: true}
	for _, q := range append(s.queries(), s.ruleQueries()...) {
		if found := classicName.FindString(q.text); found != "" {
			t.Errorf("%s: %q is left in %s", q.where, strings.TrimSpace(found), q.text)
		}
	}
}
