"""A run without orders names the rule that prevented them."""

import numpy as np
import pytest

import mm
from journals import REJECT_REASONS, reacted
from mm import Quotes, Rules, Tape, backtest
from mm.backtest.journal import Lives
from mm.backtest.metrics.notes import WAYS, _other_level, one_sided, swapped_quotes, why_no_orders
from mm.instrument import Instrument
from named import model_of


def rows(*orders: tuple[str, str, str]) -> np.ndarray:
    """Return the counts of order rows of (action, status, reason)."""
    return reacted(*orders).order_totals()[0]


SKIP = ("SKIP", "REJECTED", "min_notional")
ADAPTIVE = ("adaptive", {"least_ticks": 1, "per_sigma": 1})
CROSSED = [("PLACE", "SENT", ""), ("REJECT", "REJECTED", "would_cross")]


def test_why_no_orders_names_each_rule_once_with_a_remedy():
    """Orders that were not sent, and orders that the exchange rejected."""
    note = why_no_orders(rows(SKIP, SKIP, *CROSSED), reached=False)
    assert note.startswith("no order reached the book: would_cross (each would have crossed")
    assert "; min_notional (price times quantity is below MIN_NOTIONAL; raise QUOTE_QTY" in note
    assert set(WAYS) == set(REJECT_REASONS) - {""}


def test_why_no_orders_is_none_when_orders_rested_filled_or_were_absent():
    """Some skips are no reason; nor are orders that were in transit at the end."""
    assert why_no_orders(rows(SKIP, ("PLACE", "SENT", "")), reached=True) is None
    assert why_no_orders(rows(SKIP, ("FILL", "FILLED", "")), reached=False) is None
    assert why_no_orders(rows(("PLACE", "SENT", "")), reached=False) is None
    assert why_no_orders(rows(), reached=False) is None


class FarBid:
    """Quote one bid at a fixed price or none, and an ask without inventory to sell."""

    def __init__(self, bid_ticks: int | None) -> None:
        self.bid_ticks = bid_ticks

    def quote(self, view) -> Quotes:
        return Quotes(self.bid_ticks, 1010)


@pytest.mark.parametrize(("bid_ticks", "warned"), [(900, False), (1005, True), (None, True)])
def test_bid_that_rests_until_the_end_counts_as_having_reached_the_book(bid_ticks, warned):
    """An order that rests and never fills has no row of its arrival in the journal: the arrival is computed."""
    grid = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    changes = [(second * 1_000_000, "depth", [(998, 50 + second)], []) for second in range(1, 5)]
    tape = Tape.of(grid, [(0, "snapshot", [(999, 50), (998, 50)], [(1001, 50), (1002, 50)]), *changes])
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, quote_lots=30)
    summary = backtest(tape, FarBid(bid_ticks), model_of("trade_cross"), rules).summary
    assert summary["n_fills"] == 0
    assert any(line.startswith("no order reached the book: ") for line in summary["warnings"]) == warned


@pytest.mark.parametrize(
    ("uptime", "skips", "parts"),
    [
        (0.6, {"insufficient_inventory": 3}, ["insufficient_inventory 3", "INITIAL_INVENTORY"]),
        (0.0, {"min_notional": 8, "insufficient_inventory": 4}, ["min_notional 8", "raise QUOTE_QTY", "inventory 4"]),
        (0.0, {"min_notional": 13}, ["on both sides in 0 % of the time; not sent: min_notional 13", "raise QUOTE_QTY"]),
        (0.6, {"order_limit_10s": 3}, ["ORDER_LIMIT_10S"]),
        (0.6, {"max_position": 9, "insufficient_cash": 8, "min_notional": 7, "price_rejected": 1}, ["min_notional 7"]),
    ],
)
def test_low_uptime_note_names_unsent_orders_and_remedies(uptime, skips, parts):
    """A run that quotes one side, or none, for such a reason must not be mistaken for the strategy."""
    [line] = one_sided({"two_sided_uptime": uptime, "skips": skips})
    assert all(part in line for part in parts)
    assert "price_rejected" not in line


@pytest.mark.parametrize(("uptime", "skips"), [(0.95, {"min_notional": 3}), (None, {"min_notional": 3}), (0.6, {})])
def test_one_sided_has_no_note_for_high_or_unknown_uptime_or_no_skips(uptime, skips):
    """The strategy itself may quote one side."""
    counts = {"n_orders": 1000, "n_fills": 20, "n_rejects": 20, "quoted_half_spread": {"p50": 0.5}}
    assert one_sided({"two_sided_uptime": uptime, "skips": skips, **counts}) == []


def test_low_uptime_with_many_ended_orders_has_a_note():
    counts = {"n_orders": 1000, "n_fills": 200, "n_rejects": 420, "quoted_half_spread": {"p50": 0.5}}
    [line] = one_sided({"two_sided_uptime": 0.41, "skips": {}, **counts})
    assert "620" in line
    taking = counts | {"quoted_half_spread": {"p50": None}}  # no order was meant to rest: a hedge in another market
    assert one_sided({"two_sided_uptime": 0.0, "skips": {}, **taking}) == []


