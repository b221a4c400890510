"""The index of a day's orders: its clock, its stretches without a log, and how it is kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_tapes import TEST
from mm import DayFolder, Tape, load_day
from mm.dayfolder.layout import ROW_LEVEL
from mm.errors import Mismatch
from mm.tape.day_orders import DayOrders
from mm.tape.order_index import KEPT, clock_shifts, order_index, placed
from order_cases import COMMAND, columns_of, market_log
from simulation import simulate_day

US = 1_000_000_000


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> DayFolder:
    return simulate_day(tmp_path_factory.mktemp("data"), "zero_intelligence", hours=0.02, seed=3, symbol="ZIUSDT")


def stamped(late_us):
    """Return a tape whose message *n* was sent at 100·n µs, and received later by its *late_us*."""
    events = [(US, "snapshot", [(99, 1)], [(101, 1)])]
    received = np.maximum.accumulate([US + 100 * n + late for n, late in enumerate(late_us, 1)]).tolist()
    events += [(us, "depth", [(99, 1 + n)], []) for n, us in enumerate(received)]
    tape = Tape.of(TEST, events)
    sent = np.array([0, *(US + 100 * n for n in range(1, len(late_us) + 1))])
    return replace(tape, event_exch_us=sent)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), st.lists(st.integers(0, 1_000), max_size=12))
def test_a_row_happens_as_late_as_the_last_message_before_it(late_us, after_us):
    """By hand, one by one; never before the row above it."""
    tape = stamped(late_us)
    rows = np.array(sorted(US + after for after in after_us), np.int64)
    messages = list(zip(tape.event_exch_us.tolist()[1:], tape.event_us.tolist()[1:], strict=True))
    expected, last = [], 0
    for us in rows.tolist():
        before = [message for message in messages if message[0] <= us] or messages[:1]
        sent, received = before[-1]
        last = max(last, us + received - sent)
        expected.append(last)
    assert placed(rows, clock_shifts(tape, None)).tolist() == expected


def test_without_stamps_both_clocks_are_one():
    """A tape made of the log itself."""
    tape = replace(stamped([5, 7]), event_exch_us=np.zeros(3, np.int64))
    assert placed(np.array([US, US + 9]), clock_shifts(tape, None)).tolist() == [US, US + 9]


@given(st.lists(COMMAND, max_size=40), st.integers(0, 1_000))
def test_orders_before_an_instant_are_those_of_the_rows_before_it(commands, part):
    """Equal to the index of the shorter log, so that a model which reads on sees nothing."""
    columns = columns_of(market_log(commands, 100))
    us = columns["us"]
    cut = int(us[0]) + (int(us[-1]) + 2 - int(us[0])) * part // 1_000
    tape = replace(stamped([5]), event_exch_us=np.zeros(2, np.int64))
    own = order_index([columns]).before(cut, tape)
    rows = int(np.searchsorted(us, cut))
    known = order_index([{name: column[:rows] for name, column in columns.items()}])
    for name in KEPT:
        assert np.array_equal(getattr(own, name), getattr(known, name)), name
    assert not list(own.faults())


def test_what_a_log_does_not_cover_is_dark():
    """Before its first stretch, between two, and after the last, within the tape."""
    tape = stamped([0] * 9)
    index = order_index([columns_of(market_log([], 1))], [(US + 100, US + 300), (US + 500, US + 800)])
    assert index.dark(tape, None) == [(US, US + 100), (US + 300, US + 500), (US + 800, US + 901)]
    assert replace(index, spans=None).dark(tape, None) == []


@pytest.mark.parametrize("spans", [None, [(0, 10**15)]])
def test_a_log_whose_rows_begin_late_or_end_early_is_dark_there(spans):
    """From the last message before its first change, and from the first one after its last."""
    minute = 60_000_000
    events = [(US, "snapshot", [(99, 1)], [(101, 1)])]
    tape = Tape.of(TEST, [*events, *((US + n * minute, "depth", [(99, 1 + n)], []) for n in range(1, 9))])
    columns = columns_of(market_log([], 1))
    level = {name: np.array([ROW_LEVEL if name == "kind" else 1] * 2) for name in columns}

    def dark(first_us, last_us):
        return order_index([{**level, "us": np.array([first_us, last_us])}], spans).dark(tape, None)

    assert dark(US, US + 8 * minute) == dark(US + minute + 900_000, US + 8 * minute - 900_000) == []
    assert dark(US, US + 4 * minute) == [(US + 5 * minute, US + 8 * minute + 1)]
    assert dark(US + 3 * minute, US + 8 * minute) == [(US, US + 2 * minute + 1)]


def test_window_has_the_orders_of_before_its_end(day):
    """As of the shorter log; a window up to the end has all."""
    tape = load_day(day)
    middle = (tape.start_us + tape.end_us) // 2
    own, known = tape.between(tape.start_us + 1_000_000, middle).orders, tape.orders.before(middle, tape)
    assert 0 < len(own.step_us) < len(tape.orders.step_us)
    for name in KEPT:
        assert np.array_equal(getattr(own, name), getattr(known, name)), name
    assert len(tape.between(middle, tape.end_us + 1).orders.step_us) == len(tape.orders.step_us)


def test_kept_orders_are_those_made(day, tmp_path):
    """Opened again they are equal, and a damaged file is made again."""
    tape = load_day(day)
    orders = DayOrders.of(day, tape, tmp_path)
    made = orders.open()
    (path,) = tmp_path.glob("order_log_*.npy")
    assert list(made.faults()) == []
    for opened in (orders.open(), DayOrders.of(day, tape, None).open()):
        for name in KEPT:
            assert getattr(opened, name).tolist() == getattr(made, name).tolist(), name
        assert opened.consistency == made.consistency
    path.write_bytes(path.read_bytes()[:-200])
    assert orders.open().change.tolist() == made.change.tolist()


def test_released_orders_are_read_again(day):
    """Of many days in one backtest, one day's orders are in memory."""
    tape = load_day(day)
    made = tape.orders
    tape.release_memory()
    assert "orders" not in tape.__dict__
    assert tape.orders is not made
    assert tape.orders.consistency == made.consistency


def test_steps_of_a_log_that_are_no_multiples_are_refused(day):
    """A tape read with a coarser tick has no place for its prices."""
    orders = DayOrders.of(day, load_day(day), None)
    with pytest.raises(Mismatch, match="no multiples"):
        replace(orders, wanted=(orders.wanted[0] * 3, orders.wanted[1])).open()
    finer = replace(orders, wanted=(orders.wanted[0], orders.wanted[1] // 2)).open()
    assert (finer.change["lots"] == 2 * orders.open().change["lots"]).all()
