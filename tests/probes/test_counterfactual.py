"""Counterfactual tapes are valid, have an identical past, and differ after the cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm import Rules, Tape, backtest
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.simple import FixedSpread
from mm.clock import US_PER_S
from mm.dayfolder.contract_rows import InterestRow, LiquidationRow, MarkRow
from mm.instrument import Instrument
from mm.probes.counterfactual import (
    BEYOND_US,
    LOTS_TIMES,
    STRETCH,
    WEEK_US,
    book_before,
    feeds_like,
    greatest_moves,
    greatest_prints,
    market_at,
    mirrored,
    reflected,
    shifted,
    stretched,
    truncated,
)
from mm.signals.other_feed import OtherFeed
from mm.tape.tape import GAP, SNAPSHOT, TRADE
from strategies import tapes

GRID = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
EVENTS = [
    (1_000, "snapshot", [(99, 5), (97, 8)], [(101, 4)]),
    (2_000, "trade", -1, 99, 2),
    (3_000, "depth", [(99, 3)], [(103, 6)]),
    (4_000, "depth", [(100, 1)], []),
    (5_000, "trade", 1, 101, 1),
    (5_000 + BEYOND_US, "trade", 1, 101, 1),
]
PAST = ("event_us", "event_exch_us", "recv_seq", "event_id", "kind")


def rules(tape: Tape) -> Rules:
    return Rules(
        tape.instrument.tick_e8, tape.instrument.lot_e8, requote_us=1_000, order_latency_us=300, enforce_balances=False
    )


def test_mirrored_tape_matches_manual_calculation():
    """At 3500 the book is 97 | 99 and 101 | 103; mirrored at its mid 100 it has the same prices with other lots."""
    tape = mirrored(Tape.of(GRID, EVENTS), 3_500)
    tape.check()
    assert tape.kind.tolist() == [SNAPSHOT, TRADE, 2, GAP, SNAPSHOT, 2, TRADE]
    assert tape.event_us.tolist() == [1_000, 2_000, 3_000, 3_500, 3_500, 4_000, 5_000]
    assert sorted(tape.rows(4)) == [(-1, 101, 9), (-1, 103, 24), (1, 97, 18), (1, 99, 12)]
    assert tape.rows(5) == [(-1, 100, LOTS_TIMES)]
    assert tape.rows(6) == [(-1, 99, LOTS_TIMES)]
    tops = np.stack([tape.top_event, tape.top_bid_ticks, tape.top_bid_lots, tape.top_ask_ticks, tape.top_ask_lots]).T
    assert tops[-3:].tolist() == [[3, 0, 0, 0, 0], [4, 99, 12, 101, 9], [5, 99, 12, 100, 3]]
    assert tape.end_us == 3_500 + BEYOND_US


def test_market_at_uses_only_past():
    """Best prices and the last trade at or before the instant."""
    tape = Tape.of(GRID, EVENTS)
    assert market_at(tape, 1_999) == "bid 0.99, ask 1.01"
    assert market_at(tape, 3_500) == "bid 0.99, ask 1.01, last trade SELL 0.00002 at 0.99"
    assert market_at(tape, 900) == "bid –, ask –"
    assert book_before(tape, 3) == {(1, 99): 3, (1, 97): 8, (-1, 101): 4, (-1, 103): 6}
    assert book_before(tape, 0) == {}


@settings(deadline=None, max_examples=50)
@given(tapes(), st.data())
def test_counterfactual_tapes_are_valid_and_share_past(tape, data):
    """For any gaps, one-sided books and cuts."""
    cut_us = data.draw(st.integers(tape.start_us, tape.end_us + 1))
    past = int(np.searchsorted(tape.event_us, cut_us))
    other = mirrored(tape, cut_us)
    other.check()
    for name in PAST:
        assert (getattr(other, name)[:past] == getattr(tape, name)[:past]).all(), name
    assert [other.rows(event) for event in range(past)] == [tape.rows(event) for event in range(past)]
    assert (other.event_us[past:] >= cut_us).all()
    truncated(tape, cut_us).check()
    moved = shifted(tape)
    moved.check()
    assert (moved.event_us == tape.event_us + WEEK_US).all()
    assert (moved.first_row == tape.first_row).all()


@settings(deadline=None, max_examples=50)
@given(tapes())
def test_whole_tapes_are_stretched_and_turned(tape):
    """One upside down has the other side, and is itself again when turned twice."""
    longer = stretched(tape, tape.start_us)
    longer.check()
    assert abs((longer.event_us - tape.start_us) - STRETCH * (tape.event_us - tape.start_us)).max() <= 1
    turned = reflected(tape)
    turned.check()
    twice = sum(tape.best_span)
    assert ((turned.top_ask_ticks > 0) == (tape.top_bid_ticks > 0)).all()
    assert (turned.top_ask_ticks == np.where(tape.top_bid_ticks > 0, twice - tape.top_bid_ticks, 0)).all()
    again = reflected(turned)
    for name in ("event_us", "kind", "top_bid_ticks", "top_ask_ticks", "top_bid_lots", "top_ask_lots", "row_side"):
        assert (getattr(again, name) == getattr(tape, name)).all(), name


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(tapes(), st.data())
def test_engine_results_before_cut_do_not_depend_on_future(tape, data):
    """A model acts the same before the cut, and on a tape shifted by a week one week later."""
    cut_us = data.draw(st.integers(tape.start_us, tape.end_us + 1))

    def played(one: Tape, until_us: int, by_us: int = 0) -> list:
        journal = backtest(one, FixedSpread(delta_ticks=1), TradeCross(), rules(tape)).journal
        orders = journal.orders[journal.orders[:, 0] < until_us + by_us]
        return [orders[:, [2, 3, 4, 5, 6, 7, 12, 13]].tolist(), (orders[:, 0] - by_us).tolist()]

    for future in (truncated(tape, cut_us), mirrored(tape, cut_us)):
        assert played(future, cut_us) == played(tape, cut_us)
    assert played(shifted(tape), cut_us, WEEK_US) == played(tape, cut_us)


@settings(deadline=None, max_examples=50)
@given(tapes())
def test_what_a_symmetric_model_does_turns_with_the_market(tape):
    """On the tape upside down it sells where it bought, at the same instants."""
    own, turned = (
        backtest(one, FixedSpread(delta_ticks=1), TradeCross(), rules(tape)).journal for one in (tape, reflected(tape))
    )
    for table, side in (("orders", 4), ("fills", 2)):
        there, here = (sorted(map(tuple, getattr(one, table)[:, [0, side]].tolist())) for one in (turned, own))
        assert there == sorted((us, -bought) for us, bought in here)


@pytest.mark.parametrize("cut_us", [500, 1_000, 5_000 + 2 * BEYOND_US])
def test_cut_before_first_book_or_after_last_event(cut_us):
    """Before the first book there is nothing to mirror; after the last event nothing follows."""
    tape = mirrored(Tape.of(GRID, EVENTS), cut_us)
    tape.check()
    assert (tape.kind == GAP).sum() == (cut_us > 1_000)


def test_greatest_moves_return_begin_of_moves():
    """Over half a second the first jump, over four seconds the stepwise rise; cuts are at their begin."""
    steps = [(0, 0), (2, 2), (4, 0), (10, 2), (11, 4), (12, 5), (13, 6), (30, 6)]
    events = [(0, "snapshot", [(99, 5)], [(101, 4)])]
    for (_, before), (at_s, up) in pairwise(steps):
        events.append((at_s * US_PER_S, "depth", [(99 + before, 0), (99 + up, 5)], [(101 + before, 0), (101 + up, 4)]))
    tape = Tape.of(GRID, events)
    assert greatest_moves(tape, 0, [0.5, 4]) == [2 * US_PER_S, 10 * US_PER_S]
    assert greatest_moves(tape, 5 * US_PER_S, [0.5]) == [10 * US_PER_S]
    assert greatest_moves(tape, 60 * US_PER_S, [1]) == []


def test_greatest_prints_returns_largest_print_per_side():
    """By lots, the first of equals, and only after the given instant."""
    prints = [(1, 1, 5), (2, -1, 7), (3, 1, 9), (4, -1, 7), (5, 1, 9)]
    events = [(at_s * US_PER_S, "trade", side, 100, lots) for at_s, side, lots in prints]
    tape = Tape.of(GRID, [(0, "snapshot", [(99, 5)], [(101, 4)]), *events])
    assert greatest_prints(tape, 0) == [3 * US_PER_S, 2 * US_PER_S]
    assert greatest_prints(tape, 3 * US_PER_S) == [5 * US_PER_S, 4 * US_PER_S]
    assert greatest_prints(tape, 4 * US_PER_S) == [5 * US_PER_S]
    assert greatest_prints(tape, 5 * US_PER_S) == []


def test_what_is_told_of_a_contract_has_the_same_past_and_another_future():
    """Rows of another market are cut, mirrored and moved as its tape is; a payment moves with its rows."""
    tape = Tape.of(GRID, EVENTS)
    rows = (MarkRow(2_000, 90, 100, 7, 60_000), LiquidationRow(3_500, 1, 5, 100), InterestRow(3_600, 9))
    feeds = {"perp": OtherFeed(GRID, (tape,), told=lambda: rows)}
    for change, cut_us in (
        (truncated, 3_000),
        (mirrored, 3_000),
        (shifted, WEEK_US),
        (stretched, 1_000),
        (reflected, 0),
    ):
        told = feeds_like(feeds, change, cut_us, change(tape, cut_us))["perp"].told()
        if change is shifted:
            assert [row.recv_us for row in told] == [row.recv_us + WEEK_US for row in rows]
            assert told[0].funding_ms == 60_000 + WEEK_US // 1_000
            continue
        if change in (stretched, reflected):
            assert [row.recv_us for row in told] == (
                [2_010, 3_525, 3_626] if change is stretched else [2_000, 3_500, 3_600]
            )
            assert told[1].side == (1 if change is stretched else -1)
            continue
        assert told[0] == rows[0]
        assert told[1:] == (() if change is truncated else (LiquidationRow(3_500, -1, 15, 100), InterestRow(3_600, 27)))
