"""What a run earned by quoting and what its inventory earned by itself, on a recorded day."""

from pathlib import Path

import pytest

import mm
from captured import import_files
from mm.dayfolder.layout import days_of

NEXO = Path(__file__).parents[3] / "shared/data/binance-spot-nexousdt-20240723-24"


class Silent:
    """A model that never quotes."""

    def quote(self, view: mm.QuoteView) -> None:
        """Quote nothing."""


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    if not NEXO.exists():
        pytest.skip("needs the recorded days in ../shared/data")
    root = tmp_path_factory.mktemp("data")
    import_files(sorted(NEXO.glob("*.gz")), root, "NEXOUSDT")
    return mm.load_day(root / "NEXOUSDT" / days_of(root, "NEXOUSDT")[-1])


def test_holding_without_quoting_earns_nothing_by_quoting(tape):
    """The mid fell by 0.0025 from the first to the last state row; 200 coins lost half a dollar of it."""
    summary = mm.backtest(tape, Silent(), initial_cash="100000", initial_inventory="200", sensitivity=False).summary
    assert (summary["pnl_quoting"], summary["max_drawdown"], summary["fees"]) == (0.0, 0.0, 0.0)
    assert summary["pnl_hold"] == summary["pnl_total"] == -0.5
    assert summary["account"]["max_drawdown"] == pytest.approx(7.7)
    assert [summary[name] for name in ("sharpe", "sortino", "calmar", "verdict")] == [None] * 4


def test_numbers_of_the_quoting_do_not_depend_on_what_is_held(tape):
    """Both accounts have the same fills."""
    few, many = (
        mm.backtest(tape, initial_cash="100000", initial_inventory=held, sensitivity=False).summary
        for held in ("200", "2000")
    )
    assert few["n_fills"] > 500
    for name in ("pnl_quoting", "pnl_inventory", "sharpe", "sharpe_ci95", "sortino", "calmar", "max_drawdown", "psr"):
        assert few[name] == many[name], name
    assert (few["pnl_hold"], many["pnl_hold"]) == (-0.5, -5.0)
