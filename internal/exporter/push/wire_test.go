package push

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

type family = dto.MetricFamily

// fields reads the fields of a message: for each number what it holds, bytes as they are,
// numbers as their bits.
func fields(t *testing.T, message []byte) map[protowire.Number][]any {
	t.Helper()
	all := map[protowire.Number][]any{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		var value any
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			value, n = protowire.ConsumeFixed64(message)
		default:
			t.Fatalf("field %d is of type %d", number, kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		all[number] = append(all[number], value)
	}
	return all
}

// A series is, byte by byte, what the specification's message says: worked out by hand
// from the numbers of the fields (tag = number * 8 + type).
func TestSeriesBytes(t *testing.T) {
	got := appendSeries(nil, "up", []*dto.LabelPair{{Name: new("job"), Value: new("x")}, {Name: new("empty"), Value: new("")}}, appendSample(nil, 1, 1000))
	want := []byte{
		0x0a, 40,
		0x0a, 14, 0x0a, 8, '_', '_', 'n', 'a', 'm', 'e', '_', '_', 0x12, 2, 'u', 'p',
		0x0a, 8, 0x0a, 3, 'j', 'o', 'b', 0x12, 1, 'x',
		0x12, 12, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xe8, 0x07,
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

// Of many series none is lost or doubled where a request is full, and in each the labels
// are sorted.
func TestRequestsAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	gauges := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "soakd_many", Help: "Many."}, []string{"zone", "Case"})
	registry.MustRegister(gauges)
	n := 2*maxSeries + 1 + rand.IntN(maxSeries-1)
	for i := range n {
		gauges.WithLabelValues(strconv.Itoa(i), "x").Set(float64(i))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests := writeRequests(families, map[string]string{"job": "soakd", "instance": "a"}, Classic, time.UnixMilli(5000))
	if len(requests) != 3 {
		t.Errorf("%d requests for %d series", len(requests), n)
	}
	seen := map[float64]bool{}
	for _, request := range requests {
		all := fields(t, request)[requestSeries]
		if len(all) > maxSeries {
			t.Errorf("%d series in one request", len(all))
		}
		for _, series := range all {
			parts := fields(t, series.([]byte)) //nolint:forcetypeassert // a message
			last := ""
			for _, label := range parts[seriesLabels] {
				name := string(fields(t, label.([]byte))[labelName][0].([]byte)) //nolint:forcetypeassert // a message
				if name <= last {
					t.Fatalf("%s stands behind %s", name, last)
				}
				last = name
			}
			sample := fields(t, parts[seriesSamples][0].([]byte)) //nolint:forcetypeassert // a message
			seen[math.Float64frombits(sample[sampleValue][0].(uint64))] = true
			if at := sample[sampleTime][0].(uint64); at != 5000 {
				t.Errorf("the time is %d", at)
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d series were written", len(seen), n)
	}
}

func TestNumber(t *testing.T) {
	for f, want := range map[float64]string{1: "1.0", 0.5: "0.5", 1e-05: "1e-05", 120: "120.0", math.Inf(1): "+Inf", math.NaN(): "NaN"} {
		if got := number(f); got != want {
			t.Errorf("%v is %s, want %s", f, got, want)
		}
	}
}

// The metric's own labels win over those that are added.
func TestOwnLabelsWin(t *testing.T) {
	own := []*dto.LabelPair{{Name: new("job"), Value: new("mine")}}
	got := withLabels(own, map[string]string{"job": "other", "zone": "a"})
	if len(got) != 2 || got[0].GetValue() != "mine" || got[1].GetName() != "zone" || got[1].GetValue() != "a" || len(own) != 1 {
		t.Errorf("%v of %v", got, own)
	}
}
