package simulate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"soakd/internal/judge/window"
)

// Labels of the series that are simulated.
const (
	Replica  = `replica="api:8000"`
	server   = `server="main"`
	database = `database="app",server="main"`
	node     = `node="redis:6379"`
	// APIApplication is the application_name of the API's sessions.
	APIApplication = "cashflow-api"
	pollsPerWindow = 2
)

// Names of the probes.
const (
	probeAPI, probePostgres, probeRedis = "api", "postgres", "redis"
	canaryPostgres, canaryRedis         = "postgres_canary", "redis_canary"
)

// series is one that a probe reads.
type series struct {
	name, labels string
	probe        string
	// gauge returns a value of one poll, NaN when it is absent; rate what a counter
	// gains a second on average. One of them is set.
	gauge func(w *World, m *moment) float64
	rate  func(w *World, m *moment) float64
	// count tells that what a counter gains is a whole number.
	count bool
}

type reading = func(w *World, m *moment) float64

func constant(v float64) reading { return func(*World, *moment) float64 { return v } }

// seriesOf builds the table of one probe.
type seriesOf struct {
	probe, labels string
	list          []series
}

func (s *seriesOf) gauge(name, labels string, value reading) {
	s.list = append(s.list, series{name: name, labels: s.with(labels), probe: s.probe, gauge: value})
}

// count is a counter of events, seconds one of what is no whole number.
func (s *seriesOf) count(name, labels string, rate reading) {
	s.list = append(s.list, series{name: name, labels: s.with(labels), probe: s.probe, rate: rate, count: true})
}

func (s *seriesOf) seconds(name, labels string, rate reading) {
	s.list = append(s.list, series{name: name, labels: s.with(labels), probe: s.probe, rate: rate})
}

// with puts labels in the order of their names, as Prometheus does.
func (s *seriesOf) with(labels string) string {
	switch {
	case labels == "":
		return s.labels
	case s.labels == "" || labels < s.labels:
		return strings.TrimSuffix(labels+","+s.labels, ",")
	}
	return s.labels + "," + labels
}

// allSeries returns the table of all, sorted by name and labels as windows want it.
func allSeries() []series {
	var list []series
	list = append(list, apiSeries()...)
	list = append(list, apiPoolSeries()...)
	list = append(list, postgresSeries()...)
	list = append(list, sessionSeries()...)
	list = append(list, tableSeries()...)
	list = append(list, redisSeries()...)
	slices.SortFunc(list, func(a, b series) int {
		if a.name != b.name {
			if a.name < b.name {
				return -1
			}
			return 1
		}
		if a.labels < b.labels {
			return -1
		}
		return 1
	})
	return list
}

