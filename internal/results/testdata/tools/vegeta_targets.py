"""Prints the reference API's mix as vegeta's targets in JSON: some fail, by design."""
import base64
import json
import os

HOST = os.environ["HOST"]
FORECAST = {
    "loans": [{"loan_type": "mortgage", "principal": 250000, "interest_rate": 0.045, "term_months": 360, "start_date": "2026-01-01"}],
    "discount_rate": 0.05,
}


def target(method, path, body=None):
    one = {"method": method, "url": HOST + path, "header": {"Authorization": ["Bearer " + os.environ["TOKEN"]]}}
    if body is not None:
        one["header"]["Content-Type"] = ["application/json"]
        one["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    print(json.dumps(one))


for turn in range(35):
    for extra in range(8):
        target("POST", "/api/v1/cashflow/forecast", dict(FORECAST, forecast_months=12 + 8 * turn % 100 + extra))
    for _ in range(2):
        target("GET", "/health")
        target("POST", "/api/v1/cashflow/forecast", dict(FORECAST, forecast_months=60, run_monte_carlo=True, monte_carlo_iterations=500))
    for _ in range(3):
        target("POST", "/api/v1/cashflow/scenario/save", {"name": "a scenario", "forecast_params": dict(FORECAST, forecast_months=60)})
        target("GET", "/api/v1/cashflow/scenarios?limit=5")
    target("GET", "/api/v1/cashflow/scenario/00000000-0000-7000-8000-000000000000")
    target("GET", "/health?again")
