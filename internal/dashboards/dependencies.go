package dashboards

// genericProbes matches the names of the probes of endpoints, ports, names,
// certificates and exporters: kind/name. Those of Postgres, Redis and the API
// have dashboards and alerts of their own.
const genericProbes = "endpoint/.*|tcp/.*|dns/.*|certificate/.*|exporter/.*"

func dependenciesDashboard() Dashboard {
	return Dashboard{
		UID: dependenciesUID, File: "dependencies.json", Title: "soakd / Other dependencies",
		Description: "What else matters to the API, seen from soakd: HTTP endpoints, TCP ports, DNS names, certificates and series of other exporters, each by the name that soakd's settings give it. Read it from the top: does it answer, if not why, if yes which part of the way takes the time?",
		Variables: []Variable{
			{Name: "probe", Title: "Probe", Selector: sel("soakd_probe_success", `probe=~"`+genericProbes+`"`), Label: "probe", All: ".*"},
		},
		Rows: []Row{
			{Title: "Do they answer?", Panels: dependencyPanels()},
			{Title: "HTTP endpoints (SOAKD_ENDPOINT_PROBES)", Panels: endpointPanels()},
			{Title: "TCP ports (SOAKD_TCP_PROBES)", Panels: tcpPanels()},
			{Title: "DNS names (SOAKD_DNS_PROBES)", Panels: dnsPanels()},
			{Title: "Certificates (SOAKD_CERTIFICATE_PROBES, and those of endpoints and ports)", Panels: certificatePanels()},
			{Title: "Series of exporters (SOAKD_EXPORTER_SERIES)", Panels: exporterPanels()},
		},
	}
}

// probeSel selects the series of a metric for the chosen probes.
func probeSel(metric string, matchers ...string) string {
	return sel(metric, append([]string{`probe=~"$probe"`}, matchers...)...)
}

// generic selects the series of a metric that all probes have.
func generic(metric string) string { return probeSel(metric, `probe=~"`+genericProbes+`"`) }

// ofProbe reads a gauge, one line a probe.
func ofProbe(metric, legend string) Target {
	if legend != "" {
		legend = " " + legend
	}
	return Target{Query: worst(probeSel(metric), "probe"), Legend: "{{probe}}" + legend}
}

// ofProbeBy reads a gauge, one line a probe and value of the label.
func ofProbeBy(metric, label string) Target {
	return Target{Query: worst(probeSel(metric), "probe", label), Legend: "{{probe}} {{" + label + "}}"}
}

// timesOf reads the median and the p95 of a histogram of each soakd, the higher
// of which counts.
func timesOf(buckets string) []Target {
	read := func(q, legend string) Target {
		return Target{Query: worst(quantile(q, probeSel(buckets), "instance", "probe"), "probe"), Legend: "{{probe}} " + legend}
	}
	return []Target{read("0.5", "p50"), read("0.95", "p95")}
}

func dependencyPanels() []Panel {
	const empty = "where no such probe is set, as with SOAKD_ENDPOINT_PROBES"
	return []Panel{
		{
			Title: "Dependencies", Unit: "none", Width: 24, Height: 6, Limits: ZeroToOne, Texts: map[int]string{0: "failing", 1: "well"}, EmptyWhen: empty,
			Description: "1 while the thing answers as it should. At 0 for 5 minutes it raises SoakdDependencyDown; 'Why they fail' says whether the way there or the answer is at fault. All at 0 at once: soakd's own network or its DNS.",
			Targets:     []Target{{Query: lowest(generic("soakd_probe_success"), "probe"), Legend: "{{probe}}"}},
		},
		{
			Title: "Why they fail", Unit: "short", Width: 8,
			Description: "The reason of each probe whose latest poll failed. dns, connect, tls, timeout, reset: the way there. auth, permission: rights. unavailable, protocol: the server. check: it answers, but not what is wanted. missing: what is configured is not there.",
			EmptyWhen:   "while all of them answer as they should",
			Targets:     []Target{{Query: worst(generic("soakd_probe_failing"), "probe", "reason"), Legend: "{{probe}}: {{reason}}"}},
		},
		{
			Title: "Share of polls that fail", Unit: "percentunit", Width: 8, Limits: ZeroToOne, Thresholds: warnAt(0.01, 0.1), EmptyWhen: empty,
			Description: "Share of the polls that failed. Between 0 and 1 for long: one of several servers behind the name is broken, or the time limit is just about what the thing takes.",
			Targets: []Target{{
				Query:  share(sum(rate(generic("soakd_probe_failures_total")), "probe"), sum(rate(generic("soakd_probe_polls_total")), "probe")),
				Legend: "{{probe}}",
			}},
		},
		{
			Title: "Time of a poll", Unit: "s", Width: 8, Log: true, EmptyWhen: empty,
			Description: "How long the latest poll took, failed ones too. Near SOAKD_PROBE_TIMEOUT or the entry's own timeout it fails next. One that climbs with the load is a dependency that the load reaches.",
			Targets:     []Target{{Query: worst(generic("soakd_probe_duration_seconds"), "probe"), Legend: "{{probe}}"}},
		},
	}
}

