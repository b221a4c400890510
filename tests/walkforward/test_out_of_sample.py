"""The files of a schedule on data that it has not seen: what they hold."""

import csv
import json
import math

import numpy as np
import pytest

from mm.backtest.models import queue_prob_power
from mm.calibration.calibrator import CalibrationConfig, Calibrator, FillsMeasured
from mm.calibration.windows import WindowPlan
from mm.walkforward.out_of_sample import COLUMNS, NEWER, lines, out_of_sample, read_segments, write_window_metrics
from mm.walkforward.walkforward import study

POWER = FillsMeasured("queue_prob_power", {}, queue_prob_power)
PLAN = WindowPlan(train_window_min=20, step_min=10, latency_us=50_000)


def test_what_the_model_foresees_comes(studied):
    """The market is the model: fills, distances and waiting times agree with what was predicted."""
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
    assert [line.split()[0] for line in told[2:8]] == [
        "rolling",
        "expanding",
        "ewma",
        "pooled_k",
        "state_space",
        "static",
    ]
    assert told[9].startswith("1 to 2 ")
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


@pytest.mark.parametrize(
    "config",
    [
        CalibrationConfig(method="ladder", permutations=1, dwell_ms=5_000),
        CalibrationConfig(method="fixed", deltas=(1.0, 2.0, 4.0)),
        CalibrationConfig(method="fixed", deltas=(0.5, 1.5, 2.5), fills=POWER),
    ],
)
def test_rates_of_simulated_orders_have_no_clock(tmp_path, days, config):
    """Sweeps are not the events whose intensity they are: nothing is printed or drawn, and no number is written."""
    found = study(Calibrator(days[:1], config), PLAN)
    assert found.deltas == config.distances
    unseen = out_of_sample(found)
    clocks = [unseen["time_rescaling"], *unseen["time_rescaling"]["sides"].values()]
    assert [(one["n"], one["mean_wait"], one["ks"], one["p"]) for one in clocks] == [(0, None, None, None)] * 3
    assert unseen["fills_compared"] > 100
    assert not any("waiting times" in line for line in lines(unseen))
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, found)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {(row["waits"], row["mean_wait"], row["ks_p"]) for row in rows} == {("0", "", "")}
    assert all(float(row["test_expected"]) > 0 for row in rows)


def test_segments_without_parameters_leave_their_tests_empty(tmp_path, days):
    """No fit is usable here: exposure and fills are told, and nothing was predicted."""
    empty = study(Calibrator(days[:1], CalibrationConfig(min_usable_deltas=900)), PLAN)
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, empty)
    (row, *_) = csv.DictReader(path.read_text().splitlines())
    assert (row["usable"], row["test_expected"], row["test_loglik"], row["ks_p"]) == ("false", "", "", "")
    assert float(row["test_fills"]) > 100
    assert list(lines(out_of_sample(empty))) == ["out of sample: no fills in segments that every mode could predict"]


def test_a_table_of_an_earlier_version_is_read(tmp_path, studied):
    """It lacks the columns that came later, which stand behind the others or hold nothing that is needed."""
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, studied)
    whole = read_segments(path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    kept = [name for name in rows[0] if name not in NEWER]
    path.write_text("\n".join(",".join(row) for row in (kept, *([one[name] for name in kept] for one in rows))) + "\n")
    older = read_segments(path)
    assert older.numbers["k"].tolist() == whole.numbers["k"].tolist()
    assert np.isnan(older.numbers["adverse_ticks"]).all()
    assert not np.isnan(whole.numbers["adverse_ticks"]).all()


def test_scripts_that_count_columns_find_them_where_they_were(tmp_path, studied):
    """docs/tour.md cuts the file; what is new stands behind."""
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, studied)
    header = path.read_text().splitlines()[0].split(",")
    found = [header[place - 1] for place in (1, 5, 6, 9, 11, 30, 31)]
    assert found == ["start_us", "A", "k", "n_fills", "status", "test_fills", "test_expected"]
    assert header[-1] == "adverse_ticks"
