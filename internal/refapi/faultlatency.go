package refapi

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// latencyBase is what the network, the server's HTTP and the client add to the
// work of a request on one machine, so that a factor is one for the client.
const latencyBase = 200 * time.Microsecond

func latencyFaults() []fault {
	factor := func(otherwise float64) parameter {
		return figure("factor", otherwise, 1, 1000, "how many times as long valid requests take; see below")
	}
	base := span("base", latencyBase, 0, time.Minute, "added to the time that is multiplied: the share of network and client")
	add := span("add", 0, 0, time.Minute, "added to every answer on top")
	return []fault{
		{
			name: "slow_endpoint", does: "slows one operation, or one class of its requests",
			parameters: []parameter{routeParameter(opForecast), classParameter(), factor(1.5), add, base},
			start:      slow(func(s settings) stretch { return always(s.number("factor")) }),
		},
		{
			name: "slow_all", does: "slows all operations but health",
			parameters: []parameter{factor(1.5), add, base},
			start:      slow(func(s settings) stretch { return always(s.number("factor")) }),
		},
		{
			name: "latency_tail", does: "slows a share of the requests, and leaves the others alone",
			parameters: []parameter{routeParameter(everything), share("share", 0.01, "of the requests"), factor(10), base},
			start: slow(func(s settings) stretch {
				return func(time.Duration) float64 {
					if happens(s.number("share")) {
						return s.number("factor")
					}
					return 1
				}
			}),
		},
		{
			name: "latency_drift", does: "slows all requests more and more: the factor is 1 + per_hour * speed * hours since it was switched on",
			parameters: []parameter{
				routeParameter(everything), figure("per_hour", 0.05, 0, 100, "growth an hour; 0.05 is 5 %"),
				figure("speed", 1, 0, 100_000, "how many times as fast time goes for it"), base,
			},
			start: slow(func(s settings) stretch {
				return func(on time.Duration) float64 { return 1 + s.number("per_hour")*s.number("speed")*on.Hours() }
			}),
		},
	}
}

// stretch returns how many times as long a request takes now, when the fault has
// been on for so long.
type stretch func(on time.Duration) float64

func always(factor float64) stretch { return func(time.Duration) float64 { return factor } }

// slow makes a fault that delays answers by
//
//	(factor - 1) * (max(work, median) + base) + add
//
// where work is the time that the request itself took, median the running median
// of the work of its kind (operation and class), and base the share of network
// and client. The median keeps answers that came from the cache from being
// spared; heavy ones take factor times as long as they did.
func slow(of func(s settings) stretch) func(context.Context, *API, settings) (effect, error) {
	return func(_ context.Context, _ *API, s settings) (effect, error) {
		factor, since := of(s), time.Now()
		typical := &medians{kinds: map[string]float64{}}
		return effect{delay: func(operation, class string, own time.Duration) time.Duration {
			if s["route"] == nil && operation == opHealth || s["route"] != nil && !concerns(s, operation, class) {
				return 0
			}
			median := typical.observe(operation+" "+class, own)
			stretched := (factor(time.Since(since)) - 1) * float64(max(own, median)+s.span("base"))
			return time.Duration(stretched) + s.span("add")
		}}, nil
	}
}

// medians are running medians by kind of request, each of them one number that
// moves by a fixed step towards every new value: in equilibrium as many values
// are above as below. (Ma, Muthukrishnan and Sandler, Frugal Streaming for
// Estimating Quantiles, 2013; here with steps that are a share of the value.)
type medians struct {
	mu    sync.Mutex
	kinds map[string]float64 // nanoseconds
}

func (m *medians) observe(kind string, value time.Duration) time.Duration {
	const step = 1.02
	m.mu.Lock()
	defer m.mu.Unlock()
	median, known := m.kinds[kind]
	switch x := float64(value); {
	case !known:
		median = x
	case x > median:
		median *= step
	case x < median:
		median /= step
	}
	m.kinds[kind] = median
	return time.Duration(median)
}

// sleep waits for d, or until ctx ends, whose error it then returns. The runtime's timers may be late by a
// millisecond where nothing else happens, so the last of it is left to the
// kernel, and the last of that, by which the kernel may be late, is waited for
// on the CPU: 20 % of a fast answer is 0.1 ms.
func sleep(ctx context.Context, d time.Duration) error {
	const coarse, fine = 2 * time.Millisecond, 150 * time.Microsecond
	end := time.Now().Add(d)
	if d > coarse {
		pause(ctx, d-coarse)
	}
	if rest := time.Until(end); rest > fine && ctx.Err() == nil {
		sleepPrecisely(rest - fine)
	}
	for time.Until(end) > 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	return ctx.Err()
}
