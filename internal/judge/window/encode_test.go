package window_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// typical is a minute as soakd sees it: cases with some hundred requests each, and
// signals of which most stand still and the others are what machines measure.
func typical(seed uint64, cases, signals int) *window.Window {
	random := rand.New(rand.NewPCG(seed, 1))
	w := &window.Window{
		Start: time.Date(2026, 3, 1, 2, 3, 0, 0, time.UTC), Length: window.Minute, Covered: window.Minute, Fit: 50 * time.Second,
		Unfit: []string{"cpu", "lag"}, Rate: 50.25, Phase: "steady", Version: "v1.4.2", Scheduled: 3000, Sent: 2999, Dropped: 1,
	}
	for i := range cases {
		c := window.Case{
			Name: fmt.Sprintf("%s_scenario_%02d", []string{"save", "list", "simulate", "compare"}[i*4/cases], i), Class: []string{"fast", "simple", "medium", "complex"}[i%4],
			Invalid: i%10 == 9, Times: new(histogram.Histogram),
		}
		n := 20 + random.IntN(150)
		for range n {
			c.Times.Observe(time.Duration(2e7 * math.Exp(0.3*random.NormFloat64())))
		}
		c.Outcomes = []window.Count{{Name: window.OK, N: int64(n)}}
		if i%7 == 0 {
			c.Outcomes = append(c.Outcomes, window.Count{Name: "server_error", N: 2})
			c.Checks = []window.Count{{Name: "total_matches", N: 2}}
		}
		w.Cases = append(w.Cases, c)
	}
	for i := range signals {
		s := window.Signal{Name: fmt.Sprintf("soakd_%s_metric_%03d", []string{"api", "postgres", "redis"}[i*3/signals], i/2), Labels: fmt.Sprintf(`server="main",state="s%d"`, i%2), N: 12}
		switch i % 5 {
		case 0:
			s.Kind, s.Increase = window.Counter, float64(random.IntN(10_000))
		case 1:
			s.Min = float64(random.IntN(100))
			s.Max, s.Sum, s.Last = s.Min, 12*s.Min, s.Min
		case 2:
			s.Min = float64(1<<28 + random.IntN(1<<20))
			s.Max, s.Sum, s.Last = s.Min+4096*float64(random.IntN(100)), 12*s.Min+4096*500, s.Min+8192
		case 3:
			s.Min, s.Max, s.Sum, s.Last = random.Float64(), 1+random.Float64(), 6+random.Float64(), random.Float64()
		}
		w.Signals = append(w.Signals, s)
	}
	at := w.Start.Add(1234567891 * time.Nanosecond)
	w.Probes = []window.Probe{
		{Name: "api", Polls: 12, Failed: 1, FirstFailure: at, LastSuccess: at.Add(time.Second), FirstSuccess: at.Add(5), Reason: "timeout"},
		{Name: "redis", Polls: 12, LastSuccess: at},
	}
	return w
}

func TestEncodingKeepsEverything(t *testing.T) {
	odd := typical(3, 4, 10)
	odd.Start = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)
	odd.Probes[0].FirstFailure = time.Date(2300, 1, 1, 0, 0, 0, 999_999_999, time.UTC)
	odd.Cases[1].Times = nil
	odd.Cases[2].Times = new(histogram.Histogram)
	odd.Cases[3].Name = odd.Cases[2].Name[:5]
	odd.Signals[4].Name, odd.Signals[5].Name = strings.Repeat("x", 3000), strings.Repeat("x", 3000)+"y"
	odd.Scheduled, odd.Rate = math.MinInt64, math.Copysign(0, -1)
	odd.Seconds = []window.Second{{OK: math.MaxUint32, Failed: 1}, {}}
	for i, f := range []float64{math.Inf(1), math.Copysign(0, -1), 1 << 53, -(1<<53 - 1), math.SmallestNonzeroFloat64, math.MaxFloat64, 0.1, -7} {
		odd.Signals = append(odd.Signals,
			window.Signal{Name: "z", Labels: fmt.Sprint(i), N: i + 1, Min: f, Max: f, Sum: f * float64(i+1), Last: f, Increase: f},
			window.Signal{Name: "", N: -i, Min: f, Max: -f, Sum: f, Last: -f})
	}
	for name, w := range map[string]*window.Window{"nothing": {}, "a minute": typical(1, 40, 150), "odd": odd} {
		data := w.AppendBinary([]byte("before"))
		back, err := window.Decode(data[6:])
		if err != nil || string(data[:6]) != "before" {
			t.Errorf("%s: %v, %q", name, err, data[:6])
			continue
		}
		if !reflect.DeepEqual(w, back) {
			t.Errorf("%s: came back as\n%+v\nfrom\n%+v", name, back, w)
		}
	}
}

// NaN is no number that equals itself, so it has a test of its own.
func TestEncodingKeepsNaN(t *testing.T) {
	odd := math.Float64frombits(0x7ff8000000000abc)
	w := &window.Window{Rate: math.NaN(), Signals: []window.Signal{{Name: "a", N: 2, Min: odd, Max: odd, Sum: odd, Last: odd}}}
	back, err := window.Decode(w.AppendBinary(nil))
	if err != nil || !math.IsNaN(back.Rate) || math.Float64bits(back.Signals[0].Last) != math.Float64bits(odd) {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestEncodingTakesTimesToUTC(t *testing.T) {
	local := time.Date(2026, 3, 1, 2, 3, 4, 5, time.FixedZone("x", 3600))
	back, err := window.Decode((&window.Window{Start: local}).AppendBinary(nil))
	if err != nil || !back.Start.Equal(local) || back.Start.Location() != time.UTC {
		t.Errorf("%v, %v", back, err)
	}
}

func TestEncodingIsSmall(t *testing.T) {
	data := typical(1, 40, 150).AppendBinary(nil)
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := len(packer.EncodeAll(data, nil))
	if packed > 8<<10 {
		t.Errorf("%d bytes, packed %d, want at most 8 KiB", len(data), packed)
	}
	t.Logf("%d bytes, packed %d", len(data), packed)
}

func TestDecodeRefuses(t *testing.T) {
	good := typical(1, 3, 5).AppendBinary(nil)
	for n := range good {
		if _, err := window.Decode(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(good))
		}
	}
	for name, one := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":         {nil, "cut off"},
		"another version": {append([]byte{9}, good[1:]...), "version 9"},
		"more":            {append(bytes.Clone(good), 0), "goes on"},
		"a time":          {[]byte{1, 7}, "kind 7"},
		"many":            {append([]byte{1, 0, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0x7f), "cut off"},
	} {
		if _, err := window.Decode(one.data); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v, want %q", name, err, one.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(typical(1, 3, 5).AppendBinary(nil))
	f.Add((&window.Window{}).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := window.Decode(data)
		if err != nil {
			return
		}
		again := w.AppendBinary(nil)
		back, err := window.Decode(again)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(again, back.AppendBinary(nil)) {
			t.Error("what was read is not written as it was")
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	w := typical(1, 40, 150)
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		data = w.AppendBinary(data[:0])
	}
	b.SetBytes(int64(len(data)))
}

func BenchmarkDecode(b *testing.B) {
	data := typical(1, 40, 150).AppendBinary(nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := window.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
