"""The reference API's mix for Locust: some of the requests fail, by design.

LOANS sets how much a simulation costs, so that a second run can be slower; TOKEN is a
bearer token.
"""
import os
import random

from locust import HttpUser, constant_pacing, task

FORECAST = {
    "loans": [{"loan_type": "mortgage", "principal": 250000, "interest_rate": 0.045, "term_months": 360, "start_date": "2026-01-01"}],
    "discount_rate": 0.05,
    "forecast_months": 60,
}
HEADERS = {"Authorization": "Bearer " + os.environ["TOKEN"]}
LOANS = int(os.environ.get("LOANS", "1"))


class User(HttpUser):
    wait_time = constant_pacing(0.25)

    @task(2)
    def health(self):
        self.client.get("/health")

    @task(8)
    def forecast(self):
        body = dict(FORECAST, forecast_months=random.randint(12, 120))
        self.client.post("/api/v1/cashflow/forecast", json=body, headers=HEADERS, name="forecast")

    @task(2)
    def monte_carlo(self):
        loan = dict(FORECAST["loans"][0], rate_type="variable", rate_adjustment_period=12)
        body = dict(FORECAST, loans=[loan] * LOANS, forecast_months=360, run_monte_carlo=True, monte_carlo_iterations=500)
        self.client.post("/api/v1/cashflow/forecast", json=body, headers=HEADERS, name="forecast, Monte Carlo")

    @task(3)
    def save(self):
        body = {"name": "a scenario", "forecast_params": FORECAST}
        self.client.post("/api/v1/cashflow/scenario/save", json=body, headers=HEADERS, name="save")

    @task(3)
    def scenarios(self):
        self.client.get("/api/v1/cashflow/scenarios?limit=5", headers=HEADERS, name="scenarios")

    @task(1)
    def missing(self):
        self.client.get("/api/v1/cashflow/scenario/00000000-0000-7000-8000-000000000000", headers=HEADERS, name="missing scenario")

    @task(1)
    def raises(self):
        raise ValueError('a mistake of the test\'s own, with "quotes", commas and\na second line')
