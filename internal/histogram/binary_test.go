package histogram

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func TestBinaryKeepsEverything(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	histograms := []Histogram{{}, {}}
	histograms[1].Observe(0)
	histograms[1].Observe(math.MaxInt64)
	histograms[1].Observe(1)
	var spread Histogram
	for range 10_000 {
		spread.Observe(time.Duration(math.Exp(16 + 2*random.NormFloat64())))
	}
	for i, h := range append(histograms, spread) {
		data, err := h.AppendBinary([]byte("before"))
		if err != nil || string(data[:6]) != "before" {
			t.Fatal(err, string(data[:6]))
		}
		var back Histogram
		if err := back.UnmarshalBinary(data[6:]); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if !reflect.DeepEqual(h, back) {
			t.Errorf("%d: another histogram came back: %d and %d times", i, h.count, back.count)
		}
	}
}

func TestBinaryIsSmall(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	for range 900 { // a minute of one case at 15/s
		h.Observe(time.Duration(2e7 * math.Exp(0.3*random.NormFloat64())))
	}
	data, _ := h.AppendBinary(nil)
	if len(data) > 300 {
		t.Errorf("%d bytes", len(data))
	}
}

func TestBinaryRefuses(t *testing.T) {
	var h Histogram
	h.Observe(time.Second)
	h.Observe(time.Minute)
	good, _ := h.AppendBinary(nil)
	for name, data := range map[string][]byte{
		"nothing": nil, "another version": append([]byte{9}, good[1:]...), "cut": good[:len(good)-1], "cut in the head": good[:2],
		"no step": append(append([]byte{}, good...), 0, 1), "an empty bucket": append(append([]byte{}, good...), 1, 0),
		"beyond the grid": append(append([]byte{}, good...), 0xff, 0x7f, 1),
	} {
		var back Histogram
		if err := back.UnmarshalBinary(data); err == nil {
			t.Errorf("%s was taken", name)
		}
		if !reflect.DeepEqual(back, Histogram{}) {
			t.Errorf("%s left something", name)
		}
	}
}

func FuzzBinary(f *testing.F) {
	var h Histogram
	h.Observe(time.Second)
	good, _ := h.AppendBinary(nil)
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		var back Histogram
		if back.UnmarshalBinary(data) != nil {
			return
		}
		again, _ := back.AppendBinary(nil)
		var third Histogram
		if err := third.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(back, third) {
			t.Errorf("%v: what was read is not written as it was", err)
		}
	})
}
