package blackbox

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// scraped opens the probe of the exporter a, of which series are wanted.
func scraped(t testing.TB, where string, series ...string) probes.Probe {
	t.Helper()
	return probetest.OpenOne(t, &ExporterConfig{Probes: secret.New("a=" + where), Series: strings.Join(series, "\n")})
}

const queues = `# TYPE rabbitmq_queue_messages gauge
rabbitmq_queue_messages{queue="orders",vhost="/"} 7
rabbitmq_queue_messages{queue="orders",vhost="b c;d"} 5
rabbitmq_queue_messages{queue="bills",vhost="/"} -2
# TYPE rabbitmq_published_total counter
rabbitmq_published_total{queue="orders"} 40
rabbitmq_published_total{queue="bills"} 2
# TYPE took_seconds summary
took_seconds{quantile="0.5"} 0.25
took_seconds_sum 12.5
took_seconds_count 50
# TYPE nothing gauge
nothing NaN
endless +Inf
odd_total -1
`

func TestExporterReadsSeries(t *testing.T) {
	var accept atomic.Value
	site := website(t, func(w http.ResponseWriter, r *http.Request) {
		accept.Store(r.Header.Get("Accept"))
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, queues)
	})
	probe := scraped(t, site.URL+"/metrics",
		`orders=a:rabbitmq_queue_messages{queue="orders"}`, `all=a:rabbitmq_queue_messages`, `one=a:rabbitmq_queue_messages{ queue = "orders", vhost='b c;d' }`,
		`most=a:rabbitmq_queue_messages fold=max`, `least=a:rabbitmq_queue_messages{} fold=min`, `average=a:rabbitmq_queue_messages{queue="orders"} fold=avg`,
		`published=a:rabbitmq_published_total`, `busiest=a:rabbitmq_published_total fold=max`, `as_gauge=a:rabbitmq_published_total type=gauge`,
		`took=a:took_seconds_sum`, `runs=a:took_seconds_count`, `as_counter=a:rabbitmq_queue_messages{queue="orders"} type=counter`)
	probetest.CheckDescriptions(t, probe)
	values, err := probetest.Poll(t, probe, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for name, value := range map[string]float64{"orders": 12, "all": 10, "one": 5, "most": 7, "least": -2, "average": 6, "busiest": 40, "as_gauge": 42} {
		want[`soakd_exporter_value{probe="exporter/a",series="`+name+`"}`] = value
	}
	for name, value := range map[string]float64{"published": 42, "took": 12.5, "runs": 50, "as_counter": 12} {
		want[`soakd_exporter_value_total{probe="exporter/a",series="`+name+`"}`] = value
	}
	if !maps.Equal(map[string]float64(values), want) {
		t.Errorf("got %v\nwant %v", values, want)
	}
	if got, _ := accept.Load().(string); !strings.Contains(got, "text/plain;version=0.0.4") {
		t.Errorf("asked for %q", got)
	}
}

// What is not there is absent and named; the rest stays.
func TestExporterTellsWhatIsMissing(t *testing.T) {
	site := website(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, queues) })
	for series, want := range map[string]struct {
		reason probes.Reason
		text   string
	}{
		`x=a:no_such{b="c",a="d"}`:                  {probes.ReasonMissing, `series x: the page has no no_such{a="d",b="c"}`},
		`x=a:rabbitmq_queue_messages{queue="none"}`: {probes.ReasonMissing, `series x: the page has no rabbitmq_queue_messages{queue="none"}`},
		// A quantile is of one process and some window: nothing to add up or to average.
		`x=a:took_seconds{quantile="0.5"}`: {probes.ReasonMissing, `series x: the page has no took_seconds{quantile="0.5"}`},
		`x=a:nothing`:                      {probes.ReasonMissing, `series x: nothing has no value (NaN)`},
		`x=a:endless`:                      {probes.ReasonProtocol, `series x: endless is infinite`},
		`x=a:odd_total`:                    {probes.ReasonProtocol, `series x: odd_total is below 0, which no counter can be; see option type`},
	} {
		values, err := probetest.Poll(t, scraped(t, site.URL, series, "y=a:took_seconds_count"), 5*time.Second)
		wantReason(t, err, want.reason, want.text)
		if len(values) != 1 || values[`soakd_exporter_value_total{probe="exporter/a",series="y"}`] != 50 {
			t.Errorf("%s: %v", series, values)
		}
	}
}

