"""Tapes run by hand: parts of them, windows, and orders sent before one begins."""

from dataclasses import replace

import pytest
from fill_lab import ASKS, BEGIN_US, BIDS, TEST, Want, depth, sold

from mm import PaperExchange, Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS
from mm.tape.tape import TapeMeta

BOOK = (0, "snapshot", BIDS, ASKS)


def tape_of(*events, **meta):
    tape = Tape.of(TEST, [(BEGIN_US + us, *rest) for us, *rest in events])
    return replace(tape, meta=TapeMeta(**meta))


def desk(bid=None, **rules):
    """Return an exchange that quotes a bid at this price every 100 µs."""
    terms = {"order_latency_us": 0, "cancel_latency_us": 0, "requote_us": 100, "enforce_balances": False}
    return PaperExchange(Want(bid), TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8, **(terms | rules)))


def order_rows(exchange):
    """Return the orders table as (µs, id, action, why)."""
    rows = exchange.journal().orders.tolist()
    return [(r[0] - BEGIN_US, r[1], ACTIONS[r[2]], REJECT_REASONS[r[12]] + CANCEL_REASONS[r[13]]) for r in rows]


def test_advance_without_a_tape_does_nothing():
    """There is no market yet."""
    exchange = desk(100)
    exchange.advance(BEGIN_US)
    exchange.attach(tape_of(BOOK, depth(50)))
    exchange.advance(BEGIN_US + 50)
    assert exchange.journal().counters["first_us"] == BEGIN_US


def test_time_does_not_pass_beyond_the_end_of_a_tape():
    """The next tape may begin right there; events due between the two wait until it is attached."""
    exchange = desk(100)
    exchange.attach(tape_of(BOOK, depth(50)))
    exchange.advance(BEGIN_US + 1_000)
    exchange.attach(tape_of((60, "snapshot", [(90, 1)], [(99, 1)]), depth(250)))
    exchange.advance(BEGIN_US + 250)
    journal = exchange.journal()
    assert (journal.counters["valid_us"], journal.counters["invalid_us"]) == (240, 10)
    assert [row[0] - BEGIN_US for row in journal.mids.tolist()] == [0, 50, 60]


def test_time_before_a_window_advances_only_as_far_as_requested():
    """A manual order at 60, between two tapes, has time 60 and no book, though the window from 90 has one."""
    exchange = desk()
    exchange.run(tape_of(BOOK, depth(50)))
    exchange.attach(tape_of((55, "snapshot", BIDS, ASKS), depth(100)).between(BEGIN_US + 90, BEGIN_US + 100))
    exchange.advance(BEGIN_US + 60)
    exchange.place(1, 99, 5)
    exchange.advance(BEGIN_US + 100)
    assert order_rows(exchange) == [(60, 1, "PLACE", ""), (60, 1, "REJECT", "book_invalid")]


def test_order_before_the_first_window_has_no_book():
    """It arrives before the window begins with its prebuilt book."""
    exchange = desk()
    exchange.attach(tape_of(BOOK, depth(100)).between(BEGIN_US + 90, BEGIN_US + 101))
    exchange.advance(BEGIN_US + 10)
    exchange.place(1, 99, 5)
    exchange.advance(BEGIN_US + 101)
    assert order_rows(exchange) == [(10, 1, "PLACE", ""), (10, 1, "REJECT", "book_invalid")]


def test_attaching_the_next_tape_drops_the_rest_of_the_last():
    """The sale at 40 is dropped, and a tape that would continue the book of 50 does not."""
    exchange = desk(100)
    exchange.attach(tape_of(BOOK, sold(40, 100, 5), depth(50), last_update_id=7))
    exchange.advance(BEGIN_US + 30)
    exchange.attach(tape_of((60, "snapshot", BIDS, ASKS), depth(80), carried_from=7))
    exchange.advance(BEGIN_US + 80)
    assert order_rows(exchange) == [(0, 1, "PLACE", ""), (30, 1, "CANCEL_ACK", "epoch_break")]


@pytest.mark.parametrize(
    ("begin_us", "end_us", "joins"), [(0, 51, (True, True)), (0, 50, (True, False)), (1, 51, (False, True))]
)
def test_window_continues_only_where_nothing_is_left_out(begin_us, end_us, joins):
    """A day cut short does not end with the book that starts the next one."""
    before, following = tape_of(BOOK, last_update_id=1), tape_of((60, "snapshot", BIDS, ASKS), carried_from=2)
    window = tape_of(BOOK, depth(50), carried_from=1, last_update_id=2).between(BEGIN_US + begin_us, BEGIN_US + end_us)
    assert (window.continues(before), following.continues(window)) == joins


def test_book_with_one_empty_side_has_no_mid():
    """A model called with the book gets a mid of 0."""
    books = []

    class Watching:
        def on_book(self, order, book, elapsed_us):
            books.append((book.bid_ticks, book.ask_ticks, book.mid2_ticks))
            return 0

    exchange = PaperExchange(Want(98), Watching(), Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=0))
    exchange.run(tape_of(BOOK, depth(50, bids=[(100, 0), (99, 0)]), depth(60, bids=[(99, 1)])))
    assert books == [(0, 102, 0), (99, 102, 201)]