func apiSeries() []series {
	s := seriesOf{probe: probeAPI, labels: Replica}
	lookups := func(m *moment) float64 { return 0.4 * m.rate * m.lookups }
	s.count("soakd_api_cache_hits_total", "", func(_ *World, m *moment) float64 { return lookups(m) * m.hitRatio })
	s.count("soakd_api_cache_misses_total", "", func(_ *World, m *moment) float64 { return lookups(m) * (1 - m.hitRatio) })
	s.seconds("soakd_api_cpu_seconds_total", "", func(w *World, m *moment) float64 {
		return (0.02 + m.rate*0.009*w.polls.between(0.95, 1.05) + m.extra.cpu) * math.Exp(w.slow.x/2)
	})
	s.seconds("soakd_api_gc_pause_seconds_total", "", func(w *World, m *moment) float64 {
		return m.rate*0.00002*w.polls.between(0.6, 1.4) + m.extra.gcPause
	})
	s.count("soakd_api_gc_runs_total", "", func(_ *World, m *moment) float64 { return m.rate*0.022 + m.extra.gcRuns })
	s.gauge("soakd_api_goroutines", "", func(w *World, m *moment) float64 {
		return 20 + 2*float64(w.polls.poisson(w.target.inFlight+m.extra.inFlight)) + math.Floor(m.extra.goroutines)
	})
	// The saw-tooth of the collector: between the live heap and twice of it.
	s.gauge("soakd_api_heap_bytes", "", func(w *World, m *moment) float64 { return w.target.live(m) * w.polls.between(1, 2) })
	s.gauge("soakd_api_in_flight_requests", "", func(w *World, m *moment) float64 {
		return float64(w.polls.poisson(w.target.inFlight + m.extra.inFlight))
	})
	files := func(w *World, m *moment) float64 {
		return math.Round(24 + m.rate*0.2 + w.target.files.x + w.target.poolSize + m.extra.idle + math.Floor(m.extra.fds))
	}
	s.gauge("soakd_api_fd_saturation_ratio", "", func(w *World, m *moment) float64 { return files(w, m) / MaxFiles })
	s.gauge("soakd_api_max_fds", "", constant(MaxFiles))
	s.gauge("soakd_api_max_threads", "", constant(500))
	s.gauge("soakd_api_memory_file_bytes", "", func(w *World, _ *moment) float64 { return w.target.pageCache })
	s.gauge("soakd_api_memory_limit_bytes", "", constant(MemoryLimit))
	used := func(w *World, m *moment) float64 { return w.target.rss(m)*1.02 + w.target.pageCache }
	s.gauge("soakd_api_memory_used_bytes", "", used)
	s.gauge("soakd_api_memory_working_set_bytes", "", func(w *World, m *moment) float64 { return used(w, m) - 0.7*w.target.pageCache })
	s.gauge("soakd_api_observed_workers", "", constant(1))
	s.gauge("soakd_api_open_fds", "", files)
	s.gauge("soakd_api_processes", "", constant(1))
	s.gauge("soakd_api_replica_up", "", constant(1))
	s.gauge("soakd_api_resident_memory_bytes", "", func(w *World, m *moment) float64 { return w.target.rss(m) })
	s.count("soakd_api_restarts_total", "", func(_ *World, m *moment) float64 {
		if m.restart {
			return -1 // exactly one
		}
		return 0
	})
	s.gauge("soakd_api_start_time_seconds", "", func(w *World, _ *moment) float64 { return float64(w.target.started.Unix()) })
	s.gauge("soakd_api_threads", "", func(w *World, m *moment) float64 {
		return 8 + math.Floor(min(3, m.at.Sub(w.target.started).Hours()/4)) + math.Floor(m.extra.threads)
	})
	for _, kind := range []string{"full", "some"} {
		s.seconds("soakd_api_cpu_pressure_seconds_total", `kind="`+kind+`"`, func(w *World, m *moment) float64 {
			return 0.002 * m.rate / usual * math.Exp(4*w.slow.x)
		})
	}
	s.seconds("soakd_api_cpu_throttled_seconds_total", "", func(_ *World, m *moment) float64 { return max(0, m.busy-0.3) * 0.01 })
	return s.list
}

func apiPoolSeries() []series {
	s := seriesOf{probe: probeAPI, labels: `pool="pgxpool",` + Replica}
	inUse := func(w *World, m *moment) float64 {
		return min(PoolSize, float64(w.polls.poisson(w.target.dbBusy))+m.extra.held)
	}
	s.gauge("soakd_api_pool_connections", `state="idle"`, func(w *World, m *moment) float64 { return max(0, w.target.poolSize-inUse(w, m)) })
	s.gauge("soakd_api_pool_connections", `state="in_use"`, inUse)
	s.gauge("soakd_api_pool_connections", `state="max"`, constant(PoolSize))
	s.gauge("soakd_api_pool_connections", `state="waiting"`, func(w *World, m *moment) float64 { return float64(w.polls.poisson(m.extra.poolWaiting)) })
	s.count("soakd_api_pool_timeouts_total", "", func(_ *World, m *moment) float64 { return m.extra.poolWaits * 0.01 })
	s.seconds("soakd_api_pool_wait_seconds_total", "", func(w *World, m *moment) float64 {
		return m.rate*0.00002*w.polls.between(0.5, 1.5) + m.extra.poolWaitSeconds
	})
	s.count("soakd_api_pool_waits_total", "", func(_ *World, m *moment) float64 { return m.rate*0.0004 + m.extra.poolWaits })
	return s.list
}

