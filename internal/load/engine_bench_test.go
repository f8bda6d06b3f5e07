package load

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

func mustSleeper() Sleeper {
	s, err := NewSleeper()
	if err != nil {
		panic(err)
	}
	return s
}

// BenchmarkLag tells how late an idle schedule is noticed, with the runtime's
// timers alone and with a timer file: ns at the median and at 99 %.
func BenchmarkLag(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for name, sleep := range map[string]func() Sleeper{"timers": NewTimerSleeper, "timer file": mustSleeper} {
		for _, rate := range []string{"200", "2000"} {
			b.Run(name+"/"+rate, func(b *testing.B) {
				client, err := NewClient(ClientConfig{
					Target: server.URL, MaxResponseBytes: 1 << 16, Token: func(User, Credentials) (string, error) { return "", nil },
				})
				if err != nil {
					b.Fatal(err)
				}
				mix, err := NewMix(&Workload{Name: "bench", Cases: []*Case{testCase("one", 1)}}, 1, 1)
				if err != nil {
					b.Fatal(err)
				}
				var seen collector
				engine, err := NewEngine(EngineConfig{
					Arrivals: steady(b, rate), Mix: mix, Client: client, User: func(int) User { return User{} }, MaxInFlight: 16, MaxWaiting: 1000,
					Duration: 3 * time.Second, Grace: time.Second, Sink: &seen, Lag: &seen, Sleeper: sleep(), Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					b.Fatal(err)
				}
				engine.Run(b.Context())
				slices.Sort(seen.lags)
				b.ReportMetric(float64(seen.lags[len(seen.lags)/2]), "p50-ns")
				b.ReportMetric(float64(seen.lags[len(seen.lags)*99/100]), "p99-ns")
			})
		}
	}
}
