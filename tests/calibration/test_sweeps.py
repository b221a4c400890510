"""Displayed quantity before an event, and hits of orders by the quantity of sweeps."""

from types import SimpleNamespace

import numpy as np
import pytest

from mm import CalibrationConfig, Rules, Tape
from mm.calibration.calibrator import Calibrator
from mm.calibration.sweeps import Displayed, HitRule, SweptQuantity
from mm.instrument import Instrument

GRID = Instrument("SIMUSDT", 1_000_000, 100_000)
EVENTS = [
    (1, "snapshot", [(100, 5), (99, 7)], [(102, 3)]),
    (2, "trade", -1, 100, 2),
    (3, "depth", [(100, 3)], []),
    (4, "depth", [(99, 0), (98, 4)], [(102, 8)]),
    (
        5,
        "gap",
    ),
    (6, "snapshot", [(100, 9)], [(102, 1)]),
    (7, "trade", -1, 100, 1),
]


@pytest.fixture(name="tape")
def _tape() -> Tape:
    return Tape.of(GRID, EVENTS)


@pytest.mark.parametrize(
    ("ticks", "event", "lots"),
    [
        (100, 0, 0),
        (100, 1, 5),
        (100, 2, 5),
        (100, 3, 3),
        (99, 3, 7),
        (99, 4, 0),
        (98, 3, 0),
        (98, 4, 4),
        (98, 6, 0),
        (100, 6, 9),
        (97, 4, 0),
    ],
)
def test_displayed_lots_come_from_last_message_before_event(tape, ticks, event, lots):
    """A trade does not change the book, the next depth message does; a snapshot discards old levels."""
    bids = Displayed(tape, 1, np.array([97, 98, 99, 100]))
    assert bids.lots(np.array([ticks]), np.array([event])).tolist() == [lots]


def test_sides_are_displayed_separately(tape):
    asks = Displayed(tape, -1, np.array([100, 102]))
    assert asks.lots(np.array([102, 102, 100]), np.array([1, 5, 5])).tolist() == [3, 8, 0]


def test_price_without_messages_displays_zero(tape):
    nothing = Displayed(tape, 1, np.array([50]))
    assert nothing.lots(np.array([50]), np.array([4])).tolist() == [0]


def test_window_starts_with_book_of_keyframe():
    """The window begins at a keyframe, and its events are numbered from there."""
    keyed = [*EVENTS[:3], (3, "keyframe"), *EVENTS[3:]]
    window = Tape.of(GRID, keyed).between(4, 5)
    bids = Displayed(window, 1, np.array([99, 100]))
    assert bids.lots(np.array([99, 100]), np.array([1, 1])).tolist() == [7, 3]


LOT = 100_000
BID, ASK = (SimpleNamespace(id=1, side=1, ticks=100, lots=1), SimpleNamespace(id=2, side=-1, ticks=102, lots=1))


def sells(*prints, shown=4):
    """Return a tape with *shown* lots at 100, then sells as (µs, ticks, lots, trade time)."""
    book = (1, "snapshot", [(100, shown), (99, 9), (98, 9)], [(102, 5)])
    return Tape.of(GRID, [book, *((us, "trade", -1, ticks, lots, when) for us, ticks, lots, when in prints)])


def answers_of(tape, order, **rule):
    """Return the model's answer to each print of the tape."""
    model = SweptQuantity([tape], HitRule(**rule))
    answers = []
    for event, row in zip(tape.trades.tolist(), tape.trade_rows.tolist(), strict=True):
        side, ticks, lots = tape.row_side[row], tape.row_ticks[row], tape.row_lots[row]
        fields = {"side": int(side), "ticks": int(ticks), "lots": int(lots), "id": int(tape.event_id[event])}
        answers.append(model.on_trade(order, SimpleNamespace(us=int(tape.event_us[event]), **fields)))
    return answers


def test_prints_of_one_sweep_add_up():
    """An order of two lots: one lot prints at its price and one beyond, in one sweep."""
    assert answers_of(sells((5, 100, 1, 77), (6, 99, 1, 77)), BID, order_e8=2 * LOT) == [0, 1]


def test_prints_of_two_sweeps_do_not_add_up():
    assert answers_of(sells((5, 100, 1, 77), (6, 100, 1, 78)), BID, order_e8=2 * LOT) == [0, 0]


def test_without_grouping_one_print_needs_whole_quantity():
    tape = sells((5, 100, 1, 77), (6, 100, 1, 77), (7, 100, 2, 77))
    assert answers_of(tape, BID, order_e8=2 * LOT, grouped=False) == [0, 0, 1]


def test_strict_hit_counts_prints_beyond_price():
    tape = sells((5, 100, 9, 77), (6, 99, 1, 77), (7, 99, 1, 77))
    assert answers_of(tape, BID, hit="strict", order_e8=2 * LOT) == [0, 0, 1]


@pytest.mark.parametrize(("share", "answer"), [(0.5, 1), (0.75, 0), (1.0, 0)])
def test_queue_is_displayed_quantity_before_sweep(share, answer):
    assert answers_of(sells((5, 100, 3, 77)), BID, queue_ahead=share) == [answer]


def test_print_beyond_price_consumes_queue():
    assert answers_of(sells((5, 100, 1, 77), (6, 99, 1, 77)), BID, queue_ahead=1.0) == [0, 1]


def test_prints_of_own_side_or_short_of_price_do_not_hit():
    tape = Tape.of(
        GRID, [(1, "snapshot", [(100, 4)], [(102, 5)]), (5, "trade", 1, 102, 9, 77), (6, "trade", -1, 101, 9, 78)]
    )
    assert answers_of(tape, BID, order_e8=2 * LOT) == [0, 0]
    assert answers_of(tape, ASK, order_e8=2 * LOT) == [1, 0]


def test_played_orders_and_marks_get_equal_hits():
    """Sells of 3, then of 1 lot at the price, every 10 s: an order of two lots is hit by every second one.

    The market is constant and orders never expire, so orders and marks get the same hits.
    """
    second = 1_000_000
    trades = [(n * 10 * second + 5 * second, "trade", -1, 100, 3 if n % 2 == 0 else 1, n + 1) for n in range(60)]
    book = (0, "snapshot", [(100, 4)], [(102, 5)])
    tape = Tape.of(GRID, [book, *trades, (610 * second, "depth", [(90, 1)], [])])
    rules = Rules(tick_e8=GRID.tick_e8, lot_e8=GRID.lot_e8, order_latency_us=1000, cancel_latency_us=1000)
    rule = HitRule(order_e8=2 * LOT)
    orders = (
        Calibrator(tape, CalibrationConfig(reference="mid", method="fixed", deltas=(1.0,), rule=rule), rules)
        .between(0, 620 * second)
        .fitted
    )
    marks = Calibrator(tape, CalibrationConfig(reference="mid", rule=rule)).between(0, 620 * second).shown
    bids = marks.where((marks.side == 1) & (marks.delta_ticks == 1))
    assert orders.where(orders.side == 1).fills.sum() == bids.fills.sum() == 30