func endpointPanels() []Panel {
	const empty = "where SOAKD_ENDPOINT_PROBES names no endpoint"
	return []Panel{
		{
			Title: "Response time of endpoints", Unit: "s", Log: true, EmptyWhen: empty,
			Description: "From the start of a poll, with a new connection, to the end of the answer, whatever its status. When the API slows down at the same moment and calls this endpoint, begin here.",
			Targets:     timesOf("soakd_endpoint_response_seconds_bucket"),
		},
		{
			Title: "Parts of the response time", Unit: "s", EmptyWhen: empty,
			Description: "Time of each phase of the latest poll. dns: the resolver. connect: the network or a full accept queue. tls: the server's CPU. first_byte: its work. transfer: a large body or a narrow way.",
			Targets:     []Target{ofProbeBy("soakd_endpoint_phase_seconds", "phase")},
		},
		{
			Title: "Status of endpoints", Unit: "none", Limits: Free, Width: 8, EmptyWhen: empty,
			Description: "HTTP status of the latest answer. 5xx: that server's log; 401, 403: its token or certificate has expired; 3xx: it has moved, give the entry the new URL.",
			Targets:     []Target{ofProbe("soakd_endpoint_status_code", "")},
		},
		{
			Title: "Size of answers", Unit: "bytes", Width: 8, EmptyWhen: empty,
			Description: "Size of the latest body. A sudden change at a good status is an error page, an empty list, or another version.",
			Targets:     []Target{ofProbe("soakd_endpoint_body_bytes", "")},
		},
		{
			Title: "HTTP version and redirects", Unit: "none", Width: 8, EmptyWhen: empty,
			Description: "HTTP version of the latest answer and the redirects that led to it. A version that falls: a proxy has come in between. More redirects: each costs a round trip, give the entry the last URL.",
			Targets:     []Target{ofProbe("soakd_endpoint_http_version", "version"), ofProbe("soakd_endpoint_redirects", "redirects")},
		},
	}
}

func tcpPanels() []Panel {
	const empty = "where SOAKD_TCP_PROBES names no port"
	return []Panel{
		{
			Title: "Connect time of ports", Unit: "s", Log: true, EmptyWhen: empty,
			Description: "Time to resolve the name and to connect. A p95 near 1 s or 3 s with a good median is a lost packet that was sent again: a full accept queue or a bad network. Failed connects are not in it.",
			Targets:     timesOf("soakd_tcp_connect_seconds_bucket"),
		},
		{
			Title: "Parts of the time of ports", Unit: "s", EmptyWhen: empty,
			Description: "Time of each phase of the latest poll. dns: the resolver. connect: the network. tls: the server's CPU. dialogue: how long the server takes for the lines that are sent.",
			Targets:     []Target{ofProbeBy("soakd_tcp_phase_seconds", "phase")},
		},
	}
}

