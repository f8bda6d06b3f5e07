-- The one request, built once by wrk; and what it saw, as one line of JSON.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

done = function(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('\n{"requests":%d,"errors":%d,"p50":%d,"p99":%d,"p999":%d}\n', summary.requests,
		e.connect + e.read + e.write + e.status + e.timeout,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