func postgresSeries() []series {
	s := seriesOf{probe: probePostgres, labels: server}
	s.gauge("soakd_postgres_acquire_seconds", "", func(w *World, m *moment) float64 { return 0.0003 * m.slow[0] * math.Exp(0.3*w.polls.NormFloat64()) })
	s.gauge("soakd_postgres_round_trip_seconds", "", func(w *World, m *moment) float64 { return 0.00015 * m.slow[0] * math.Exp(0.3*w.polls.NormFloat64()) })
	s.gauge("soakd_postgres_max_connections", "", constant(MaxConnections))
	s.gauge("soakd_postgres_in_recovery", "", constant(0))
	s.gauge("soakd_postgres_start_time_seconds", "", func(w *World, _ *moment) float64 { return float64(w.cfg.Start.Unix() - 86400) })
	s.gauge("soakd_postgres_transaction_id_age", "", func(w *World, _ *moment) float64 { return w.target.transactions })
	s.gauge("soakd_postgres_blocked_backends", "", func(w *World, m *moment) float64 { return w.blockedNow(m) })
	s.gauge("soakd_postgres_blocking_pairs", "", func(w *World, m *moment) float64 { return w.blockedNow(m) })
	s.gauge("soakd_postgres_blocking_chain_depth", "", func(w *World, m *moment) float64 { return min(3, w.blockedNow(m)) })
	s.gauge("soakd_postgres_root_blockers", "", func(w *World, m *moment) float64 { return min(1, w.blockedNow(m)) })
	s.gauge("soakd_postgres_lock_wait_oldest_seconds", "", func(w *World, m *moment) float64 {
		if m.extra.oldestWait == 0 || w.polls.Float64() > m.extra.blockedShare {
			return math.NaN()
		}
		return w.polls.between(0, m.extra.oldestWait)
	})
	s.gauge("soakd_postgres_oldest_transaction_seconds", "", func(w *World, m *moment) float64 {
		if m.extra.others > 0 {
			return m.at.Sub(m.at.Truncate(backupFor)).Seconds() // that of the backup
		}
		if w.polls.Float64() < 0.6 {
			return math.NaN()
		}
		return w.polls.between(0, 0.05) + m.extra.oldestWait
	})
	for _, kind := range []string{"activity", "client", "io", "ipc", "lock", "lwlock", "other"} {
		s.gauge("soakd_postgres_waiting_backends", `wait_event_type="`+kind+`"`, func(w *World, m *moment) float64 {
			switch kind {
			case "lock":
				return w.blockedNow(m)
			case "io":
				return float64(w.polls.poisson(0.1 * m.rate / usual))
			}
			return 0
		})
	}
	for _, mode := range []string{"access_exclusive", "access_share", "exclusive", "row_exclusive", "share"} {
		s.gauge("soakd_postgres_held_locks", `mode="`+mode+`"`, func(w *World, m *moment) float64 {
			return float64(w.polls.poisson(w.target.dbBusy*2)) * map[string]float64{"access_share": 1, "row_exclusive": 0.4}[mode]
		})
		s.gauge("soakd_postgres_waiting_locks", `mode="`+mode+`"`, func(w *World, m *moment) float64 {
			if mode != "exclusive" {
				return 0
			}
			return w.blockedNow(m)
		})
	}
	s.count("soakd_postgres_wal_bytes_total", "", func(w *World, m *moment) float64 { return 3500 * m.rate * w.polls.between(0.9, 1.1) })
	return append(s.list, databaseSeries()...)
}

// blockedNow is how many sessions wait for a lock at one poll.
func (w *World) blockedNow(m *moment) float64 {
	if m.extra.blocked == 0 || w.polls.Float64() > m.extra.blockedShare {
		return 0
	}
	return float64(w.polls.poisson(m.extra.blocked))
}

func databaseSeries() []series {
	s := seriesOf{probe: probePostgres, labels: database}
	per := func(name, labels string, factor float64) {
		s.count(name, labels, func(_ *World, m *moment) float64 { return factor * m.rate })
	}
	per("soakd_postgres_commits_total", "", 1.8)
	per("soakd_postgres_blocks_hit_total", "", 18)
	per("soakd_postgres_blocks_read_total", "", 0.06)
	for operation, factor := range map[string]float64{"inserted": 0.5, "fetched": 14} {
		s.list = append(s.list, series{
			name: "soakd_postgres_rows_total", labels: `database="app",operation="` + operation + `",` + server, probe: probePostgres, count: true,
			rate: func(_ *World, m *moment) float64 { return factor * m.rate },
		})
	}
	s.count("soakd_postgres_rollbacks_total", "", constant(0.0005))
	s.count("soakd_postgres_deadlocks_total", "", constant(0))
	s.count("soakd_postgres_sessions_total", "", constant(0.01))
	s.seconds("soakd_postgres_active_seconds_total", "", func(w *World, m *moment) float64 { return w.target.dbBusy * 0.7 })
	s.seconds("soakd_postgres_session_seconds_total", "", func(w *World, m *moment) float64 { return 3 + w.target.poolSize + m.extra.idle })
	s.count("soakd_postgres_temp_bytes_total", "", func(_ *World, m *moment) float64 { return m.extra.others * 1e6 })
	s.gauge("soakd_postgres_database_bytes", "", func(w *World, _ *moment) float64 {
		return math.Floor((w.target.historyRows*300+w.target.scenarioRows*900)/8192) * 8192
	})
	return s.list
}

