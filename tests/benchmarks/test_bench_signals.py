"""``mm bench signals``: a row for each usual signal, measured on the day that is named."""

import json

import pytest

from benchmarks import signals as bench
from benchmarks.turns import Bench
from mm.dayfolder.layout import DayFolder
from mm.signals.families import SIGNALS
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import ZeroIntelligence
from mm.sim.flow.session import Session


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    root = tmp_path_factory.mktemp("day")
    folder = DayFolder(root, "ZIUSDT", "20260105")
    make_day(folder, ZeroIntelligence(), Session("ZIUSDT", "20260105", 0.03, 3))
    return folder


def test_each_usual_signal_has_a_row_beside_the_book(day, tmp_path):
    found = bench.measure(Bench(day, tmp_path, 1))
    assert [row.name for row in found.rows] == [name for name in SIGNALS.usual if name != "micro_price"]
    assert all(row.ours[0] > 0 for row in found.rows)
    assert next(row.ratio for row in found.rows if row.name == bench.BARE) == 1
    assert found.facts["slowest"] in SIGNALS.usual
    assert json.loads(json.dumps(found.to_json()))["facts"]["events"] > 100
