package dashboards

// Limits of what the target and its stores run out of.
const (
	// filesLimit: a tenth of the limit may go within one burst of connections.
	filesLimit = 0.8
	// queueLimit is in tasks a thread: beyond one a calculation waits for longer than
	// it lasts.
	queueLimit = 1
	// freezeLimit is in transactions, about half of the 2^31 at which Postgres takes
	// no more writes and five times what autovacuum lets pass before it freezes
	// (autovacuum_freeze_max_age, 2e8): it has been held up for long.
	freezeLimit = "1000000000"
)

// pausedAlert tells nobody: it is there to keep SoakdNoTraffic quiet.
func pausedAlert() Alert {
	return Alert{
		Name: "SoakdLoadPaused", Severity: Info, Dashboard: trafficUID,
		Signal: "soakd_load_paused", Condition: "== 1",
		Summary:     "The load of soakd {{ $labels.instance }} is paused",
		Description: "Somebody has paused the load of {{ $labels.instance }}: nothing is sent until it is resumed.",
	}
}

// closedModeSends is 0 where users wait for nothing but send nothing, else 1: a
// closed load has no rate to aim at. A lowered load is told by SoakdCircuitOpen.
const closedModeSends = "(\n" +
	"  rate(soakd_arrivals_sent_total[5m]) > bool 0\n" +
	"  and on (job, instance)\n  soakd_run_info{model=\"closed\"}\n" +
	"  and on (job, instance)\n  min_over_time(soakd_load_factor_ratio[5m]) == 1\n" +
	"  unless on (job, instance)\n  soakd_load_phase{phase=\"ended\"} == 1\n)"

// exceptThinking leaves out users who think for so long that five minutes without a
// request are nothing unusual: a think time may be up to a day. As with a rate, the
// limit is one request in 20 s, here on average since soakd started. Users who never
// sent anything do not think, but are stuck.
const exceptThinking = "unless on (job, instance)\n(\n" +
	"  soakd_run_info{model=\"closed\"}\n" +
	"  and on (job, instance)\n  (soakd_arrivals_sent_total > 0) / (time() - process_start_time_seconds) < 0.05\n)"

// apiAlerts are about what the API's processes run out of.
func apiAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdTargetPoolExhausted", Severity: Ticket, For: "5m", Dashboard: apiUID,
			Signal: `sum by (job, instance, replica, pool) (soakd_api_pool_connections{state="waiting"})`, Condition: "> 0",
			Summary: "The target's database pool {{ $labels.pool }} is exhausted",
			Description: "{{ $value }} requests of replica {{ $labels.replica }} wait for a connection of pool {{ $labels.pool }}, and at each look for 5 minutes there were some. " +
				"Postgres may have room that the pool does not use.",
		},
		{
			Name: "SoakdTargetTasksQueued", Severity: Ticket, For: "10m", Dashboard: apiUID,
			Signal: "soakd_api_thread_pool_queued_tasks\n/\nsoakd_api_thread_pool_threads", Condition: above(queueLimit),
			Summary: "Calculations queue up in the target",
			Description: "{{ printf \"%.3g\" $value }} tasks wait for each calculation thread of replica {{ $labels.replica }} (limit 1), for 10 minutes. " +
				"A calculation waits for longer than it lasts.",
		},
		{
			Name: "SoakdTargetFilesHigh", Severity: Ticket, For: "5m", Dashboard: apiUID,
			Signal: "soakd_api_fd_saturation_ratio\nor\nsoakd_api_open_fds / soakd_api_max_fds", Condition: above(filesLimit),
			Summary: "The target is running out of file descriptors",
			Description: "{{ $value | humanizePercentage }} of the file descriptors that replica {{ $labels.replica }} may open are in use (limit 80%). " +
				"At 100% it can accept no connection.",
		},
		{
			Name: "SoakdTargetOutOfMemory", Severity: Ticket, Dashboard: apiUID,
			Signal: gained("soakd_api_oom_kills_total", gapOfCounter), Condition: "> 0",
			Summary: "The target was killed for want of memory",
			Description: "The kernel killed about {{ printf \"%.0f\" $value }} processes of replica {{ $labels.replica }} in 15 minutes, or since it was last seen before that, because its memory limit was reached. " +
				"Requests in flight were lost.",
		},
	}
}

func postgresStateAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdPostgresSlotLost", Severity: Ticket, Dashboard: postgresUID,
			Signal: "soakd_postgres_replication_slot_lost", Condition: "== 1",
			Summary: "Replication slot {{ $labels.slot }} of Postgres {{ $labels.server }} is lost",
			Description: "Postgres {{ $labels.server }} has removed log that replication slot {{ $labels.slot }} needed. " +
				"Its receiver gets nothing more and must be made anew.",
		},
		{
			Name: "SoakdPostgresFreezeLate", Severity: Ticket, Dashboard: postgresUID,
			Signal: "soakd_postgres_transaction_id_age", Condition: "> " + freezeLimit,
			Summary: "Postgres {{ $labels.server }} is late in freezing transaction ids",
			Description: "The oldest row that Postgres {{ $labels.server }} has not frozen is {{ $value | humanize }} transactions old (limit 1G). " +
				"Near 2.1G the server takes no more writes.",
		},
		{
			Name: "SoakdPostgresCanaryWrong", Severity: Page, Dashboard: postgresUID,
			Signal: gained("soakd_postgres_canary_wrong_reads_total", gapOfCounter), Condition: "> 0",
			Summary: "Postgres does not give back what was written",
			Description: "About {{ printf \"%.0f\" $value }} times in 15 minutes, or since it was last seen before that, {{ $labels.instance }} read from Postgres something else than it had just written ({{ $labels.cause }}). " +
				"The API's data may be lost as well.",
		},
	}
}

func redisStateAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdRedisCanaryWrong", Severity: Ticket, Dashboard: redisUID,
			// A cache may evict and expire; the other causes are losses.
			Signal: gained(`soakd_redis_canary_wrong_reads_total{cause=~"missing|mismatch"}`, gapOfCounter), Condition: "> 0",
			Summary: "Redis {{ $labels.node }} does not give back what was written",
			Description: "About {{ printf \"%.0f\" $value }} times in 15 minutes, or since it was last seen before that, Redis {{ $labels.node }} gave back something else than {{ $labels.instance }} had just written ({{ $labels.cause }}). " +
				"The API may get wrong results from its cache.",
		},
	}
}
