package leak

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"soakd/internal/judge/window"
)

// world is a target with three replicas, Postgres and Redis as the probes see them,
// minute by minute: what is right, with all that looks like a leak for a while.
type world struct {
	r        *rand.Rand
	minute   int64
	dayCurve bool
	replicas []*replica
	redis    *walk
	clients  *walk
	restart  int64
	every    int64 // restarts every so many minutes instead of every day or two
	// leak adds to a series, of which it gets the minutes since the start of the process and in all.
	leak func(name string, replica int, life, minute int64) float64
}

type replica struct {
	name                               string
	born                               int64
	base, warm, warmTau, elastic       float64
	tooth, toothLength                 float64
	workerTooth, workerLength          float64
	memory, files, goroutines, threads *walk
}

// walk is an Ornstein-Uhlenbeck process (a random walk that is drawn back) and AR(1)
// noise on top, both by their standard deviation and time constant in minutes.
type walk struct {
	slow, slowSD, slowTau, fast, fastSD, fastTau float64
}

func (w *walk) next(r *rand.Rand) float64 {
	step := func(v, sd, tau float64) float64 {
		a := math.Exp(-1 / tau)
		return a*v + sd*math.Sqrt(1-a*a)*r.NormFloat64()
	}
	w.slow, w.fast = step(w.slow, w.slowSD, w.slowTau), step(w.fast, w.fastSD, w.fastTau)
	return w.slow + w.fast
}

const (
	memoryLimit = 512 << 20
	fileLimit   = 1024
	maxSessions = 100
)

func newWorld(seed uint64, replicas int) *world {
	r := rand.New(rand.NewPCG(seed, 7))
	between := func(low, high float64) float64 { return low + (high-low)*r.Float64() }
	w := &world{
		r: r, minute: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Unix() / 60, dayCurve: seed%2 == 1,
		redis: &walk{slowSD: 0.01, slowTau: between(180, 720), fastSD: 0.002, fastTau: 10}, clients: &walk{slowSD: 0.4, slowTau: 200, fastSD: 0.4, fastTau: 10},
	}
	w.restart = w.minute + int64(between(1440, 2880))
	for i := range replicas {
		rep := &replica{
			name: `replica="` + string(rune('a'+i)) + `"`, born: w.minute, base: between(0.3, 0.6), warm: between(0.05, 0.25), warmTau: between(5, 60), elastic: between(0, 0.3),
			tooth: 0.1, toothLength: between(2, 45),
			memory: &walk{slowSD: between(0, 0.01), slowTau: between(180, 720), fastSD: 0.003, fastTau: 10},
			files:  &walk{slowSD: 2, slowTau: 60, fastSD: 3, fastTau: 5}, goroutines: &walk{slowSD: 3, slowTau: 120, fastSD: 4, fastTau: 5}, threads: &walk{slowSD: 0.5, slowTau: 300},
		}
		if i == 1 {
			rep.workerTooth, rep.workerLength = between(0.05, 0.2), between(120, 240)
		}
		w.replicas = append(w.replicas, rep)
	}
	return w
}

func (w *world) rate() float64 {
	if !w.dayCurve {
		return 50
	}
	return 50 - 30*math.Cos(2*math.Pi*float64(w.minute%1440)/1440)
}

// next makes the window of the next minute; nil is a gap.
func (w *world) next() *window.Window {
	m := w.minute
	w.minute++
	restarted := m >= w.restart
	if restarted {
		w.restart = m + 1440 + w.r.Int64N(1440)
		if w.every > 0 {
			w.restart = m + w.every
		}
	}
	win := &window.Window{Start: at(m), Length: window.Minute, Covered: window.Minute, Fit: window.Minute, Rate: w.rate()}
	load := win.Rate/50 - 1
	backup := m%1440 >= 180 && m%1440 < 200
	for i, rep := range w.replicas {
		win.Signals = w.replica(win.Signals, rep, i, load, restarted, backup)
	}
	win.Signals = w.services(win.Signals, load, backup)
	slices.SortFunc(win.Signals, func(a, b window.Signal) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Labels, b.Labels))
	})
	if w.r.IntN(3000) == 0 {
		w.minute += int64(w.r.IntN(8))
		return nil
	}
	return win
}

func gauge(name, labels string, value float64) window.Signal {
	return window.Signal{Name: name, Labels: labels, N: 6, Min: value, Max: value, Sum: 6 * value, Last: value}
}

func (w *world) added(name string, replica int, life, minute int64) float64 {
	if w.leak == nil {
		return 0
	}
	return w.leak(name, replica, life, minute)
}

