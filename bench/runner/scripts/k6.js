// The one request, paced or by users without a pause; what k6 saw goes to a file.
import http from 'k6/http';

const body = open(__ENV.BENCH_BODY);
const params = { headers: { 'Content-Type': 'application/json' }, timeout: '10s' };
const vus = Number(__ENV.BENCH_CONNECTIONS);
const rate = Number(__ENV.BENCH_RATE || 0);

export const options = {
  scenarios: {
    bench: rate > 0
      ? { executor: 'constant-arrival-rate', rate: rate, timeUnit: '1s', duration: __ENV.BENCH_DURATION, preAllocatedVUs: vus, maxVUs: vus, gracefulStop: '10s' }
      : { executor: 'constant-vus', vus: vus, duration: __ENV.BENCH_DURATION, gracefulStop: '10s' },
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};

export default function () {
  http.post(__ENV.BENCH_URL, body, params);
}

export function handleSummary(data) {
  return { [__ENV.BENCH_OUT]: JSON.stringify(data.metrics) };
}
