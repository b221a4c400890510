"""Out-of-sample results of a schedule: metrics, printed table and window_metrics.csv."""

import csv
import json
import math

import numpy as np
import pytest

from mm.backtest.models import queue_prob_power
from mm.calibration.calibrator import CalibrationConfig, Calibrator, FillsMeasured
from mm.calibration.windows import WindowPlan
from mm.walkforward.out_of_sample import COLUMNS, NEWER, lines, out_of_sample, read_segments, write_window_metrics
from mm.walkforward.walkforward import in_modes, study

POWER = FillsMeasured("queue_prob_power", {}, queue_prob_power)
PLAN = WindowPlan(train_window_min=20, step_min=10, latency_us=50_000)


@pytest.fixture(scope="module")
def compared(days, studied):
    """Return the tests of the study's segments by mode."""
    return in_modes(Calibrator(days, CalibrationConfig()), PLAN, studied)


def test_out_of_sample_matches_model_that_made_market(studied, compared):
    """Fills and distances agree with the predictions, in every mode."""
    metrics = out_of_sample(studied, compared)
    assert metrics["segments_tested"] == 10
    assert metrics["mode"] == "rolling"
    for row in (metrics, *metrics["modes"].values()):
        assert abs(row["ratio"] - 1) < 0.1
    assert metrics["modes"]["rolling"]["gain_over_used"] == 0
    assert metrics["modes"]["rolling"]["loglik_per_fill"] == metrics["loglik_per_fill"]
    inside = [row["ratio_low"] <= 1 <= row["ratio_high"] for row in metrics["by_delta"] if row["expected"] > 20]
    assert len(inside) > 5
    assert np.mean(inside) > 0.7
    json.dumps(metrics, allow_nan=False)


def test_gain_has_error_over_segments(studied, compared):
    """Scatter of segment differences around the mean difference per fill, written out."""
    row = out_of_sample(studied, compared)["modes"]["expanding"]
    fills = np.array([one.points.fills.sum() for one in studied.tests])
    gains = np.array([one.loglik - used.loglik for one, used in zip(compared["expanding"], studied.tests, strict=True)])
    mean = gains.sum() / fills.sum()
    assert row["gain_over_used"] == pytest.approx(mean)
    assert row["se_gain"] == pytest.approx(math.sqrt(10 / 9 * ((gains - mean * fills) ** 2).sum()) / fills.sum())


def test_printed_table_is_short(studied, compared):
    """Modes are printed where they were compared."""
    plain, printed = (list(lines(out_of_sample(studied, tests))) for tests in (None, compared))
    assert printed[0] == plain[0]
    assert printed[0].startswith("out of sample: ")
    assert [line.split()[0] for line in printed[2:7]] == ["rolling", "expanding", "ewma", "pooled_k", "static"]
    assert printed[7:] == plain[1:]
    assert printed[8].startswith("1 to 2 ")
    assert len(printed) < 20


def test_window_metrics_have_row_per_segment(tmp_path, studied):
    """Training, test and its likelihood, with the numbers of the schedule."""
    path = tmp_path / "window_metrics.csv"
    assert write_window_metrics(path, studied) == 10
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    for segment, own, row in zip(studied.schedule.segments, studied.fits, rows, strict=True):
        assert (float(row["A"]), float(row["k"])) == (segment.A, segment.k)
        assert float(row["k_low"]) < segment.k < float(row["k_high"])
        assert float(row["train_exposure_s"]) == own.fit.exposure_s
        assert float(row["test_ratio_low"]) < float(row["test_ratio"]) < float(row["test_ratio_high"])
        assert float(row["test_loglik_per_fill"]) == pytest.approx(float(row["test_loglik"]) / float(row["test_fills"]))
        assert row["usable"] == "true"
    observed, expected = (sum(float(row[name]) for row in rows) for name in ("test_fills", "test_expected"))
    assert abs(observed - expected) < 4 * (expected + expected**2 / 1000) ** 0.5


@pytest.mark.parametrize(
    "config",
    [
        CalibrationConfig(method="ladder", permutations=1, dwell_ms=5_000),
        CalibrationConfig(method="fixed", deltas=(1.0, 2.0, 4.0)),
        CalibrationConfig(method="fixed", deltas=(0.5, 1.5, 2.5), fills=POWER),
    ],
)
def test_simulated_orders_are_tested_as_they_were_measured(tmp_path, days, config):
    """Every method has expected and observed fills of its own kind of orders."""
    found = study(Calibrator(days[:1], config), PLAN)
    assert found.deltas == config.distances
    metrics = out_of_sample(found)
    assert metrics["fills"] > 100
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, found)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert all(float(row["test_expected"]) > 0 for row in rows)


def test_unusable_segments_have_empty_test_columns(tmp_path, days):
    """No fit is usable: exposure and fills are reported, predictions are empty."""
    empty = study(Calibrator(days[:1], CalibrationConfig(min_usable_deltas=900)), PLAN)
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, empty)
    (row, *_) = csv.DictReader(path.read_text().splitlines())
    assert (row["usable"], row["test_expected"], row["test_loglik"]) == ("false", "", "")
    assert float(row["test_fills"]) > 100
    assert list(lines(out_of_sample(empty))) == ["out of sample: no fills in segments with parameters"]


def test_window_metrics_of_earlier_version_are_read(tmp_path, studied):
    """Columns added later are missing; they are at the end or optional."""
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


def test_column_positions_are_stable(tmp_path, studied):
    """Scripts cut columns by number; new columns are appended."""
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, studied)
    header = path.read_text().splitlines()[0].split(",")
    found = [header[place - 1] for place in (1, 5, 6, 9, 11, 30, 31)]
    assert found == ["start_us", "A", "k", "n_fills", "status", "test_fills", "test_expected"]
    assert header[-1] == "adverse_ticks"
