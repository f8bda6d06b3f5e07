"""The one request, sent without a pause by Locust's two kinds of users."""
import json
import os

from locust import FastHttpUser, HttpUser, events, task

with open(os.environ["BENCH_BODY"], "rb") as file:
    BODY = file.read()
HEADERS = {"Content-Type": "application/json"}


class Fast(FastHttpUser):
    @task
    def post(self):
        self.client.post("/bench", data=BODY, headers=HEADERS)


class Plain(HttpUser):
    @task
    def post(self):
        self.client.post("/bench", data=BODY, headers=HEADERS)


@events.quitting.add_listener
def write(environment, **_):
    """Its CSV files may be seconds old at the end; this is what it has counted."""
    total = environment.stats.total
    micros = {name: 1000 * total.get_response_time_percentile(part)
              for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999))}
    with open(os.environ["BENCH_OUT"], "w") as out:
        json.dump({"requests": total.num_requests, "errors": total.num_failures, **micros}, out)
