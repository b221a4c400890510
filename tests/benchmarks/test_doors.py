"""A short ``mm bench doors``: orders are acknowledged and a day is drawn, independent of the measured times."""

import pytest

from benchmarks import doors
from benchmarks.turns import PYTHON, run

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture(autouse=True)
def _extras():
    """Skip without them; at collection the imports would take every worker a second."""
    pytest.importorskip("fastapi", reason="fastapi is not installed: [api]")
    pytest.importorskip("streamlit", reason="streamlit is not installed: [dashboard]")


def test_orders_are_acknowledged():
    """The first orders are excluded from the times."""
    output = run([*PYTHON, "benchmarks.doors", "orders", "20"]).output
    assert 0 < output["p50_ms"] <= output["p99_ms"]
    assert 0 < output["server_p99_ms"] < output["p99_ms"] + 1
    assert output["server_ms"] > 0


def test_page_draws_day_with_all_its_rows(monkeypatch):
    """On a short day; every row of the table is complete."""
    orders = dict.fromkeys(("p50_ms", "p99_ms", "server_p99_ms", "health_p99_ms", "server_ms"), 1.0)
    real_run = doors.run

    def run_or_canned(command, **options):
        return type("ProcessResult", (), {"output": orders}) if "orders" in command else real_run(command, **options)

    monkeypatch.setattr(doors, "run", run_or_canned)
    measured = doors.measure(1, hours=0.05, orders=1)
    assert measured.facts["rows of the day"] > 1_000
    assert all(len(row.ours) == 1 and row.ours[0] > 0 for row in measured.rows)
    assert len(measured.lines("doors")) > 7
