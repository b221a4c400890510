"""``mm bench doors`` for a moment: orders are answered and a day is drawn, whatever the times are."""

import pytest

from benchmarks import doors
from benchmarks.turns import PYTHON, run

pytest.importorskip("fastapi", reason="fastapi is not installed: [api]")
pytest.importorskip("streamlit", reason="streamlit is not installed: [dashboard]")


def test_orders_are_answered():
    """Each number is of the orders behind the first ones."""
    said = run([*PYTHON, "benchmarks.doors", "orders", "20"]).said
    assert 0 < said["p50_ms"] <= said["p99_ms"]
    assert 0 < said["server_p99_ms"] < said["p99_ms"] + 1
    assert said["server_ms"] > 0


def test_a_day_is_drawn_with_all_its_rows(monkeypatch):
    """A short one; every row of the table is whole."""
    orders = dict.fromkeys(("p50_ms", "p99_ms", "server_p99_ms", "health_p99_ms", "server_ms"), 1.0)
    real = doors.run

    def played(command, **options):
        return type("Ran", (), {"said": orders}) if "orders" in command else real(command, **options)

    monkeypatch.setattr(doors, "run", played)
    measured = doors.measure(1, hours=0.05, orders=1)
    assert measured.facts["rows of the day"] > 1_000
    assert all(len(row.ours) == 1 and row.ours[0] > 0 for row in measured.rows)
    assert len(measured.lines("doors")) > 7
