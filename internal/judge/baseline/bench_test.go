package baseline

import (
	"fmt"
	"testing"
	"time"

	"soakd/internal/judge/window"
)

// manyCases is a world of 40 cases and 50 requests a second.
func manyCases() *world {
	w := newWorld(1)
	w.cases, w.rate = nil, 50
	for i := range 40 {
		w.cases = append(w.cases, simulated{fmt.Sprintf("case_%02d", i), fmt.Sprintf("class_%d", i%5), i%10 == 9, 30.0 / 40, 0.01 * float64(1+i), 0.5})
	}
	return w
}

func minutes(w *world, n int) []*window.Window {
	list := make([]*window.Window, n)
	for i := range list {
		list[i] = w.minute()
	}
	return list
}

func BenchmarkObserve(b *testing.B) {
	list := minutes(manyCases(), 200)
	builder := NewBuilder(Config{})
	i := 0
	for b.Loop() {
		w := *list[i%len(list)]
		w.Start = list[0].Start.Add(window.Minute * time.Duration(i))
		builder.Observe(&w)
		i++
	}
}

func BenchmarkCompare(b *testing.B) {
	w := manyCases()
	base, now := w.profile(300), w.profile(120)
	for b.Loop() {
		Compare(base, now, Limits{})
	}
}

func BenchmarkMarshal(b *testing.B) {
	p := manyCases().profile(300)
	for b.Loop() {
		data, err := p.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(data)), "B/profile")
	}
}
