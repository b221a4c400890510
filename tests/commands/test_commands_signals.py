"""``mm signals list | compute | score`` on a generated day: contents of their files, and rejected calls."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mm import DayFolder, load_day
from mm.signals.compute import compute
from mm.signals.families import SIGNALS
from simulation import simulate_day
from support import run_python

NAMES = "spread,imbalance_5,momentum_10s"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Return a folder with two days under ``data``."""
    root = tmp_path_factory.mktemp("desk")
    for number, day in enumerate(("20260105", "20260106")):
        simulate_day(root / "data", "zero_intelligence", hours=0.05, seed=3 + number, symbol="ZIUSDT", day=day)
    return root


def signals(desk, *words, day="20260106"):
    """Run a command of ``mm signals`` on a day, and return the process."""
    return run_python("-m", "mm", "signals", *words, cwd=desk, SYMBOL="ZIUSDT", DAY=day)


@pytest.mark.slow
def test_list_names_every_usual_signal(desk):
    listed = json.loads(signals(desk, "list", "--json").stdout)["signals"]
    assert {name for family in listed for name in family["usual"]} == set(SIGNALS.usual)


@pytest.mark.slow
def test_compute_writes_a_column_per_signal_with_nulls_where_undefined(desk):
    done = signals(desk, "compute", "--signals", f"{NAMES},micro_price", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    table = pq.read_table(answer["path"])
    assert table.column_names == ["recv_us", "recv_seq", *NAMES.split(","), "micro_price"]
    (piece,) = compute(load_day(DayFolder(desk / "data", "ZIUSDT", "20260106")), NAMES.split(","))
    for name, values in zip(NAMES.split(","), piece.values, strict=True):
        assert table[name].to_pylist() == [None if math.isnan(value) else value for value in values.tolist()]
    assert table["momentum_10s"].null_count > 0
    assert answer["rows"] == len(table)
    assert answer["known"]["spread"] == len(table) - table["spread"].null_count
    assert answer["micro_price"]["20260106"]["days"] == ["20260105"]
    assert table.schema.field("spread").metadata[b"unit"] == b"ticks"


@pytest.mark.slow
def test_scores_have_an_interval_a_half_life_and_a_page(desk):
    done = signals(desk, "score", "--signals", NAMES, "--json")
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout)["path"])
    content = json.loads(path.read_text())
    assert {score["signal"] for score in content["scores"]} == set(NAMES.split(","))
    known = [score for score in content["scores"] if score["rho"] is not None]
    assert known
    assert all(score["ci95"][0] <= score["rho"] <= score["ci95"][1] for score in known if score["ci95"])
    assert set(content["half_life_s"]) == set(NAMES.split(","))
    assert "imbalance_5" in (path.parent / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "day", "code", "message"),
    [
        (("compute", "--signals", "imbalanced_5"), "20260106", 2, "unknown signal 'imbalanced_5'"),
        (("compute", "--signals", "spread,spread"), "20260106", 2, "twice"),
        (("compute", "--signals", "imbalance_21"), "20260106", 2, "21 levels"),
        (("score", "--signals", "spread"), "20260106,20260109", 2, "scored on one day"),
        (("compute", "--signals", "spread"), "20260107", 3, "20260107"),
    ],
)
def test_invalid_call_gives_one_line(desk, words, day, code, message):
    done = signals(desk, *words, day=day)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""