func TestExporterFaults(t *testing.T) {
	page := func(status int, contentType, body string) string {
		return website(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}).URL
	}
	for what, c := range map[string]struct {
		where  string
		reason probes.Reason
	}{
		"refused":    {"http://" + closedPort(t), probes.ReasonConnect},
		"no access":  {page(401, "text/plain", queues), probes.ReasonAuth},
		"away":       {page(503, "text/plain", queues), probes.ReasonUnavailable},
		"no content": {page(204, "text/plain", ""), probes.ReasonCheck},
		"a web page": {page(200, "text/html", "<html>"), probes.ReasonProtocol},
		"garbage":    {page(200, "text/plain", "took_seconds_count x\n"), probes.ReasonProtocol},
		"too large":  {page(200, "text/plain", strings.Repeat("# a comment of no use\n", 500_000)), probes.ReasonProtocol},
		"empty":      {page(200, "text/plain", ""), probes.ReasonMissing},
		"cut off":    {page(200, "application/openmetrics-text; version=1.0.0", "# TYPE took_seconds summary\ntook_seconds_count 5\n"), probes.ReasonProtocol},
	} {
		values, err := probetest.Poll(t, scraped(t, c.where, "y=a:took_seconds_count"), 5*time.Second)
		if probes.ReasonOf(err) != c.reason || len(values) != 0 {
			t.Errorf("%s: %q, want %q: %v; values %v", what, probes.ReasonOf(err), c.reason, err, values)
		}
	}
}