@pytest.mark.parametrize(("skips", "fills"), [({}, 3), ({}, 600), ({"price_rejected": 4}, 3)])
def test_low_uptime_note_names_the_time_at_the_inventory_bound(skips, fills):
    """Not a market that is too fast, but a position that nobody took back."""
    counts = {"n_orders": 1000, "n_fills": fills, "n_rejects": 0, "quoted_half_spread": {"p50": 0.5}}
    [line] = one_sided({"two_sided_uptime": 0.2, "skips": skips, "inventory_at_bound": 0.78, **counts})
    assert "78 %" in line


def test_causes_are_not_repeated_in_a_second_note():
    """When no order reached the book, that note names the causes already."""
    grid = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    tape = Tape.of(grid, [(0, "snapshot", [(999, 50)], [(1001, 50)]), (1_000_000, "depth", [(998, 5)], [])])
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, quote_lots=30, min_notional_e8=10**12)
    warnings = backtest(tape, FarBid(900), model_of("trade_cross"), rules).summary["warnings"]
    assert sum("min_notional" in line for line in warnings) == 1


def trade_notes(*seconds: int, end: int = 100) -> list[str]:
    """Return the notes on missing trades of a run of *end* seconds with trades at the given seconds."""
    grid = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    trades = dict.fromkeys(seconds, ("trade", 1, 1001, 1))
    events = [(s * 1_000_000, *trades.get(s, ("depth", [(998, 50 + s)], []))) for s in range(1, end + 1)]
    tape = Tape.of(grid, [(0, "snapshot", [(999, 50), (998, 50)], [(1001, 50), (1002, 50)]), *events])
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, quote_lots=30)
    return [
        line
        for line in backtest(tape, FarBid(900), model_of("trade_cross"), rules).summary["warnings"]
        if "no trade" in line
    ]


def test_run_without_trades_has_a_note_on_its_fills():
    """PnL and win rate of such a day come from a moving book without a market."""
    [line] = trade_notes()
    assert line.startswith("no trade in all of the time: fills there come only from the book moving through an order")
    [line] = trade_notes(1, 2, 3)
    assert line.startswith("no trade in 97 % of the time: ")
    assert trade_notes(50) == trade_notes(*range(1, 100)) == []


@pytest.mark.parametrize(
    ("ratio", "warned"),
    [
        ((0.85, 0.76, 0.95), False),  # less than a fifth
        ((0.70, 0.45, 1.05), False),  # chance
        ((0.70, 0.60, 0.80), True),
        ((1.30, 1.20, 1.40), True),
        ((0.00, 0.00, 0.10), False),  # no fills have their own note
        ((None, None, None), False),
        ((1.50, None, None), False),  # too short for an interval
    ],
)
def test_number_of_fills_far_from_prediction_is_noted(ratio, warned):
    """If neither chance nor a fifth explains it, with possible reasons from the fit."""
    summary = {"fills_ratio": dict(zip(("value", "low", "high"), ratio, strict=True)), "days": ["20240724"]}
    summary |= {"observed_fills": 70, "predicted_fills": 100.0}
    fit = {"day": "20240723", "in_sample": False, "measured_under": {"differs": None}}
    lines = _other_level(summary, fit)
    assert len(lines) == warned
    if warned:
        assert lines[0].startswith("70 fills observed and 100 predicted, a ratio of ")
        assert lines[0].endswith("; the fit is of 20240723")
        assert "CALIB_FILLS" in _other_level(summary, fit | {"measured_under": None})[0]
        assert ";" not in _other_level(summary, fit | {"day": "20240724", "in_sample": True})[0]


@pytest.mark.parametrize(("seconds", "named"), [(20, True), (120, False)])
def test_a_run_too_short_for_a_volatility_says_so(seconds, named):
    """An adaptive model quotes nothing within the first 30 s; in a longer run it does."""
    events = [(us * 1_000_000, "snapshot", [(99, 5)], [(101 + us % 3, 5)]) for us in range(seconds)]
    tape = Tape.of(Instrument("TESTUSDT", tick_e8=1_000_000, lot_e8=1_000), events)
    result = mm.backtest(tape, ADAPTIVE, "trade_cross", quote_qty="0.001")
    reasons = [warning for warning in result.summary["warnings"] if "the volatility waits for 30 s" in warning]
    assert bool(reasons) == named
    assert (result.summary["n_orders"] > 0) != named


def test_bid_above_the_ask_of_the_same_instant_is_named():
    """Swapped quotes are all rejected, and being nearer or faster would not help."""

    def sent(side, ticks, us):
        columns = [np.array(column, np.int64) for column in (us, us, side, ticks, [1] * len(us), [-1] * len(us))]
        return Lives(1, 9, *columns, np.zeros(len(us), np.bool_))

    (note,) = swapped_quotes(sent([1, -1, 1, -1], [103, 97, 100, 100], [1, 1, 2, 2]))
    assert note.startswith("your bid is at or above your ask at 2 of 2 instants with both: ")
    assert swapped_quotes(sent([1, -1, 1, -1], [97, 103, 104, 110], [1, 1, 2, 2])) == []
    assert swapped_quotes(sent([1, -1], [103, 97], [1, 2])) == []
