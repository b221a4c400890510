"""The table of predicted over seen fills: what it counts, and that fits of the same orders predict them."""

import pytest

from benchmarks import fills_measured
from mm.backtest.io import load_day
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session


@pytest.fixture
def tape(tmp_path):
    """Half an hour of a simulated market."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(A_per_s=1.2, k_per_tick=0.4), Session("SIMUSDT", "20260105", 0.5, 3))
    return load_day(folder)


def test_fits_of_the_same_orders_predict_their_fills(tape, monkeypatch):
    """A row for each distance with 100 fills, the fit of the same orders within a tenth, that by marks far off."""
    monkeypatch.setattr(fills_measured, "MODELS", ("queue_risk_averse",))
    monkeypatch.setattr(fills_measured, "CLIPS", (1,))
    monkeypatch.setattr(fills_measured, "QUOTED", (0.5,))
    head, *rows = fills_measured.lines(tape)
    assert head.split() == ["fill", "model", "clips", "quoted", "row", "seen", "same", "δ", "default", "δ", "marks"]
    assert rows
    for row in rows:
        model, clips, quoted, _, seen, same, _, marks = row.split()
        assert (model, clips, quoted) == ("queue_risk_averse", "1", "0.5")
        assert int(seen.replace(",", "")) >= fills_measured.LEAST_FILLS
        assert 0.9 < float(same) < 1.1
        assert abs(float(marks) - 1) > abs(float(same) - 1)
