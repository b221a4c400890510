"""The table of predicted over observed fills: its counts, and that fits under a model predict its fills."""

import numpy as np
import pytest

from benchmarks import fills_measured
from mm.backtest.models import FILL_MODELS

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_fit_under_model_predicts_its_fills(monkeypatch):
    """With the fit under the model, no row of 100 fills is off by a tenth, including distances outside the fit."""
    monkeypatch.setattr(fills_measured, "MODELS", ("queue_risk_averse", "hybrid"))
    monkeypatch.setattr(fills_measured, "CLIPS", (1,))
    monkeypatch.setattr(fills_measured, "QUOTED", (0.5, 4.0))
    market = fills_measured.Market(
        "an hour", fills_measured.simulated(fills_measured.FLOWS["Poisson flow"][0], 1), 10**8
    )
    head, *rows = fills_measured.lines(market)
    verdicts = ["outside", "failed"]
    assert head.split() == ["fill", "model", "clips", "rows", "fills", "default", "δ", *verdicts, "marks", *verdicts]
    assert [row.split()[0] for row in rows] == ["queue_risk_averse", "hybrid"]
    for row in rows:
        _, clips, count, fills, lowest, _, highest, outside, failed, *marks, marks_outside, _ = row.split()
        assert (clips, outside, failed) == ("1", "0", "0")
        assert int(fills.replace(",", "")) >= 100 * int(count)
        assert 0.9 < float(lowest) <= float(highest) < 1.1
        assert int(marks_outside) > 0 or float(marks[0]) < float(lowest)


def test_fit_of_first_half_predicts_second_half(monkeypatch):
    """The halves share no event; ratios are relative to a level, which is near 1 if the flow does not change."""
    monkeypatch.setattr(fills_measured, "MODELS", ("trade_cross",))
    monkeypatch.setattr(fills_measured, "CLIPS", (1,))
    monkeypatch.setattr(fills_measured, "QUOTED", (0.5, 4.0))
    market = fills_measured.Market(
        "an hour", fills_measured.simulated(fills_measured.FLOWS["Poisson flow"][0], 1), 10**8
    ).halves()
    assert market.tape.end_us == market.later.start_us
    _, row = fills_measured.lines(market)
    _, _, _, _, lowest, _, highest, outside, failed, level, *_ = row.split()
    assert (outside, failed) == ("0", "0")
    assert float(lowest) <= 1 <= float(highest)
    assert 0.9 < float(level) < 1.1


def test_row_fails_if_its_complete_interval_is_outside():
    """A ratio outside is not enough; both are relative to the level, if there is one."""
    row = {"fills": 100, "predicted": 130.0, "ratio_low": 0.6, "ratio_high": 0.95}
    wide, none = fills_measured.Compared.of(row), fills_measured.Compared.of(row | {"ratio_low": 0.0})
    narrow = fills_measured.Compared.of(row | {"ratio_high": 0.85})
    short = fills_measured.Compared.of(row | {"ratio_low": None, "ratio_high": None})
    assert [one.outside(1.0) for one in (wide, none, narrow, short)] == [True] * 4
    assert [one.failed(1.0) for one in (wide, none, narrow, short)] == [False, False, True, True]
    assert not narrow.failed(1.2)
    assert (none.low, none.high) == (1 / 0.95, float("inf"))


def test_noise_of_independent_fills_is_poisson():
    """130 Poisson fills are off by a tenth by chance once in four, 10,000 never; a row of 50 is not evaluated."""
    random = np.random.default_rng(1)
    predicted = np.tile([0.5, 1.3, 100.0], (100, 1))
    noise = [fills_measured.by_noise(random.poisson(predicted).astype(np.float64), predicted) for _ in range(9)]
    assert 0.15 < np.mean(noise) < 0.4


def test_blocks_sum_to_rows_of_summary():
    """Sums over all blocks equal the fills and the predicted fills of each row."""
    tape = fills_measured.simulated(fills_measured.FLOWS["Poisson flow"][0], 0.5)
    fills = fills_measured.FillsMeasured("queue_risk_averse", {}, FILL_MODELS["queue_risk_averse"])
    fit = fills_measured.fitted(tape, fills, 10**8)
    result = fills_measured.played(tape, fills, 10**8, "glft", fit)
    observed, predicted = fills_measured.by_block(result, fit)
    rows = result.summary["fills_by_distance"]
    assert observed.sum(axis=0).tolist() == [row["fills"] for row in rows]
    assert predicted.sum(axis=0) == pytest.approx([row["predicted"] for row in rows])
