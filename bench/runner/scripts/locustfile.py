"""The one request, sent without a pause by Locust's two kinds of users."""
import os

from locust import FastHttpUser, HttpUser, task

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
