"""The table of a schedule's windows, window_metrics.csv."""

import csv

import numpy as np
import pytest

from calibrators import calibrator_of, config_of
from mm import CalibrationConfig, WindowPlan
from mm.walkforward.walkforward import study
from mm.walkforward.window_metrics import COLUMNS, NEWER, read_segments, write_window_metrics

PLAN = WindowPlan(train_window_min=20, step_min=10, latency_us=50_000)


def test_window_metrics_have_row_per_segment(tmp_path, studied):
    """The training, with the numbers of the schedule."""
    path = tmp_path / "window_metrics.csv"
    assert write_window_metrics(path, studied) == 10
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    for segment, own, row in zip(studied.schedule.segments, studied.fits, rows, strict=True):
        assert (float(row["A"]), float(row["k"])) == (segment.A, segment.k)
        assert float(row["k_low"]) < segment.k < float(row["k_high"])
        assert float(row["train_exposure_s"]) == own.fit.exposure_s
        assert row["usable"] == "true"


@pytest.mark.parametrize(
    "config",
    [
        CalibrationConfig(reference="mid", method="ladder", permutations=1, dwell_ms=5_000),
        CalibrationConfig(reference="mid", method="fixed", deltas=(1.0, 2.0, 4.0)),
        config_of(method="fixed", deltas=(0.5, 1.5, 2.5), fills="queue_prob_power"),
    ],
)
def test_windows_of_simulated_orders_have_exposure_and_fills(tmp_path, days, config):
    """Every method measures its own kind of orders, in every window."""
    found = study(calibrator_of(days[:1], config), PLAN)
    assert found.deltas == config.distances
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, found)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert all(float(row["train_exposure_s"]) > 0 and float(row["n_fills"]) > 25 for row in rows)


def test_unusable_segments_have_empty_parameters(tmp_path, days):
    """No fit is usable: exposure and fills of the training are reported."""
    empty = study(calibrator_of(days[:1], CalibrationConfig(reference="mid", min_usable_deltas=900)), PLAN)
    path = tmp_path / "window_metrics.csv"
    write_window_metrics(path, empty)
    (row, *_) = csv.DictReader(path.read_text().splitlines())
    assert (row["usable"], row["A"], row["k"]) == ("false", "", "")
    assert float(row["n_fills"]) > 100


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
    found = [header[place - 1] for place in (1, 5, 6, 9, 11)]
    assert found == ["start_us", "A", "k", "n_fills", "status"]
    assert header[-3:] == ["adverse_ticks", "A_shrunk", "k_shrunk"]
