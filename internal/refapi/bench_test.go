package refapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mixed builds the n-th request of the target's usual mix, each kind by its
// weight. Forecasts differ, so that the cache does not answer them.
func mixed(b *testing.B, c *client, scenario string, n int64) *http.Request {
	rate := fmt.Sprintf("0.04%09d", n)
	five := "[" + strings.Repeat(loan(b, "prepayment_assumption", "0.02")+",", 4) +
		loan(b, "rate_type", `"variable"`, "rate_adjustment_period", "6", "rate_cap", "0.09", "rate_floor", "0.04") + "]"
	post := func(members ...string) *http.Request {
		return c.request("POST", forecastPath, body(b, append([]string{"loans", five, "discount_rate", rate}, members...)...), nil)
	}
	switch at := n % 33; {
	case at < 5:
		return c.request("GET", "/health", "", nil)
	case at < 15:
		return post()
	case at < 20:
		return c.request("GET", listPath, "", nil)
	case at < 23:
		return c.request("GET", scenarioPath+scenario, "", nil)
	case at < 25:
		return c.request("POST", savePath, `{"name":"n","forecast_params":`+body(b)+`}`, nil)
	case at < 29:
		return c.request("GET", historyPath, "", nil)
	case at < 31:
		return post("run_monte_carlo", "true", "monte_carlo_iterations", "100")
	case at < 32:
		return post("sensitivities", `{"interest_rate":[-0.02,-0.01,0,0.01,0.02],"prepayment":[-0.01,0,0.01]}`)
	default:
		return post("detailed_analysis", "true", "run_monte_carlo", "true", "monte_carlo_iterations", "1000",
			"loans", "["+strings.Repeat(loanJSON+",", 14)+loanJSON+"]")
	}
}

// BenchmarkMix sends the usual mix from 8 clients at once and reports the 50th
// and 99th percentile of the latency, which hold the client's share of the CPU.
func BenchmarkMix(b *testing.B) {
	c := serve(b, nil)
	scenario := c.save("s", "", body(b)).ID.String()
	var sent atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var clients sync.WaitGroup
	cpu := c.metric("process_cpu_seconds_total")
	b.ResetTimer()
	for range 8 {
		clients.Go(func() {
			var own []time.Duration
			for {
				n := sent.Add(1)
				if n > int64(b.N) {
					break
				}
				request := mixed(b, c, scenario, n)
				start := time.Now()
				if answered := c.do(request); answered.status >= 300 {
					b.Errorf("%s %s: %d %s", request.Method, request.URL.Path, answered.status, answered.body)
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			all = append(all, own...)
			mu.Unlock()
		})
	}
	clients.Wait()
	b.StopTimer()
	b.ReportMetric((c.metric("process_cpu_seconds_total")-cpu)*1e3/float64(len(all)), "cpu-ms/request")
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1e3, "p99-ms")
}

// BenchmarkCompute is the work of one answer, without HTTP and databases.
func BenchmarkCompute(b *testing.B) {
	for name, members := range map[string][]string{
		"one loan": nil,
		"complex": {
			"loans", "[" + strings.Repeat(loanJSON+",", 14) + loanJSON + "]", "detailed_analysis", "true",
			"run_monte_carlo", "true", "monte_carlo_iterations", "1000",
			"sensitivities", `{"interest_rate":[-0.02,-0.01,0,0.01,0.02],"prepayment":[-0.01,0,0.01]}`,
		},
	} {
		b.Run(name, func(b *testing.B) {
			request, bad, err := decodeForecast([]byte(body(b, members...)))
			if err != nil || len(bad) > 0 {
				b.Fatal(err, bad)
			}
			size := 0
			for b.Loop() {
				result, err := compute(b.Context(), &request)
				if err != nil {
					b.Fatal(err)
				}
				size = len(result.rest)
			}
			b.ReportMetric(float64(size), "bytes/answer")
		})
	}
}

// BenchmarkDecode is the strict reading of a request of 15 loans.
func BenchmarkDecode(b *testing.B) {
	text := []byte(body(b, "loans", "["+strings.Repeat(loanJSON+",", 14)+loanJSON+"]"))
	for b.Loop() {
		if _, bad, err := decodeForecast(text); err != nil || len(bad) > 0 {
			b.Fatal(err, bad)
		}
	}
}