func sessionSeries() []series {
	s := seriesOf{probe: probePostgres, labels: server}
	api := func(w *World, m *moment) float64 {
		return min(w.target.poolSize+m.extra.idle, MaxConnections-6)
	}
	busy := func(w *World, m *moment) float64 { return min(PoolSize, float64(w.polls.poisson(w.target.dbBusy*0.5))) }
	value := func(application, state string) reading {
		return func(w *World, m *moment) float64 {
			switch application + " " + state {
			case APIApplication + " active":
				return busy(w, m) + w.blockedNow(m)
			case APIApplication + " idle":
				return max(0, api(w, m)-m.extra.held-busy(w, m))
			case APIApplication + " idle_in_transaction":
				return m.extra.held + min(1, float64(w.polls.poisson(0.05)))
			case "soakd idle":
				return 1
			case "soakd active":
				return 1
			case "other active":
				return m.extra.others
			}
			return 0
		}
	}
	for _, application := range []string{APIApplication, "none", "other", "soakd"} {
		for _, state := range []string{"active", "disabled", "fastpath", "idle", "idle_in_transaction", "idle_in_transaction_aborted", "other"} {
			labels := fmt.Sprintf("application=%q,%s,state=%q", application, server, state)
			s.list = append(s.list, series{name: "soakd_postgres_backends", labels: labels, probe: probePostgres, gauge: value(application, state)})
		}
	}
	sum := func(w *World, m *moment) float64 { return api(w, m) + 2 + m.extra.others }
	s.gauge("soakd_postgres_connection_saturation_ratio", "", func(w *World, m *moment) float64 { return sum(w, m) / MaxConnections })
	s.list = append(s.list, series{name: "soakd_postgres_database_backends", labels: database, probe: probePostgres, gauge: sum})
	return s.list
}

func tableSeries() []series {
	s := seriesOf{probe: probePostgres, labels: server}
	history, scenarios := `table="cashflow_history"`, `table="cashflow_scenarios"`
	s.gauge("soakd_postgres_table_dead_rows", history, func(w *World, _ *moment) float64 { return math.Floor(w.target.deadHistory) })
	s.gauge("soakd_postgres_table_dead_rows", scenarios, func(w *World, _ *moment) float64 { return math.Floor(w.target.deadScenarios) })
	s.gauge("soakd_postgres_table_live_rows", history, func(w *World, _ *moment) float64 { return math.Floor(w.target.historyRows) })
	s.gauge("soakd_postgres_table_live_rows", scenarios, func(w *World, _ *moment) float64 { return math.Floor(w.target.scenarioRows) })
	s.gauge("soakd_postgres_table_last_vacuum_seconds", scenarios, func(w *World, m *moment) float64 { return m.at.Sub(w.target.analyzed).Seconds() })
	s.gauge("soakd_postgres_table_pages", history, func(w *World, _ *moment) float64 { return math.Floor(w.target.historyRows / 27) })
	s.list = append(s.list, series{
		name: "soakd_postgres_table_rows_changed_total", labels: `operation="inserted",` + server + "," + history, probe: probePostgres,
		rate: func(_ *World, m *moment) float64 { return 0.45 * m.rate }, count: true,
	})
	s.count("soakd_postgres_table_sequential_scans_total", history, constant(0.01))
	return s.list
}

