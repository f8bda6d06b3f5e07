package exposition

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var fuzzed = names("a", "a_sum", "a_count", "b.c", "requests_total", "pause_seconds_sum", "native_seconds_count")

func FuzzReadText(f *testing.F) {
	f.Add([]byte("# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 3\na_count 4\n"))
	f.Add([]byte("# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 3\na_count 4\n{\"b.c\",d=\"e\\n\"} 5 6\n"))
	f.Add(encode(f, fmtOf(textType), gathered(f, registry())))
	f.Fuzz(func(t *testing.T, text []byte) {
		page := readBounded(t, textType, text)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			return
		}
		if page == nil {
			if !bytes.HasSuffix(text, []byte("\n")) {
				return // expfmt takes a page that is cut off in a comment
			}
			t.Fatal("refused what expfmt takes")
		}
		for _, s := range fuzzed {
			compare(t, *page, families, s.Name)
		}
	})
}

// compare holds the values of one name against those of expfmt's full parse.
func compare(t *testing.T, page Page, families map[string]*dto.MetricFamily, name string) {
	t.Helper()
	got, err := page.Values(Selector{Name: name})
	if err != nil || slices.ContainsFunc(got, isOdd) {
		return // expfmt takes duplicates, and counts only of whole numbers
	}
	want := valuesOf(families[name], plain)
	if base, ok := strings.CutSuffix(name, "_sum"); ok {
		want = append(want, valuesOf(families[base], sumOf)...)
	}
	if base, ok := strings.CutSuffix(name, "_count"); ok {
		want = append(want, valuesOf(families[base], countOf)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.EqualFunc(got, want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
		t.Errorf("%s: %v, expfmt has %v", name, got, want)
	}
}

func isOdd(value float64) bool {
	return value < 0 || value != math.Trunc(value) || value > 1<<53
}

func valuesOf(family *dto.MetricFamily, of func(*dto.Metric) (float64, bool)) []float64 {
	var found []float64
	for _, metric := range family.GetMetric() {
		if value, ok := of(metric); ok {
			found = append(found, value)
		}
	}
	return found
}

// readBounded reads the page and checks what holds for each: a second reading
// gives the same, and memory is bounded by its size.
func readBounded(t *testing.T, contentType string, text []byte) *Page {
	t.Helper()
	var page Page
	var err error
	if allocated := allocatedBy(func() { page, err = Read(contentType, bytes.NewReader(text), NamesOf(fuzzed)) }); allocated > uint64(1<<20+400*len(text)) { //nolint:gosec // never negative
		t.Errorf("%d bytes allocated for %d", allocated, len(text))
	}
	if err != nil {
		if len(err.Error()) > 300 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		return nil
	}
	for _, s := range fuzzed {
		if value, ok, err := page.Sum(s); err != nil && ok || math.IsNaN(value) || math.IsInf(value, 0) {
			t.Errorf("%v: %v, %v, %v", s, value, ok, err)
		}
	}
	return &page
}

func FuzzReadOpenMetrics(f *testing.F) {
	f.Add([]byte(openPage))
	f.Add([]byte("a 1 2.5 # {b=\"c\"} 1 2\n# EOF\n"))
	f.Add(encode(f, fmtOf(openType), gathered(f, registry())))
	f.Fuzz(func(t *testing.T, text []byte) {
		page := readBounded(t, openType, text)
		if page != nil && !bytes.HasSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("# EOF")) {
			t.Error("took a page without its end")
		}
	})
}

func FuzzReadProtobuf(f *testing.F) {
	f.Add(encode(f, fmtOf(protobufType), gathered(f, registry())))
	f.Add([]byte("\x06\x0a\x01a\x22\x01\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		readBounded(t, protobufType, text)
	})
}
