"""Every window in every mode, and each segment tested on what it had not seen."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from mm.backtest.io import load_day
from mm.calibration.meter import Meter
from mm.calibration.recipe import Recipe
from mm.calibration.schedule import build_schedule
from mm.calibration.windows import MODES, Plan
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session
from mm.walkforward.checkpoint import Checkpoint
from mm.walkforward.out_of_sample import lines, out_of_sample
from mm.walkforward.study import study
from mm.walkforward.window_metrics import COLUMNS, write_window_metrics

PLAN = Plan(train_window_min=20, step_min=10, latency_us=50_000)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory):
    """Two busy sessions of one model, of an hour each."""
    folders = [DayFolder(Path(tmp_path_factory.mktemp("sim")), "SIMUSDT", f"2026010{day}") for day in (5, 6)]
    for seed, folder in enumerate(folders):
        make_day(folder, PoissonMarket(A_per_s=1.0, k_per_tick=0.4), Session("SIMUSDT", folder.day, 1.0, 70 + seed))
    return [load_day(folder) for folder in folders]


@pytest.fixture(scope="module")
def studied(days):
    return study(Meter(days, Recipe()), PLAN)


def test_the_schedule_is_the_one_that_is_built_without_tests(days, studied):
    """Modes beside the used one and tests change nothing in it."""
    assert studied.schedule == build_schedule(Meter(days, Recipe()), PLAN)
    assert len(studied.schedule.segments) == len(studied.tests) == len(studied.fits) == 4 + 6


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_beside_is_the_schedule_in_that_mode(days, mode):
    """What the comparison says of a mode is what a schedule in that mode would foresee."""
    meter = Meter(days[:1], Recipe())
    beside = study(meter, Plan(20, 10, 50_000))
    used = study(meter, Plan(20, 10, 50_000, mode))
    assert used.schedule.mode == mode
    for one, other in zip(beside.tests, used.tests, strict=True):
        assert one.foreseen[mode] == pytest.approx(other.foreseen[mode])
        assert one.loglik[mode] == pytest.approx(other.loglik[mode])


def test_what_the_model_foresees_comes(studied):
    """The market is the model: fills, distances and waiting times agree with what was foreseen."""
    found = out_of_sample(studied)
    assert found["segments_compared"] == 10
    assert found["mode"] == "rolling"
    for row in found["modes"].values():
        assert abs(row["ratio"] - 1) < 0.1
    assert found["modes"]["rolling"]["gain_over_used"] == 0
    inside = [row["ratio_low"] <= 1 <= row["ratio_high"] for row in found["by_delta"] if row["expected"] > 20]
    assert len(inside) > 5
    assert np.mean(inside) > 0.7
    clock = found["time_rescaling"]
    assert clock["p"] > 0.001
    assert clock["n"] == sum(side["n"] for side in clock["sides"].values())
    assert clock["n"] == found["fills_compared"]
    json.dumps(found, allow_nan=False)


def test_a_gain_has_the_error_of_its_segments(studied):
    """By hand: differences by segment, their scatter around the mean difference per fill."""
    found = out_of_sample(studied)
    row = found["modes"]["expanding"]
    fills = np.array([one.points.fills.sum() for one in studied.tests])
    gains = np.array([one.loglik["expanding"] - one.loglik["rolling"] for one in studied.tests])
    mean = gains.sum() / fills.sum()
    assert row["gain_over_used"] == pytest.approx(mean)
    assert row["se_gain"] == pytest.approx(math.sqrt(10 / 9 * ((gains - mean * fills) ** 2).sum()) / fills.sum())


def test_a_person_reads_a_small_table(studied):
    told = list(lines(out_of_sample(studied)))
    assert told[0].startswith("out of sample: ")
    assert [line.split()[0] for line in told[2:7]] == ["rolling", "expanding", "ewma", "pooled_k", "static"]
    assert told[8].startswith("1 to 2 ")
    assert "Kolmogorov-Smirnov" in told[-1]
    assert len(told) < 20


def test_window_metrics_have_a_row_for_each_segment(tmp_path, studied):
    """Training, test, every mode's likelihood and the clock, with the schedule's own numbers."""
    path = tmp_path / "window_metrics.csv"
    assert write_window_metrics(path, studied) == 10
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    for segment, own, row in zip(studied.schedule.segments, studied.fits, rows, strict=True):
        assert (float(row["A"]), float(row["k"])) == (segment.A, segment.k)
        assert float(row["k_low"]) < segment.k < float(row["k_high"])
        assert float(row["train_exposure_s"]) == own.fit.exposure_s
        assert float(row["test_ratio_low"]) < float(row["test_ratio"]) < float(row["test_ratio_high"])
        assert float(row["test_loglik"]) == float(row["test_loglik_rolling"])
        assert float(row["test_loglik_per_fill"]) == pytest.approx(float(row["test_loglik"]) / float(row["test_fills"]))
        assert int(row["waits"]) == float(row["test_fills"])
        assert 0 <= float(row["ks_p"]) <= 1
        assert row["usable"] == "true"
    seen, expected = (sum(float(row[name]) for row in rows) for name in ("test_fills", "test_expected"))
    assert abs(seen - expected) < 4 * (expected + expected**2 / 1000) ** 0.5


def test_segments_without_parameters_leave_their_tests_empty(tmp_path, days):
    """No fit is usable here: exposure and fills are told, and nothing was foreseen."""
    empty = study(Meter(days[:1], Recipe(min_usable_deltas=900)), PLAN)
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, empty)
    (row, *_) = csv.DictReader(path.read_text().splitlines())
    assert (row["usable"], row["test_expected"], row["test_loglik"], row["ks_p"]) == ("false", "", "", "")
    assert float(row["test_fills"]) > 100
    assert list(lines(out_of_sample(empty))) == ["out of sample: no fills in segments that every mode could foresee"]


@pytest.mark.parametrize("method", ["marks", "ladder", "fixed"])
def test_what_is_known_is_not_fitted_again(tmp_path, days, monkeypatch, method):
    """A second study from the checkpoint of the first: the same to the last bit, without a fit and without a run."""
    recipe = Recipe(method=method, deltas=(1.0, 2.0, 4.0), min_usable_deltas=2)
    known = Checkpoint(tmp_path)
    first = study(Meter(days[:1], recipe, keep=known.played), PLAN, memory=known)
    plain = study(Meter(days[:1], recipe), PLAN)
    monkeypatch.setattr("mm.calibration.windows.WindowFitter.one", None)
    monkeypatch.setattr("mm.calibration.simulated._play", None)
    again = Checkpoint(tmp_path)
    second = study(Meter(days[:1], recipe, keep=again.played), PLAN, memory=again)
    for number, one in enumerate((first, second, plain)):
        path = tmp_path / f"{number}.csv"
        write_window_metrics(path, one)
        assert one.schedule == first.schedule
        assert path.read_bytes() == (tmp_path / "0.csv").read_bytes()
        assert out_of_sample(one) == out_of_sample(first)


def test_progress_is_told_window_by_window(days):
    told = []
    study(Meter(days[:1], Recipe()), PLAN, step=told.append)
    assert told == [1] * 4