func (w *world) replica(to []window.Signal, rep *replica, index int, load float64, restarted, backup bool) []window.Signal {
	r, m := w.r, w.minute-1
	if restarted {
		rep.born = m
		if w.every == 0 {
			rep.base *= 1 + 0.05*r.NormFloat64()
		}
	}
	age := float64(m - rep.born)
	warm := rep.warm * (1 - math.Exp(-age/rep.warmTau))
	// Six polls a minute see a trough to within ten seconds.
	tooth := math.Inf(1)
	for poll := range 6 {
		tooth = min(tooth, rep.tooth*math.Mod(age+float64(poll)/6, rep.toothLength)/rep.toothLength)
	}
	worker := 0.0
	if rep.workerLength > 0 {
		worker = rep.workerTooth * math.Mod(age, rep.workerLength) / rep.workerLength
	}
	life := m - rep.born
	memory := rep.base * (1 + warm + rep.elastic*load + rep.memory.next(r) + tooth + worker) * memoryLimit
	count := func(v float64) float64 { return math.Max(0, math.Round(v)) }
	// Files of a log that is rotated once a week stay open for some hours.
	rotated := 0.0
	if m%(7*1440) < 300 {
		rotated = 4
	}
	pool := count((4 + 1*r.NormFloat64()) * (1 + load))
	to = append(to,
		gauge("soakd_api_resident_memory_bytes", rep.name, memory+w.added("memory", index, life, m)),
		gauge("soakd_api_heap_bytes", rep.name, 0.7*memory*(1+0.003*r.NormFloat64())+w.added("memory", index, life, m)),
		gauge("soakd_api_memory_working_set_bytes", rep.name, 1.1*memory+w.added("memory", index, life, m)),
		gauge("soakd_api_memory_limit_bytes", rep.name, memoryLimit),
		gauge("soakd_api_open_fds", rep.name, count((60+rep.files.next(r))*(1+0.5*load)+rotated+w.added("files", index, life, m))),
		gauge("soakd_api_max_fds", rep.name, fileLimit),
		gauge("soakd_api_goroutines", rep.name, count((80+rep.goroutines.next(r))*(1+0.7*load)+w.added("goroutines", index, life, m))),
		gauge("soakd_api_threads", rep.name, count(12+rep.threads.next(r))),
		gauge("soakd_api_processes", rep.name, 1),
		gauge("soakd_api_in_flight_requests", rep.name, count((5+2*r.NormFloat64())*(1+load))),
		gauge("soakd_api_pool_connections", `pool="main",`+rep.name+`,state="in_use"`, pool),
		gauge("soakd_api_pool_connections", `pool="main",`+rep.name+`,state="idle"`, max(0, 10-pool)),
		gauge("soakd_api_pool_connections", `pool="main",`+rep.name+`,state="max"`, 20),
	)
	restarts := window.Signal{Name: "soakd_api_restarts_total", Labels: rep.name, Kind: window.Counter, N: 6}
	if restarted {
		restarts.Increase = 1
	}
	return append(to, restarts)
}

func (w *world) services(to []window.Signal, load float64, backup bool) []window.Signal {
	r, m := w.r, w.minute-1
	more := 0.0
	if backup {
		more = 5
	}
	active := math.Max(0, math.Round((4+r.NormFloat64())*(1+load)))
	idle := math.Max(0, 30-active)
	age := float64(m % (7 * 1440))
	return append(to,
		gauge("soakd_postgres_backends", `application="api",server="main",state="active"`, active),
		gauge("soakd_postgres_backends", `application="api",server="main",state="idle"`, idle+w.added("connections", 0, m, m)),
		gauge("soakd_postgres_backends", `application="other",server="main",state="idle"`, 2+more),
		gauge("soakd_postgres_backends", `application="soakd",server="main",state="idle"`, 2),
		gauge("soakd_postgres_max_connections", `server="main"`, maxSessions),
		gauge("soakd_postgres_start_time_seconds", `server="main"`, 1.7e9),
		gauge("soakd_redis_memory_used_bytes", `node="main"`, (50<<20)*(1+0.5*(1-math.Exp(-age/240)))*(1+w.redis.next(r))),
		gauge("soakd_redis_memory_limit_bytes", `node="main"`, 256<<20),
		gauge("soakd_redis_connected_clients", `node="main"`, math.Round(20+w.clients.next(r))),
		gauge("soakd_redis_max_clients", `node="main"`, 10000),
	)
}
