"""``mm bench signals``: one row per default signal, measured on the given day."""

import json

import pytest

from benchmarks import signals as bench
from benchmarks.turns import Bench
from mm.signals.families import SIGNALS
from simulation import simulate_day

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    root = tmp_path_factory.mktemp("day")
    return simulate_day(root, "zero_intelligence", hours=0.03, seed=3, symbol="ZIUSDT")


def test_measure_compares_each_default_signal_with_book(day, tmp_path):
    measured = bench.measure(Bench(day, tmp_path, 1))
    assert [row.name for row in measured.rows] == [name for name in SIGNALS.usual if name != "micro_price"]
    assert all(row.ours[0] > 0 for row in measured.rows)
    assert next(row.ratio for row in measured.rows if row.name == bench.BARE) == 1
    assert measured.facts["slowest"] in SIGNALS.usual
    assert json.loads(json.dumps(measured.to_json()))["facts"]["events"] > 100