func dnsPanels() []Panel {
	const empty = "where SOAKD_DNS_PROBES names no domain"
	return []Panel{
		{
			Title: "Look-up time of names", Unit: "s", Log: true, EmptyWhen: empty,
			Description: "From the first question to the answer. A p95 of whole seconds is questions that were lost and asked again: whoever resolves this name for each request waits as long. A nearer resolver, or a cache.",
			Targets:     timesOf("soakd_dns_lookup_seconds_bucket"),
		},
		{
			Title: "Response codes", Unit: "none", EmptyWhen: empty,
			Description: "The code of the latest answer of each name. servfail: the resolver cannot reach the zone's servers. nxdomain: the name is gone. refused: the resolver does not serve soakd.",
			Targets:     []Target{ofProbeBy("soakd_dns_response_code_info", "code")},
		},
		{
			Title: "Records", Unit: "short", EmptyWhen: empty,
			Description: "Records of the wanted type in the latest answer. Fewer than there are servers: some have been taken out, or have not come back.",
			Targets:     []Target{{Query: lowest(probeSel("soakd_dns_answers"), "probe"), Legend: "{{probe}}"}},
		},
		{
			Title: "Time to live of records", Unit: "s", EmptyWhen: empty,
			Description: "Shortest time to live in the latest answer; from a resolver's cache it counts down and starts again. It is how long a fail-over by DNS stays unseen.",
			Targets:     []Target{{Query: lowest(probeSel("soakd_dns_min_ttl_seconds"), "probe"), Legend: "{{probe}}"}},
		},
	}
}

func certificatePanels() []Panel {
	const (
		empty = "where SOAKD_CERTIFICATE_PROBES names no server"
		day   = 24 * 60 * 60
	)
	// Orange while there is time to renew, red on the last day.
	ends := []Threshold{{Value: day, Color: red, Below: true}, {Value: certificateLimitSeconds, Color: orange, Below: true}}
	left := func(metric, legend string, by ...string) Target {
		return Target{Query: lowest(probeSel(metric), append([]string{"probe"}, by...)...) + " - time()", Legend: "{{probe}}" + legend}
	}
	return []Panel{
		{
			Title: "Time until certificates expire", Unit: "s", Limits: Free, Width: 24,
			Thresholds:  ends,
			Description: "Of the server's own certificate (leaf), of the first of all that it shows (shown), and of the chain that a client needs (chain). Below 14 days SoakdCertificateExpires tells of it; at 0 every client that looks refuses. leaf: renew it and have the server load it. shown or chain alone: replace the certificate of the authority in between.",
			Targets: []Target{
				left("soakd_certificate_expiry_timestamp_seconds", " {{of}}", "of"),
				left("soakd_endpoint_certificate_expiry_timestamp_seconds", " shown"),
				left("soakd_tcp_certificate_expiry_timestamp_seconds", " shown"),
			},
			EmptyWhen: "where nothing with TLS is probed, as with SOAKD_CERTIFICATE_PROBES",
		},
		{
			Title: "Certificates that verify", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "not valid", 1: "valid"}, EmptyWhen: empty,
			Description: "1 while the certificate is valid, for its name, and signed by a known authority. At 0 soakd's log says which of the three is wrong. A private authority has to be given to the entry (ca).",
			Targets:     []Target{{Query: lowest(probeSel("soakd_certificate_verified"), "probe"), Legend: "{{probe}}"}},
		},
		{
			Title: "TLS version", Unit: "none", Width: 8, EmptyWhen: empty,
			Description: "The version that the server and soakd, which offers the newest, agree on. Below 1.2 clients refuse by now; one that falls is another server or a proxy in between.",
			Targets:     []Target{ofProbeBy("soakd_certificate_tls_version_info", "version")},
		},
		{
			Title: "Time of the handshake", Unit: "s", Width: 8, EmptyWhen: empty,
			Description: "Time of each phase of the latest poll: dns, connect, tls. A tls that climbs with the load: the server is out of CPU for handshakes; have clients keep their connections.",
			Targets:     []Target{ofProbeBy("soakd_certificate_phase_seconds", "phase")},
		},
	}
}

func exporterPanels() []Panel {
	const empty = "where SOAKD_EXPORTER_SERIES names no such series"
	return []Panel{
		{
			Title: "Gauges of exporters", Unit: "short", Limits: Free, EmptyWhen: empty,
			Description: "The chosen series that are gauges, such as the length of a queue or free space, as their exporters give them. What is right is for each to say: compare with earlier, and with the latency at the same moment.",
			Targets:     []Target{ofProbeBy("soakd_exporter_value", "series")},
		},
		{
			Title: "Counters of exporters", Unit: "short", EmptyWhen: empty,
			Description: "The increase a second of the chosen series that are counters, in the unit of each. One that stands still while the others move: that part gets nothing to do, or its exporter no news.",
			Targets:     []Target{{Query: worst(rate(probeSel("soakd_exporter_value_total")), "probe", "series"), Legend: "{{probe}} {{series}}"}},
		},
	}
}
