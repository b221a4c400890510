"""The table of predicted over seen fills: what it counts, and that fits under a model predict its fills."""

import numpy as np
import pytest

from benchmarks import fills_measured
from mm.backtest.models import FILL_MODELS


def test_fits_under_a_model_predict_its_fills(monkeypatch):
    """No row of 100 fills a tenth off by the fit under the model, at distances that it was not measured at as well."""
    monkeypatch.setattr(fills_measured, "MODELS", ("queue_risk_averse", "hybrid"))
    monkeypatch.setattr(fills_measured, "CLIPS", (1,))
    monkeypatch.setattr(fills_measured, "QUOTED", (0.5, 4.0))
    market = fills_measured.Market(
        "an hour", fills_measured.simulated(fills_measured.FLOWS["Poisson flow"][0], 1), 10**8
    )
    head, *rows = fills_measured.lines(market)
    judged = ["outside", "failed"]
    assert head.split() == ["fill", "model", "clips", "rows", "fills", "default", "δ", *judged, "marks", *judged]
    assert [row.split()[0] for row in rows] == ["queue_risk_averse", "hybrid"]
    for row in rows:
        _, clips, count, fills, least, _, most, outside, failed, *marks, off, _ = row.split()
        assert (clips, outside, failed) == ("1", "0", "0")
        assert int(fills.replace(",", "")) >= 100 * int(count)
        assert 0.9 < float(least) <= float(most) < 1.1
        assert int(off) > 0 or float(marks[0]) < float(least)


def test_the_second_half_is_predicted_by_fits_of_the_first(monkeypatch):
    """The halves share no event, and ratios are over a level, which is near 1 where the flow does not change."""
    monkeypatch.setattr(fills_measured, "MODELS", ("trade_cross",))
    monkeypatch.setattr(fills_measured, "CLIPS", (1,))
    monkeypatch.setattr(fills_measured, "QUOTED", (0.5, 4.0))
    market = fills_measured.Market(
        "an hour", fills_measured.simulated(fills_measured.FLOWS["Poisson flow"][0], 1), 10**8
    ).halves()
    assert market.tape.end_us == market.later.start_us
    _, row = fills_measured.lines(market)
    _, _, _, _, least, _, most, outside, failed, level, *_ = row.split()
    assert (outside, failed) == ("0", "0")
    assert float(least) <= 1 <= float(most)
    assert 0.9 < float(level) < 1.1


def test_a_row_fails_where_its_whole_interval_is_outside():
    """Not where its ratio alone is; over a level, where there is one."""
    row = {"fills": 100, "predicted": 130.0, "ratio_low": 0.6, "ratio_high": 0.95}
    wide, none = fills_measured.Compared.of(row), fills_measured.Compared.of(row | {"ratio_low": 0.0})
    narrow = fills_measured.Compared.of(row | {"ratio_high": 0.85})
    short = fills_measured.Compared.of(row | {"ratio_low": None, "ratio_high": None})
    assert [one.outside(1.0) for one in (wide, none, narrow, short)] == [True] * 4
    assert [one.failed(1.0) for one in (wide, none, narrow, short)] == [False, False, True, True]
    assert not narrow.failed(1.2)
    assert (none.low, none.high) == (1 / 0.95, float("inf"))


def test_noise_of_independent_fills_is_that_of_their_count():
    """Of 130 Poisson fills it is a tenth off by chance once in four, of 10,000 never; a row of 50 is not judged."""
    random = np.random.default_rng(1)
    predicted = np.tile([0.5, 1.3, 100.0], (100, 1))
    noise = [fills_measured.by_noise(random.poisson(predicted).astype(np.float64), predicted) for _ in range(9)]
    assert 0.15 < np.mean(noise) < 0.4


def test_blocks_hold_the_rows_of_the_summary():
    """Fills and predicted fills of each row, over all blocks."""
    tape = fills_measured.simulated(fills_measured.FLOWS["Poisson flow"][0], 0.5)
    fills = fills_measured.FillsMeasured("queue_risk_averse", {}, FILL_MODELS["queue_risk_averse"])
    fit = fills_measured.fitted(tape, fills, 10**8)
    result = fills_measured.played(tape, fills, 10**8, "glft", fit)
    seen, predicted = fills_measured.by_block(result, fit)
    rows = result.summary["fills_by_distance"]
    assert seen.sum(axis=0).tolist() == [row["fills"] for row in rows]
    assert predicted.sum(axis=0) == pytest.approx([row["predicted"] for row in rows])
