#!/usr/bin/env bash
# Makes the results that the tests read, by the real tools against the reference API
# with a private Postgres and Redis, all on the loopback. Takes some five minutes. Needs
# locust, k6 and vegeta on PATH (see README.md for how they were built), and for JMeter
# JMETER="java -cp ... org.apache.jmeter.NewDriver" or jmeter on PATH. Arguments: which
# to make (locust k6 vegeta jmeter), all by default.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
root=$(git rev-parse --show-toplevel)
work=$(mktemp -d)
reference=
finish() {
	[[ -z $reference ]] || { kill "$reference" && wait "$reference"; } || true
	rm -rf "$work"
}
trap finish EXIT
(cd "$root" && go build -o "$work/refapi" ./internal/refapi/cmd/refapi && go build -o "$work/reference" ./bench/reference)
"$work/reference" -refapi "$work/refapi" >"$work/ready" &
reference=$!
until [[ -s $work/ready ]]; do kill -0 "$reference" && sleep 0.2; done
HOST=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["url"])' "$work/ready")
key=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["key"])' "$work/ready")
TOKEN=$(python3 tools/token.py "$key")
export HOST TOKEN

locust_run() { # folder, seconds, more arguments
	local folder=$1 seconds=$2
	shift 2
	rm -rf "$folder" && mkdir -p "$folder"
	locust -f tools/locustfile.py --headless -u 5 -r 5 -t "${seconds}s" --host "$HOST" --csv "$folder/run" --only-summary "$@" 2>&1 |
		sed -n '/^Type /,$p' >"$folder/printed.txt" || true # exit code 1: some requests failed
	sed -i "s|$here/||g" "$folder/run_exceptions.csv"
}

make_locust() {
	locust_run locust-2.12.1 40
	locust_run locust-2.12.1-full 120 --csv-full-history
	LOANS=8 locust_run locust-2.12.1-slower 120 --csv-full-history
	gzip -9nf locust-2.12.1-{full,slower}/run_stats_history.csv
}

make_k6() {
	rm -rf k6-1.8.1 && mkdir k6-1.8.1
	k6 run --quiet --no-usage-report -e SUMMARY=k6-1.8.1/handle-summary.json -e "HOST=$HOST" -e "TOKEN=$TOKEN" --summary-export k6-1.8.1/summary-export.json \
		--out csv=k6-1.8.1/run.csv --out json=k6-1.8.1/run.json tools/k6.js
	gzip -9nf k6-1.8.1/run.csv k6-1.8.1/run.json
}

make_vegeta() {
	rm -rf vegeta-12.13.0 && mkdir vegeta-12.13.0
	HOST=$HOST TOKEN=$TOKEN python3 tools/vegeta_targets.py |
		vegeta attack -format=json -name=reference -rate=20 -duration=35s -max-body=256 >vegeta-12.13.0/run.gob
	(
		cd vegeta-12.13.0
		vegeta encode -to csv run.gob >run.csv
		vegeta encode -to json run.gob >run.json
		vegeta report run.gob >printed.txt
		vegeta report -type=json run.gob >report.json
		gzip -9nf run.gob run.csv run.json
	)
}

make_jmeter() {
	local folder=jmeter-2.13
	rm -rf "$folder" && mkdir "$folder"
	${JMETER:-jmeter} -n -t tools/jmeter.jmx -l "$folder/run.jtl" -j "$work/jmeter.log" -Jport="${HOST##*:}" -Jtoken="$TOKEN" \
		-Jjmeter.save.saveservice.output_format=csv -Jjmeter.save.saveservice.print_field_names=true >"$folder/printed.txt" 2>&1
	cat "$work/jmeter.log" | grep -E 'summary' >>"$folder/printed.txt" || true
	gzip -9nf "$folder/run.jtl"
}

for tool in "${@:-locust k6 vegeta jmeter}"; do
	for one in $tool; do "make_$one"; done
done