// TestExporterOnARealOne reads the page of a Prometheus, and follows its counters.
func TestExporterOnARealOne(t *testing.T) {
	prometheus, err := localservices.StartPrometheus(t.Context(), "", localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := prometheus.Stop(); err != nil {
			t.Error(err)
		}
	}()
	probe := scraped(t, prometheus.URL()+"/metrics", `requests=a:prometheus_http_requests_total{handler="/metrics"}`, "files=a:process_open_fds", "cpu=a:process_cpu_seconds_total", "info=a:prometheus_build_info")
	const requests = `soakd_exporter_value_total{probe="exporter/a",series="requests"}`
	// Its series is there from the first request on, which is the first poll.
	probetest.Eventually(t, probe, "all series are there", func(_ probetest.Values, err error) bool { return err == nil })
	last := 0.0
	for range 5 {
		values, err := probetest.Poll(t, probe, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if values[`soakd_exporter_value{probe="exporter/a",series="files"}`] < 5 || values[`soakd_exporter_value{probe="exporter/a",series="info"}`] != 1 || len(values) != 4 {
			t.Errorf("%v", values)
		}
		// Each poll is one request, counted once it has been answered.
		if got := values[requests]; last > 0 && got != last+1 {
			t.Errorf("%v requests after %v", got, last)
		}
		last = values[requests]
	}
	if values, err := hung(t, prometheus.PID(), probe); probes.ReasonOf(err) != probes.ReasonTimeout || len(values) != 0 {
		t.Errorf("hung: %q, %v, %v", probes.ReasonOf(err), err, values)
	}
	if values, err := probetest.Poll(t, probe, 5*time.Second); err != nil || values[requests] <= last {
		t.Errorf("after it hung: %v, %v", values, err)
	}
}

func TestEveryBadSeriesHasItsError(t *testing.T) {
	const e = "SOAKD_EXPORTER_SERIES: entry 1: x: "
	var many, exporters, all strings.Builder
	for i := range 101 {
		fmt.Fprintf(&many, "x%d=a:b;", i)
	}
	for i := range 21 {
		fmt.Fprintf(&exporters, "a%d=http://x;", i)
		fmt.Fprintf(&all, "x%d=a%d:b;", i, i)
	}
	for _, c := range []struct{ exporters, series, want string }{
		{"a=http://x", "", "SOAKD_EXPORTER_SERIES: names no series of the exporter a"},
		{"", "x=a:b", "SOAKD_EXPORTER_PROBES: holds no entry"},
		{"a=http://x", "x=a:b;y=c:d", "SOAKD_EXPORTER_SERIES: y is taken from the exporter c, which SOAKD_EXPORTER_PROBES does not list"},
		{"a=http://x", "x=b", e + `want exporter:metric{label="value"}`},
		{"a=http://x", "x=A:b", e + `want exporter:metric{label="value"}`},
		{"a=http://x", "x=a:", e + `"" is not a metric's name with labels in braces`},
		{"a=http://x", "x=a:1b", e + `"1b" is not a metric's name with labels in braces`},
		{"a=http://x", "x=a:b{c", e + `"b{c" is not a metric's name with labels in braces`},
		{"a=http://x", "x=a:b{c}", e + `"c" is not label="value"`},
		{"a=http://x", "x=a:b{c=d}", e + `"c=d" is not label="value"`},
		{"a=http://x", `x=a:b{c="d",c="e"}`, e + "label c is there twice"},
		{"a=http://x", `x=a:b{c="d}`, "SOAKD_EXPORTER_SERIES: a quote is opened and not closed"},
		{"a=http://x", "x=a:b fold=median", e + `option fold: "median" is none of sum, max, min, avg`},
		{"a=http://x", "x=a:b type=histogram", e + `option type: "histogram" is not gauge or counter`},
		{"a=http://x", "x=a:b type=counter fold=max", e + "options fold, type: a max of counters is no counter"},
		{"a=http://x", "x=a:b rate=1", e + "option rate is not known; the options are fold, type"},
		{"a=http://x", "x=a:b max", e + "a word that is not option=value; the options are fold, type"},
		{"a=http://x", "x=a:b;x=a:c", "SOAKD_EXPORTER_SERIES: entry 2: x is there twice"},
		{"a=http://x", many.String(), "SOAKD_EXPORTER_SERIES: has 101 entries; at most 100 are taken"},
		{exporters.String(), all.String(), "SOAKD_EXPORTER_PROBES: has 21 entries; at most 20 are taken"},
		{"a=ftp://hunter2", "x=a:b", "SOAKD_EXPORTER_PROBES: entry 1: a: the URL must start with http:// or https://"},
		{"a=http://x status=200", "x=a:b", "SOAKD_EXPORTER_PROBES: entry 1: a: option status is not known; the options are ca, cert, header, insecure, ip, key, server_name, timeout, token_file"},
	} {
		err := (&ExporterConfig{Probes: secret.New(c.exporters), Series: c.series}).Validate()
		if err == nil || err.Error() != c.want {
			t.Errorf("%q, %q\n got %v\nwant %s", c.exporters, c.series, err, c.want)
		}
	}
}

func FuzzSeries(f *testing.F) {
	for _, seed := range []string{`x=a:b{c="d",e='f g'} fold=max type=gauge`, "x=a:b\ny=a:c:d_total", `x=a:b{c="}"}`, "x=a:b{", `="`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		wanted, err := parseSeries("X", list)
		if err != nil {
			return
		}
		count := 0
		for exporter, all := range wanted {
			for _, one := range all {
				count++
				again, err := parseSelector(one.String())
				plain := !slices.ContainsFunc(slices.Collect(maps.Values(one.selector.Match)), func(v string) bool { return fmt.Sprintf("%q", v) != `"`+v+`"` })
				if plain && (err != nil || again.Name != one.selector.Name || !maps.Equal(again.Match, one.selector.Match)) {
					t.Errorf("%q: %s is read as %v, %v", list, one, again, err)
				}
				if !entryName.MatchString(one.name) || !entryName.MatchString(exporter) || one.counter && one.fold != foldSum {
					t.Errorf("%q: %+v of %q", list, one, exporter)
				}
			}
		}
		if count > maxSeries {
			t.Errorf("%d series", count)
		}
	})
}