func redisSeries() []series {
	s := seriesOf{probe: probeRedis, labels: node}
	lookups := func(m *moment) float64 { return 0.4 * m.rate * m.lookups }
	s.count("soakd_redis_keyspace_hits_total", "", func(_ *World, m *moment) float64 { return lookups(m) * m.hitRatio })
	s.count("soakd_redis_keyspace_misses_total", "", func(_ *World, m *moment) float64 { return lookups(m) * (1 - m.hitRatio) })
	s.gauge("soakd_redis_keyspace_hit_ratio", "", func(w *World, m *moment) float64 {
		if m.lookups == 0 {
			return math.NaN()
		}
		return min(1, max(0, m.hitRatio+0.03*w.polls.NormFloat64()))
	})
	s.count("soakd_redis_evicted_keys_total", "", func(_ *World, m *moment) float64 { return m.extra.evictions })
	s.count("soakd_redis_expired_keys_total", "", func(w *World, _ *moment) float64 { return w.target.keys / 3600 })
	used := func(w *World, m *moment) float64 {
		return min(maxMemoryRedis, 2*mib+w.target.keys*3000*(1+0.002*w.polls.NormFloat64())+m.extra.redisBytes)
	}
	s.gauge("soakd_redis_memory_used_bytes", "", used)
	s.gauge("soakd_redis_memory_rss_bytes", "", func(w *World, m *moment) float64 { return used(w, m)*1.1 + 8*mib })
	s.gauge("soakd_redis_memory_limit_bytes", "", constant(maxMemoryRedis))
	s.gauge("soakd_redis_memory_peak_bytes", "", func(w *World, m *moment) float64 { return used(w, m) * 1.01 })
	s.gauge("soakd_redis_keys", `db="0"`, func(w *World, _ *moment) float64 { return math.Floor(w.target.keys) })
	s.gauge("soakd_redis_expiring_keys", `db="0"`, func(w *World, _ *moment) float64 { return math.Floor(w.target.keys) })
	s.gauge("soakd_redis_connected_clients", "", func(w *World, m *moment) float64 { return 5 + math.Floor(m.rate/25) + float64(w.polls.poisson(0.3)) })
	s.gauge("soakd_redis_blocked_clients", "", constant(0))
	s.gauge("soakd_redis_max_clients", "", constant(10_000))
	s.gauge("soakd_redis_ping_seconds", "", func(w *World, m *moment) float64 { return 0.00006 * m.slow[0] * math.Exp(0.3*w.polls.NormFloat64()) })
	s.gauge("soakd_redis_uptime_seconds", "", func(w *World, _ *moment) float64 { return w.age.Seconds() + 86400 })
	s.gauge("soakd_redis_rdb_unsaved_changes", "", func(w *World, _ *moment) float64 { return math.Floor(w.target.transactions / 4) })
	s.count("soakd_redis_commands_processed_total", "", func(_ *World, m *moment) float64 { return 1.2 + lookups(m)*(2-m.hitRatio) })
	s.count("soakd_redis_rejected_connections_total", "", constant(0))
	s.count("soakd_redis_restarts_total", "", constant(0))
	s.count("soakd_redis_net_output_bytes_total", "", func(_ *World, m *moment) float64 { return 3000 * lookups(m) * m.hitRatio })
	s.seconds("soakd_redis_cpu_seconds_total", `mode="user"`, func(_ *World, m *moment) float64 { return 0.001 + 0.00005*m.rate })
	return s.list
}

// read takes what the probes read in the window.
func (w *World) read(m *moment, out *window.Window) {
	for _, probe := range []string{probeAPI, probePostgres, canaryPostgres, probeRedis, canaryRedis} {
		out.Probes = append(out.Probes, m.polls(probe))
	}
	out.Signals = make([]window.Signal, 0, len(w.series))
	for i := range w.series {
		s := &w.series[i]
		if m.down[s.probe] != "" && !m.half[s.probe] {
			continue
		}
		if signal, read := w.signal(m, s); read {
			out.Signals = append(out.Signals, signal)
		}
	}
}

func (w *World) signal(m *moment, s *series) (window.Signal, bool) {
	signal := window.Signal{Name: s.name, Labels: s.labels, N: pollsPerWindow}
	if s.gauge == nil {
		signal.Kind = window.Counter
		mean := s.rate(w, m) * window.Short.Seconds()
		switch {
		case mean < 0: // exactly one, not so many a second
			signal.Increase = 1
		case s.count:
			signal.Increase = float64(w.polls.poisson(mean))
		default:
			signal.Increase = mean
		}
		return signal, true
	}
	signal.N = 0
	for range pollsPerWindow {
		v := s.gauge(w, m)
		if math.IsNaN(v) {
			continue
		}
		if signal.N == 0 {
			signal.Min, signal.Max = v, v
		}
		signal.N++
		signal.Min, signal.Max, signal.Sum, signal.Last = min(signal.Min, v), max(signal.Max, v), signal.Sum+v, v
	}
	return signal, signal.N > 0
}

// polls says how the polls of a probe went: two, 2.5 and 7.5 s after the window began.
func (m *moment) polls(probe string) window.Probe {
	first, second := m.at.Add(window.Short/4), m.at.Add(3*window.Short/4)
	p := window.Probe{Name: probe, Polls: pollsPerWindow, FirstSuccess: first, LastSuccess: second}
	reason := m.down[probe]
	switch {
	case reason == "":
	case m.half[probe]:
		p.Failed, p.Reason, p.FirstFailure, p.LastSuccess = 1, reason, second, first
	default:
		p = window.Probe{Name: probe, Polls: pollsPerWindow, Failed: pollsPerWindow, Reason: reason, FirstFailure: first}
	}
	return p
}
