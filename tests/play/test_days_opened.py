"""`mm.load_day` names its own arguments in errors."""

from dataclasses import replace

import pytest

import mm
from mm.errors import BrokenFile, MissingDay, OffGrid
from mm.play import market
from mm.play.knobs import Day, Market
from simulation import simulate_day


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a short day."""
    return simulate_day(tmp_path, hours=0.01, seed=1, A_per_s=1.0, k_per_tick=0.4)


def test_errors_name_arguments_not_flags(folder):
    """The commands' errors name flags, which a notebook does not have."""
    assert len(mm.load_day(folder.path))
    with pytest.raises(OffGrid, match=r"tick size 0\.00000003; set tick_size_e8 or check instrument\.json$"):
        mm.load_day(folder.path, tick_size_e8=3)
    with pytest.raises(MissingDay, match=r"available days: 20260105; .* set data_root, symbol or day$"):
        mm.load_day(folder.path.with_name("20260106"))
    folder.trades.write_bytes(folder.trades.read_bytes() + b"x")
    with pytest.raises(BrokenFile, match=r"damaged uses the remaining data$"):
        mm.load_day(folder.path)


def test_micro_price_is_fitted_on_the_last_days_before(folder, monkeypatch):
    """Not on the oldest ones: what it measures changes."""
    simulate_day(folder.path.parents[1], hours=0.01, seed=2, day="20260106")
    monkeypatch.setattr(market, "MICRO_PRICE_DAYS", 1)
    played = replace(mm.load_day(folder.path), days=("20260107",))
    day = Day(symbol="SIMUSDT", day="20260107", data_root=folder.path.parents[1])
    found = market.micro_price_before(day, Market(), played)
    assert [tape.days for tape in found.tapes] == [("20260106",)]
