"""`mm.load_day` names its own arguments in errors."""

import pytest

import mm
from mm.errors import BrokenFile, MissingDay, OffGrid
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
