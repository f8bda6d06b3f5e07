package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"soakd/internal/probes"
)

const (
	textType     = "text/plain; version=0.0.4; charset=utf-8"
	openType     = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	protobufType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// sums reads the sums of the named series, without those that have none.
func sums(t testing.TB, contentType, text string, selectors ...Selector) (map[string]float64, error) {
	t.Helper()
	page, err := Read(contentType, iotest.HalfReader(strings.NewReader(text)), NamesOf(selectors))
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for _, s := range selectors {
		value, ok, err := page.Sum(s)
		if err != nil {
			return nil, err
		}
		if ok {
			found[s.Name] = value
		}
	}
	return found, nil
}

func names(names ...string) []Selector {
	var selectors []Selector
	for _, name := range names {
		selectors = append(selectors, Selector{Name: name})
	}
	return selectors
}

func TestSelectsAndAddsUp(t *testing.T) {
	text := `# HELP a x
# TYPE a gauge
a{x="1",y="p"} 1
 a { x = "1" , y = "q\\\"\n" , } 2e0 1700000000000
a{x="2"} -4
a_b{x="1"} 100
b +Inf
c NaN
{"d.e",x="1"} 5
{"f g","h.i"="2"} 6
# TYPE s summary
s{quantile="0.5"} 7
s_sum 8
s_count 9
`
	for _, c := range []struct {
		selector Selector
		want     float64
		ok       bool
		err      string
	}{
		{Selector{"a", nil}, -1, true, ""},
		{Selector{"a", map[string]string{"x": "1"}}, 3, true, ""},
		{Selector{"a", map[string]string{"y": "q\\\"\n"}}, 2, true, ""},
		{Selector{"a", map[string]string{"y": ""}}, -4, true, ""},
		{Selector{"a", map[string]string{"y": "r"}}, 0, false, ""},
		{Selector{"b", nil}, 0, false, "b is infinite"},
		{Selector{"c", nil}, 0, false, ""},
		{Selector{"d.e", nil}, 5, true, ""},
		{Selector{"d_e", nil}, 5, true, ""},
		{Selector{"f_g", map[string]string{"h_i": "2"}}, 6, true, ""},
		{Selector{"f_g", map[string]string{"h.i": "2"}}, 6, true, ""},
		{Selector{"s", nil}, 0, false, ""},
		{Selector{"s_sum", nil}, 8, true, ""},
		{Selector{"s_count", nil}, 9, true, ""},
		{Selector{"absent", nil}, 0, false, ""},
	} {
		page, err := Read("text/plain", iotest.OneByteReader(strings.NewReader(text)), NamesOf([]Selector{c.selector}))
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := page.Sum(c.selector)
		if got != c.want || ok != c.ok || errText(err) != c.err {
			t.Errorf("%v: %v, %v, %v; want %v, %v, %s", c.selector, got, ok, err, c.want, c.ok, c.err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The page is the example of the OpenMetrics specification's text format with
// all its types and odd places.
const openPage = `# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.
acme_http_router_request_seconds_sum{path="/api/v1",method="GET"} 9036.32
acme_http_router_request_seconds_count{path="/api/v1",method="GET"} 807283.0
acme_http_router_request_seconds_created{path="/api/v1",method="GET"} 1605281325.0
acme_http_router_request_seconds_sum{path="/api/v2",method="POST"} 479.3
acme_http_router_request_seconds_count{path="/api/v2",method="POST"} 34.0
# TYPE go_goroutines gauge
go_goroutines 69 1.6e9
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 4.20072246e+06 # {trace_id="a b # c"} 0.5 1605281325.5
process_cpu_seconds_created 1.6e9
# TYPE foo histogram
foo_bucket{le="0.1"} 8 # {} 0.054
foo_bucket{le="+Inf"} 17 1520879607.789 # {id="\d\""} 9.8 1520879607.789
foo_sum 324789.3
foo_count 17
# TYPE wait gaugehistogram
wait_bucket{le="+Inf"} 42
wait_gcount 42
wait_gsum 3289.3
# TYPE mode stateset
mode{mode="a"} 1
mode{mode="bb"} 0
# TYPE build info
build_info{version="8.2.7",path="C:\d"} 1
# TYPE "db.client.uses" unknown
{"db.client.uses","pool.name"="x"} 7
# EOF`

func TestOpenMetrics(t *testing.T) {
	selectors := append(names("acme_http_router_request_seconds_sum", "acme_http_router_request_seconds_count", "acme_http_router_request_seconds",
		"go_goroutines", "process_cpu_seconds", "process_cpu_seconds_total", "foo_sum", "foo_count", "foo_bucket", "wait_gsum", "wait_gcount", "db_client_uses"),
		Selector{"mode", map[string]string{"mode": "a"}}, Selector{"build_info", map[string]string{"path": `C:\d`}})
	want := map[string]float64{
		"acme_http_router_request_seconds_sum": 9515.62, "acme_http_router_request_seconds_count": 807317,
		"go_goroutines": 69, "process_cpu_seconds_total": 4200722.46, "foo_sum": 324789.3, "foo_count": 17, "foo_bucket": 25,
		"wait_gsum": 3289.3, "wait_gcount": 42, "mode": 1, "build_info": 1, "db_client_uses": 7,
	}
	for _, contentType := range []string{openType, "application/openmetrics-text; version=0.0.1", "application/openmetrics-text"} {
		for _, end := range []string{"", "\n"} {
			got, err := sums(t, contentType, openPage+end, selectors...)
			if err != nil || !equal(got, want) {
				t.Errorf("%s: %v, %v; want %v", contentType, got, err, want)
			}
		}
	}
}

func equal(got, want map[string]float64) bool {
	if len(got) != len(want) {
		return false
	}
	for name, value := range want {
		if there, ok := got[name]; !ok || math.Abs(there-value) > 1e-9*math.Abs(value) {
			return false
		}
	}
	return true
}

// Cut anywhere, a page is refused, whatever is wanted of it.
func TestATruncatedPageIsRefused(t *testing.T) {
	for end := range len(openPage) {
		if _, err := sums(t, openType, openPage[:end], names("foo_sum")...); !errors.Is(err, errUnexpectEnd) {
			t.Fatalf("cut at %d: %v", end, err)
		}
	}
	text := "a 12\nb 34\n"
	for _, end := range []int{1, 2, 3, 4, 6, 7, 8, 9} {
		if _, err := sums(t, textType, text[:end], names("a")...); !errors.Is(err, errUnexpectEnd) {
			t.Errorf("text cut at %d: %v", end, err)
		}
	}
	whole := encode(t, fmtOf(protobufType), gathered(t, registry()))
	var ends []int
	for rest := whole; len(rest) > 0; {
		size, n := protowire.ConsumeVarint(rest)
		rest = rest[n+int(size):] //nolint:gosec // of a test
		ends = append(ends, len(whole)-len(rest))
	}
	for end := 1; end < len(whole); end++ {
		_, err := sums(t, protobufType, string(whole[:end]), names("requests_total", "native_seconds_sum")...)
		if atFamily := slices.Contains(ends, end); !atFamily && !errors.Is(err, errUnexpectEnd) {
			t.Fatalf("protobuf cut at %d: %v", end, err)
		}
	}
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("z", 100<<10)
	for _, c := range []struct{ contentType, text, want string }{
		{"", "<html>\n", `line 1: "<html>" does not begin with a metric name`},
		{"", "1a 2\n", "line 1: "},
		{"", "b{c=\"" + long + "\"} 1\n\na x\n", `line 3: want a value, not "x"`},
		{"", "a\n", `line 1: want a value, not ""`},
		{"", "a 0x1p4\n", "want a value"},
		{"", "a 1_000\n", "want a value"},
		{"", "a 1 1.5\n", "want a timestamp"},
		{"", "a 1 2 3\n", `"3" is too much`},
		{"", "a 1 # {} 1\n", "want a timestamp"},
		{"", "a{b=\"\\d\"} 1\n", `unknown escape \d`},
		{"", "a{b=\"1\",b=\"2\"} 1\n", `the label "b" is there twice`},
		{"", "a{b=\"1\" c=\"2\"} 1\n", "want , or }"},
		{"", "a{b} 1\n", "want = after"},
		{"", "a{\"b\"} 1\n", "want = after"},
		{"", "a{b:c=\"d\"} 1\n", "want a label's name"},
		{"", "{b=\"1\"} 1\n", "it has no metric name"},
		{"", "{\"\"} 1\n", "a name is empty"},
		{"", "a{b=\"\xff\"} 1\n", "a label is not UTF-8"},
		{"", "a{b=\"c} 1\n", "unexpected end"},
		{"", "a 1\na 1\n", "a is there twice with the same labels"},
		{"", "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n", "a is there twice"},
		{"", "a{b=\"" + strings.Repeat("z", 2*maxLine) + "\"} 1\n", "line 1: it is longer than 1 MiB"},
		{"", strings.Repeat("#\n", MaxBody/2+1), "larger than 10 MiB"},
		{openType, "a 1\n# EOF\nb 1\n", "line 3: there is something after # EOF"},
		{openType, "a 1 # {b=\"c\"\n# EOF\n", "exemplar: "},
		{openType, "a 1 # {b=\"c\"} x\n# EOF\n", "exemplar: want a value"},
		{openType, "a 1 # {b=\"c\"} 1 x\n# EOF\n", "exemplar: want a timestamp"},
		{openType, "a 1 NaN\n# EOF\n", "want a timestamp"},
		{openType, "", "its last line is not # EOF"},
		{"application/openmetrics-text; version=2.0.0", "# EOF\n", `answered OpenMetrics "2.0.0"`},
		{"text/html", "a 1\n", "answered text/html, not Prometheus text"},
		{"text/plain; ;;=", "a 1\n", "not Prometheus text"},
		{"application/vnd.google.protobuf", "", "not Prometheus text"},
		{strings.Replace(protobufType, "delimited", "text", 1), "", "not Prometheus text"},
		{protobufType, "a 1\nb 2\n", "metric family 1: "},
		{protobufType, "\xff\xff\xff\xff\x7f", "larger than 10 MiB"},
		{protobufType, "\x04\x22\x00\x0a\x00", "its metrics come before its name"},
		{protobufType, "\x03\x0a\x05a", "it is not protobuf of Prometheus"},
		{protobufType, "\x06\x0a\x01a\x22\x01\xff", "it is not protobuf of Prometheus"},
	} {
		got, err := sums(t, c.contentType, c.text, names("a")...)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 250 {
			t.Errorf("%s %.40q: %v, %v; want %q", c.contentType, c.text, got, err, c.want)
		}
	}
}

func TestReasons(t *testing.T) {
	if _, err := Read("text/html", strings.NewReader(""), nil); probes.ReasonOf(err) != probes.ReasonProtocol {
		t.Errorf("html: %v", probes.ReasonOf(err))
	}
	if _, err := Read("", strings.NewReader("a"), nil); probes.ReasonOf(err) != probes.ReasonProtocol {
		t.Errorf("cut off: %v", probes.ReasonOf(err))
	}
	for _, contentType := range []string{"", openType, protobufType} {
		_, err := Read(contentType, io.MultiReader(strings.NewReader("\x05"), iotest.ErrReader(io.ErrUnexpectedEOF)), nil)
		if probes.ReasonOf(err) != probes.ReasonReset {
			t.Errorf("%s: the connection ended: %v, %v", contentType, err, probes.ReasonOf(err))
		}
	}
}

// registry holds one of each of client_golang's types.
func registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "x"}, []string{"code"})
	requests.WithLabelValues("200").Add(40)
	requests.WithLabelValues("500").Add(2)
	heap := prometheus.NewGauge(prometheus.GaugeOpts{Name: "heap_bytes", Help: "x"})
	heap.Set(1e9)
	pauses := prometheus.NewSummary(prometheus.SummaryOpts{Name: "pause_seconds", Objectives: map[float64]float64{0.5: 0.05}, Help: "x"})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native_seconds", NativeHistogramBucketFactor: 1.1, Help: "x"})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "classic_seconds", Buckets: []float64{1, 2}, Help: "x"})
	dotted := prometheus.NewGauge(prometheus.GaugeOpts{Name: "db.client.uses", Help: "x"})
	dotted.Set(7)
	for _, v := range []float64{0.25, 1.5} {
		pauses.Observe(v)
		native.Observe(v)
		classic.(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": "x"})
	}
	r.MustRegister(requests, heap, pauses, native, classic, dotted)
	return r
}

func gathered(t testing.TB, r prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func fmtOf(contentType string) expfmt.Format { return expfmt.Format(contentType) }

func encode(t testing.TB, format expfmt.Format, families []*dto.MetricFamily) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			t.Fatal(err)
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// What client_golang serves is the same in every format, escaped or not.
func TestAllFormatsOfOneRegistry(t *testing.T) {
	server := httptest.NewServer(promhttp.HandlerFor(registry(), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	defer server.Close()
	selectors := names("requests_total", "heap_bytes", "pause_seconds", "pause_seconds_sum", "pause_seconds_count",
		"native_seconds_sum", "native_seconds_count", "classic_seconds_sum", "classic_seconds_count", "db_client_uses")
	want := map[string]float64{
		"requests_total": 42, "heap_bytes": 1e9, "pause_seconds_sum": 1.75, "pause_seconds_count": 2, "native_seconds_sum": 1.75,
		"native_seconds_count": 2, "classic_seconds_sum": 1.75, "classic_seconds_count": 2, "db_client_uses": 7,
	}
	for accept, served := range map[string]string{
		Accept():                                  "text/plain",
		openType:                                  "application/openmetrics-text",
		openType + "; escaping=values":            "application/openmetrics-text",
		openType + "; escaping=dots":              "application/openmetrics-text",
		openType + "; escaping=allow-utf-8":       "application/openmetrics-text",
		protobufType:                              "application/vnd.google.protobuf",
		protobufType + "; escaping=values":        "application/vnd.google.protobuf",
		protobufType + "; escaping=allow-utf-8":   "application/vnd.google.protobuf",
		textType + "; escaping=values":            "text/plain",
		"text/plain;version=1.0.0;escaping=dots":  "text/plain",
		"application/openmetrics-text; version=9": "text/plain",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		contentType := response.Header.Get("Content-Type")
		if err != nil || !strings.HasPrefix(contentType, served) {
			t.Errorf("%s: %s, %v", accept, contentType, err)
		}
		got, err := sums(t, contentType, string(body), selectors...)
		if err != nil || !equal(got, want) {
			t.Errorf("%s, %s: %v, %v; want %v\n%s", accept, contentType, got, err, want, body)
		}
	}
}

// A counter that is no integer in a native histogram, a family of one large
// metric, and fields that are not known.
func TestProtobufOddities(t *testing.T) {
	var page bytes.Buffer
	for _, family := range []*dto.MetricFamily{
		{Name: proto.String("unwanted"), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(1)}}}},
		{Name: proto.String("h"), Type: dto.MetricType_GAUGE_HISTOGRAM.Enum(), Metric: []*dto.Metric{{
			Histogram: &dto.Histogram{SampleCountFloat: proto.Float64(2.5), SampleSum: proto.Float64(7), Schema: proto.Int32(3), PositiveCount: []float64{2.5}},
		}}},
		{Name: proto.String("g"), Metric: []*dto.Metric{{
			Label: []*dto.LabelPair{{Name: proto.String("x"), Value: proto.String(strings.Repeat("y", 2*lineBuffer))}},
			Gauge: &dto.Gauge{Value: proto.Float64(4)},
		}}},
	} {
		if _, err := protodelim.MarshalTo(&page, family); err != nil {
			t.Fatal(err)
		}
	}
	unknown := protowire.AppendTag(nil, fieldName, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "u")
	for field, wire := range map[protowire.Number]protowire.Type{90: protowire.VarintType, 91: protowire.Fixed32Type, 92: protowire.Fixed64Type, 93: protowire.BytesType} {
		unknown = protowire.AppendTag(unknown, field, wire)
		unknown = append(unknown, map[protowire.Type][]byte{protowire.VarintType: {1}, protowire.Fixed32Type: make([]byte, 4), protowire.Fixed64Type: make([]byte, 8), protowire.BytesType: {2, 0, 0}}[wire]...)
	}
	gauge, err := proto.Marshal(&dto.Metric{Untyped: &dto.Untyped{Value: proto.Float64(5)}})
	if err != nil {
		t.Fatal(err)
	}
	unknown = protowire.AppendBytes(protowire.AppendTag(unknown, fieldMetric, protowire.BytesType), gauge)
	page.Write(protowire.AppendBytes(nil, unknown))
	got, err := sums(t, protobufType, page.String(), names("h_count", "h_sum", "h", "g", "u")...)
	if want := map[string]float64{"h_count": 2.5, "h_sum": 7, "g": 4, "u": 5}; err != nil || !equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range maxSeries + 1 {
		fmt.Fprintf(&text, "a{b=\"%d\"} 1\n", i)
	}
	if _, err := sums(t, "", text.String(), names("a")...); err == nil || !strings.Contains(err.Error(), "more than 50000 series") {
		t.Errorf("%v", err)
	}
	if got, err := sums(t, "", text.String(), names("b")...); err != nil || len(got) != 0 {
		t.Errorf("not wanted: %v, %v", got, err)
	}
}

// bigPage makes a page of about size bytes as an application with many paths
// has it, with a few series that are wanted at its end.
func bigPage(t testing.TB, contentType string, size int) []byte {
	t.Helper()
	requests := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "x", Buckets: []float64{0.005, 0.01, 0.1, 1, 5}}, []string{"method", "path", "status"})
	r := prometheus.NewRegistry()
	r.MustRegister(requests)
	wanted := encode(t, fmtOf(contentType), gathered(t, registry()))
	perPath := 905 // bytes, in text
	if contentType == protobufType {
		perPath = 166
	}
	for i := range size / perPath {
		requests.WithLabelValues("GET", fmt.Sprintf("/api/v1/customers/%06d/orders", i), "200").Observe(0.07)
	}
	page := append(bytes.TrimSuffix(encode(t, fmtOf(contentType), gathered(t, r)), []byte("# EOF\n")), wanted...)
	if len(page) < size*9/10 || len(page) > MaxBody {
		t.Fatalf("%s: a page of %d bytes, want about %d", contentType, len(page), size)
	}
	return page
}

// Ten times the page takes no more memory.
func TestMemoryDoesNotFollowThePage(t *testing.T) {
	for _, contentType := range []string{textType, openType, protobufType} {
		var allocated [2]uint64
		for i, size := range []int{1 << 20, 10 << 20} {
			page := bigPage(t, contentType, size-64<<10)
			allocated[i] = allocatedBy(func() { checkBig(t, contentType, page) })
		}
		if allocated[1] > allocated[0]+64<<10 || allocated[0] > 512<<10 {
			t.Errorf("%s: %d bytes for 1 MiB, %d for 10 MiB", contentType, allocated[0], allocated[1])
		}
	}
}

func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func checkBig(t testing.TB, contentType string, page []byte) {
	t.Helper()
	selectors := names("requests_total", "pause_seconds_sum")
	read, err := Read(contentType, bytes.NewReader(page), NamesOf(selectors))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{42, 1.75} {
		if got, ok, err := read.Sum(selectors[i]); got != want || !ok || err != nil {
			t.Fatalf("%s: %v, %v, %v", selectors[i].Name, got, ok, err)
		}
	}
}

func benchmark(b *testing.B, contentType string) {
	page := bigPage(b, contentType, 10<<20-64<<10)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		checkBig(b, contentType, page)
	}
}

func BenchmarkRead10MiBText(b *testing.B)        { benchmark(b, textType) }
func BenchmarkRead10MiBOpenMetrics(b *testing.B) { benchmark(b, openType) }
func BenchmarkRead10MiBProtobuf(b *testing.B)    { benchmark(b, protobufType) }
