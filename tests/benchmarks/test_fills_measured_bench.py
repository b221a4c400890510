"""The table of predicted over observed fills: its counts, and that fits under a model predict its fills."""

import pytest

from benchmarks import fills_measured

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
