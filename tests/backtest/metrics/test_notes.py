"""A run without orders names the rule that prevented them."""

import numpy as np
import pytest

from mm import Quotes
from mm.backtest.journal import ACTIONS, ORDER_COLUMNS, REJECT_REASONS, STATUSES
from mm.backtest.metrics._order_lives import read_lives
from mm.backtest.metrics.notes import WAYS, _other_level, one_sided, why_no_orders
from mm.backtest.models import trade_cross
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.instrument import Instrument
from mm.tape.tape import Tape


def rows(*told: tuple[str, str, str]) -> np.ndarray:
    """Return the counts of order rows of (action, status, reason)."""
    table = np.zeros((len(told), len(ORDER_COLUMNS)), np.int64)
    for row, (action, status, reason) in zip(table, told, strict=True):
        row[[2, 3, 12]] = ACTIONS.index(action), STATUSES.index(status), REJECT_REASONS.index(reason)
    return read_lives(table)[3]


SKIP = ("SKIP", "REJECTED", "min_notional")
CROSSED = [("PLACE", "SENT", ""), ("REJECT", "REJECTED", "would_cross")]


def test_each_rule_is_named_once_and_has_a_way_out():
    """Those that were not sent, and those that the exchange turned away."""
    told = why_no_orders(rows(SKIP, SKIP, *CROSSED), reached=False)
    assert told.startswith("no order reached the book: would_cross (each would have crossed")
    assert "; min_notional (price times quantity is below MIN_NOTIONAL; raise QUOTE_QTY" in told
    assert set(WAYS) == set(REJECT_REASONS) - {""}


def test_nothing_is_said_where_an_order_rested_or_filled_or_none_was_wanted():
    """A skip here and there is no why_no_orders; orders that travelled past the end met none either."""
    assert why_no_orders(rows(SKIP, ("PLACE", "SENT", "")), reached=True) is None
    assert why_no_orders(rows(SKIP, ("FILL", "FILLED", "")), reached=False) is None
    assert why_no_orders(rows(("PLACE", "SENT", "")), reached=False) is None
    assert why_no_orders(rows(), reached=False) is None


class Far:
    """Quotes one bid that nothing reaches, and an ask for which there is nothing to sell, or none."""

    def __init__(self, bid_ticks: int | None) -> None:
        self.bid_ticks = bid_ticks

    def quote(self, view) -> Quotes:
        return Quotes(self.bid_ticks, 1010)


@pytest.mark.parametrize(("bid_ticks", "told"), [(900, False), (1005, True), (None, True)])
def test_a_bid_that_rests_until_the_end_reached_the_book(bid_ticks, told):
    """An order that came to rest and never filled has no row of its own in the journal: its arrival is reckoned."""
    grid = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    changes = [(second * 1_000_000, "depth", [(998, 50 + second)], []) for second in range(1, 5)]
    tape = Tape.of(grid, [(0, "snapshot", [(999, 50), (998, 50)], [(1001, 50), (1002, 50)]), *changes])
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, quote_lots=30)
    found = backtest(tape, Far(bid_ticks), trade_cross(), rules).summary
    assert found["n_fills"] == 0
    assert any(line.startswith("no order reached the book: ") for line in found["warnings"]) == told


@pytest.mark.parametrize(
    ("uptime", "skips", "noted"),
    [
        (0.6, {"insufficient_inventory": 3}, ["insufficient_inventory 3", "INITIAL_INVENTORY"]),
        (0.0, {"min_notional": 8, "insufficient_inventory": 4}, ["min_notional 8", "raise QUOTE_QTY", "inventory 4"]),
        (0.0, {"min_notional": 13}, ["on both sides in 0 % of the time; not sent: min_notional 13", "raise QUOTE_QTY"]),
        (0.6, {"order_limit_10s": 3}, ["ORDER_LIMIT_10S"]),
        (0.6, {"max_position": 9, "insufficient_cash": 8, "min_notional": 7, "price_rejected": 1}, ["min_notional 7"]),
    ],
)
def test_low_uptime_names_what_was_not_sent_and_the_way_out_of_each(uptime, skips, noted):
    """A run that quotes one side, or none, must not be taken for the strategy, and its reader needs the real cause."""
    [line] = one_sided({"two_sided_uptime": uptime, "skips": skips})
    assert all(one in line for one in noted)
    assert "price_rejected" not in line


@pytest.mark.parametrize(("uptime", "skips"), [(0.95, {"min_notional": 3}), (None, {"min_notional": 3}), (0.6, {})])
def test_no_cause_is_named_where_uptime_is_high_or_unknown_or_all_was_sent(uptime, skips):
    """The strategy itself may quote one side."""
    assert one_sided({"two_sided_uptime": uptime, "skips": skips}) == []


def test_causes_are_named_once():
    """Where no order reached the book, its note names the causes already."""
    grid = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    tape = Tape.of(grid, [(0, "snapshot", [(999, 50)], [(1001, 50)]), (1_000_000, "depth", [(998, 5)], [])])
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, quote_lots=30, min_notional_e8=10**12)
    found = backtest(tape, Far(900), trade_cross(), rules).summary["warnings"]
    assert sum("min_notional" in line for line in found) == 1


def of_trades(*seconds: int, end: int = 100) -> list[str]:
    """Return the notes on silence of a run of *end* seconds with a trade at some of them."""
    grid = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    trades = dict.fromkeys(seconds, ("trade", 1, 1001, 1))
    events = [(s * 1_000_000, *trades.get(s, ("depth", [(998, 50 + s)], []))) for s in range(1, end + 1)]
    tape = Tape.of(grid, [(0, "snapshot", [(999, 50), (998, 50)], [(1001, 50), (1002, 50)]), *events])
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, quote_lots=30)
    return [line for line in backtest(tape, Far(900), trade_cross(), rules).summary["warnings"] if "no trade" in line]


def test_a_run_without_trades_says_where_its_fills_come_from():
    """PnL and win rate of such a day are of a book that moves, without a market."""
    [line] = of_trades()
    assert line.startswith("no trade in all of the time: fills there come only from the book moving through an order")
    [line] = of_trades(1, 2, 3)
    assert line.startswith("no trade in 97 % of the time: ")
    assert of_trades(50) == of_trades(*range(1, 100)) == []


@pytest.mark.parametrize(
    ("ratio", "noted"),
    [
        ((0.85, 0.76, 0.95), False),  # less than a fifth
        ((0.70, 0.45, 1.05), False),  # chance
        ((0.70, 0.60, 0.80), True),
        ((1.30, 1.20, 1.40), True),
        ((0.00, 0.00, 0.10), False),  # nothing filled has a note of its own
        ((None, None, None), False),
        ((1.50, None, None), False),  # too short for an interval
    ],
)
def test_fills_that_are_not_as_many_as_predicted_are_noted(ratio, noted):
    """Where neither chance nor a fifth explains them, with what of the fit may be the reason."""
    summary = {"fills_ratio": dict(zip(("value", "low", "high"), ratio, strict=True)), "days": ["20240724"]}
    summary |= {"observed_fills": 70, "predicted_fills": 100.0}
    fit = {"day": "20240723", "in_sample": False, "measured_under": {"differs": None}}
    lines = _other_level(summary, fit)
    assert len(lines) == noted
    if noted:
        assert lines[0].startswith("70 fills seen and 100 predicted, a ratio of ")
        assert lines[0].endswith("; the fit is of 20240723")
        assert "CALIB_FILLS" in _other_level(summary, fit | {"measured_under": None})[0]
        assert ";" not in _other_level(summary, fit | {"day": "20240724", "in_sample": True})[0]
