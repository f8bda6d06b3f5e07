"""Prints the header lines that Locust's own code writes, as JSON.

Made with Locust 2.12.1 of Debian 12 (package python3-locust):
    /usr/bin/python3 locust-columns.py >locust-columns.json
"""
import csv
import io
import json

from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSVFileWriter
import tempfile

with tempfile.TemporaryDirectory() as folder:
    w = StatsCSVFileWriter(Environment(), PERCENTILES_TO_REPORT, folder + "/x")
    w.close_files()


def line(columns):
    out = io.StringIO(newline="")
    csv.writer(out).writerow(columns)
    return out.getvalue().rstrip("\n")


print(json.dumps({
    "stats": line(w.requests_csv_columns),
    "stats_history": line(w.stats_history_csv_columns),
    "failures": line(w.failures_columns),
    "exceptions": line(w.exceptions_columns),
}, indent=1))
