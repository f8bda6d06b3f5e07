// The reference API's mix for k6: some of the requests fail, by design.
import http from 'k6/http';
import { check } from 'k6';

const token = __ENV.TOKEN, host = __ENV.HOST;
const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
const forecast = {
  loans: [{ loan_type: 'mortgage', principal: 250000, interest_rate: 0.045, term_months: 360, start_date: '2026-01-01' }],
  discount_rate: 0.05, forecast_months: 60,
};

export const options = {
  scenarios: {
    mix: { executor: 'constant-arrival-rate', rate: 20, timeUnit: '1s', duration: '35s', preAllocatedVUs: 5, maxVUs: 20, exec: 'mix' },
  },
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)'],
};

export function mix() {
  const draw = Math.random();
  if (draw < 0.1) {
    http.get(`${host}/health`);
  } else if (draw < 0.5) {
    const body = Object.assign({}, forecast, { forecast_months: 12 + Math.floor(100 * Math.random()) });
    const answer = http.post(`${host}/api/v1/cashflow/forecast`, JSON.stringify(body), { headers, tags: { name: 'forecast' } });
    check(answer, { 'has periods': (r) => r.json('periods') !== undefined });
  } else if (draw < 0.6) {
    const body = Object.assign({}, forecast, { run_monte_carlo: true, monte_carlo_iterations: 500 });
    http.post(`${host}/api/v1/cashflow/forecast`, JSON.stringify(body), { headers, tags: { name: 'forecast, Monte Carlo' } });
  } else if (draw < 0.75) {
    http.post(`${host}/api/v1/cashflow/scenario/save`, JSON.stringify({ name: 'a scenario', forecast_params: forecast }), { headers, tags: { name: 'save' } });
  } else if (draw < 0.95) {
    http.get(`${host}/api/v1/cashflow/scenarios?limit=5`, { headers, tags: { name: 'scenarios' } });
  } else {
    http.get(`${host}/api/v1/cashflow/scenario/00000000-0000-7000-8000-000000000000`, { headers, tags: { name: 'missing scenario' } });
  }
}

export function handleSummary(data) {
  return { [__ENV.SUMMARY]: JSON.stringify(data, null, 1) };
}
