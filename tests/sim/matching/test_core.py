"""The compiled core by itself: its edges, its errors, its memory, and its manners among threads."""

import gc
import threading
from pathlib import Path

import numpy as np
import pytest
from random_commands import MIXES

from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import (
    COLUMNS,
    FOK,
    IOC,
    LIMIT,
    MAKER,
    MARKET,
    MOST_LOTS,
    MOST_TICKS,
    OP_CANCEL,
    OP_REDUCE,
    OP_REPLACE,
    OP_SUBMIT,
    ROW_LEVEL,
    STP_DECREMENT,
    WOULD_CROSS,
)  # fmt: skip
from support import run_python

BUY, SELL = +1, -1
FULL = 2**15  # orders of MOST_LOTS at one price; one lot more than 2**15 - 1 is too much


def rows_of(matching: Matching) -> list[tuple[int, ...]]:
    """Return the rows since the last call."""
    return list(map(tuple, matching.take_log().tolist()))


def view(matching: Matching) -> tuple[object, ...]:
    """Return everything that can be seen of a book."""
    ids = matching.last_order_id, matching.last_trade_id, matching.update_id, matching.resting
    return ids, matching.best(), matching.orders(BUY), matching.orders(SELL), matching.depth(BUY, None)


@pytest.fixture
def quotes() -> Matching:
    """Order 1 bids 5 lots at 99 for account 1, order 2 asks 7 at 101 for account 2; the clock is at 10."""
    matching = Matching()
    matching.submit(10, 1, BUY, 99, 5)
    matching.submit(10, 2, SELL, 101, 7)
    matching.take_log()
    return matching


# What is refused, and that nothing has changed then.

BEYOND = [2**63, -(2**63) - 1, 2**100]
GOOD = {"us": 20, "account": 1, "side": BUY, "ticks": 99, "lots": 1, "kind": LIMIT, "stp": 0}
BAD = {
    "us": [9, -(2**63), *BEYOND],
    "account": [-1, -(2**63), *BEYOND],
    "side": [0, 2, -2, 2**32 + 1, *BEYOND],
    "ticks": [0, -1, MOST_TICKS + 1, 2**62, *BEYOND],
    "lots": [0, -1, MOST_LOTS + 1, 2**62, *BEYOND],
    "kind": [-1, 5, 2**32, 2**32 + 1, -(2**32), *BEYOND],
    "stp": [-1, 5, 2**32, *BEYOND],
}
EACH = [(name, value) for name, values in BAD.items() for value in values]


@pytest.mark.parametrize(("name", "value"), EACH)
def test_a_value_out_of_range_is_named_and_changes_nothing(quotes: Matching, name: str, value: int) -> None:
    """Submit and replace check all 64 bits of what they are given, and what has more."""
    before = view(quotes)
    with pytest.raises(ValueError, match=rf"{name} {value}"):
        quotes.submit(**GOOD | {name: value})
    if name not in ("account", "side"):
        values = {key: value for key, value in GOOD.items() if key not in ("account", "side")}
        with pytest.raises(ValueError, match=rf"{name} {value}"):
            quotes.replace(order_id=1, **values | {name: value})
    assert view(quotes) == before
    assert rows_of(quotes) == []
    assert quotes.submit(10, 1, BUY, 98, 1) == 3, "not even the clock has moved"


@pytest.mark.parametrize("value", [1.0, 1.5, "1", None, float("nan")])
@pytest.mark.parametrize("name", GOOD)
def test_what_is_no_whole_number_is_refused(quotes: Matching, name: str, value: object) -> None:
    """A price of 100.7 ticks is a mistake of the caller, not a price of 100."""
    with pytest.raises(TypeError, match=f"{name} {value!r}: not a whole number"):
        quotes.submit(**GOOD | {name: value})
    assert quotes.submit(np.int64(20), True, np.int8(1), np.int32(99), np.uint8(1)) == 3


def test_a_market_order_has_no_price(quotes: Matching) -> None:
    """A caller who gives one expects a limit that does not exist."""
    with pytest.raises(ValueError, match="ticks 101: a MARKET order has no price; give 0"):
        quotes.submit(20, 1, BUY, 101, 1, MARKET)


@pytest.mark.parametrize("lots", [5, 6, 0, -1, MOST_LOTS + 1, 2**70])
def test_an_order_is_never_reduced_to_what_it_has_or_more(quotes: Matching, lots: int) -> None:
    """More would jump the queue."""
    with pytest.raises(ValueError, match=f"lots {lots}"):
        quotes.reduce(20, 1, lots)
    assert quotes.order(1) == (1, BUY, 99, 5)
    assert quotes.cancel(10, 1) == 5


@pytest.mark.parametrize("order_id", [0, -1, 3, 2**62, -(2**63), 2**80])
def test_an_order_that_does_not_rest_is_answered_with_nothing(quotes: Matching, order_id: int) -> None:
    """Whatever its number is."""
    assert quotes.cancel(20, order_id) == 0
    assert quotes.reduce(20, order_id, 1) == 0
    assert quotes.replace(20, order_id, 99, 1) == 0
    assert quotes.order(order_id) is None
    with pytest.raises(ValueError, match=f"order_id {order_id}: does not rest"):
        quotes.queue_ahead(order_id)
    assert rows_of(quotes) == []
    with pytest.raises(ValueError, match="us 19: before the last command, at 20"):
        quotes.cancel(19, 1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda book: book.depth(0, 1), "side 0"),
        (lambda book: book.orders(2), "side 2"),
        (lambda book: book.lots_at(2**70, 1), "side 1180591620717411303424"),
        (lambda book: book.lots_at(1, 0), "ticks 0"),
        (lambda book: book.depth(1, -1), "limit -1"),
        (lambda book: book.orders(1, -1), "limit -1"),
    ],
)
def test_a_view_of_what_cannot_be_is_refused(quotes: Matching, call, told: str) -> None:
    """An empty answer would look like an empty book."""
    with pytest.raises(ValueError, match=told):
        call(quotes)


@pytest.mark.parametrize("name", ["first_order_id", "first_trade_id", "first_update_id"])
@pytest.mark.parametrize("value", [-1, 2**62 + 1, 2**64])
def test_ids_begin_where_there_is_room_to_count_on(name: str, value: int) -> None:
    """Beyond 2**62 they might reach the end of 64 bits."""
    with pytest.raises(ValueError, match=f"{name} {value}"):
        Matching(**{name: value})


SUBMITTED = (1, OP_SUBMIT, 1, BUY, 99, 1, LIMIT, 0)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ((1, 0, 1, BUY, 99, 1, LIMIT, 0), "op 0"),
        ((1, 5, 1, BUY, 99, 1, LIMIT, 0), "op 5"),
        ((1, 2**32 + 1, 1, BUY, 99, 1, LIMIT, 0), "op 4294967297"),
        ((0, OP_CANCEL, 0, 0, 0, 0, 0, 1), "us 0"),
        ((1, OP_SUBMIT, -1, BUY, 99, 1, LIMIT, 0), "account -1"),
        ((1, OP_SUBMIT, 1, BUY, 99, 1, LIMIT, 2**32), "stp 4294967296"),
        ((1, OP_SUBMIT, 1, BUY, 0, 1, LIMIT, 0), "ticks 0"),
        ((1, OP_REDUCE, 0, 0, 0, 0, 0, 1), "lots 0"),
        ((1, OP_REDUCE, 0, 0, 0, 0, 0, 99), "lots 0"),
        ((1, OP_REPLACE, 0, 0, 99, 1, 7, 1), "kind 7"),
        ((1, OP_REPLACE, 0, 0, 99, 1, MARKET, 99), "ticks 99"),
    ],
)
def test_a_bad_row_is_named_and_those_before_it_stand(bad: tuple[int, ...], told: str) -> None:
    """The caller can continue from there."""
    matching = Matching()
    with pytest.raises(ValueError, match=f"^row 2: {told}"):
        matching.run(np.array([SUBMITTED, SUBMITTED, bad, SUBMITTED]))
    assert (matching.last_order_id, matching.resting, len(matching.take_log())) == (2, 2, 6)
    matching.run([SUBMITTED])
    assert matching.last_order_id == 3


@pytest.mark.parametrize(
    "rows", [np.zeros((3, 7), np.int64), np.zeros(8, np.int64), np.ones((1, 8)), [[0] * 9], [[0.5] * 8]]
)
def test_commands_of_another_shape_are_refused(rows) -> None:
    """Nor is a table of floats cut to whole numbers."""
    with pytest.raises(ValueError, match=r"columns|Buffer"):
        Matching().run(rows)


def test_commands_may_lie_as_they_like() -> None:
    """A view of every second row, or one that was turned, is read where it is; so is one that may not be written."""
    rows = np.array([SUBMITTED, (0,) * 8, (2, OP_REPLACE, 9, 9, 98, 4, LIMIT, 1), (0,) * 8])[::2]
    rows.setflags(write=False)
    for these in (rows, np.asfortranarray(rows), rows.tolist()):
        matching = Matching()
        matching.run(these)
        assert matching.orders(BUY) == [(2, 1, 98, 4)]
    matching.run(rows[:0])


# The ends of the ranges.


def test_a_price_that_would_display_too_much_refuses_the_order() -> None:
    """2**63 lots are not an int64; what can be displayed is, to the last lot, and matching continues."""
    matching = Matching(log=False)
    matching.run(np.tile(np.array([(0, OP_SUBMIT, 1, BUY, 50, MOST_LOTS, LIMIT, 0)]), (FULL, 1)))
    before = matching.best()
    assert before == (50, FULL * MOST_LOTS, 0, 0)
    for kind in (LIMIT, MAKER):
        with pytest.raises(OverflowError, match="lots 32768 at 50 ticks: the price would display"):
            matching.submit(1, 2, BUY, 50, 2**15, kind)
    with pytest.raises(OverflowError, match="row 1: lots"):
        matching.run([(0, OP_CANCEL, 0, 0, 0, 0, 0, 99**3), (1, OP_SUBMIT, 2, BUY, 50, MOST_LOTS, LIMIT, 0)])
    assert matching.best() == before
    assert matching.submit(0, 2, BUY, 50, 2**15 - 1) == FULL + 1
    assert matching.best()[1] == 2**63 - 1
    matching.check()
    assert matching.submit(0, 2, BUY, 49, MOST_LOTS) == FULL + 2, "another price has room"
    with pytest.raises(OverflowError):
        matching.replace(0, FULL + 2, 50, 1)
    assert matching.order(FULL + 2) == (2, BUY, 49, MOST_LOTS), "what could not be replaced rests on"
    assert matching.replace(0, 1, 50, MOST_LOTS) == FULL + 3, "it makes room for itself"
    assert matching.replace(0, 2**62, 50, MOST_LOTS) == 0
    assert matching.queue_ahead(FULL + 3) == 2**63 - 1 - MOST_LOTS
    assert matching.submit(0, 3, SELL, 50, MOST_LOTS, FOK) == FULL + 4
    assert matching.submit(0, 3, SELL, 50, MOST_LOTS) == FULL + 5, "an order that trades does not rest"
    matching.run(np.tile(np.array([(0, OP_SUBMIT, 1, SELL, 0, MOST_LOTS, MARKET, 0)]), (FULL, 1)))
    assert (matching.best(), matching.resting) == ((0, 0, 0, 0), 0)
    matching.check()


def test_the_next_price_is_found_over_any_gap() -> None:
    """From one end of the prices to the other, in both directions, and over every border of the tree's pages."""
    borders = {1, 2, MOST_TICKS - 1, MOST_TICKS}
    for power in range(6, 40):
        borders |= {2**power - 1, 2**power, 2**power + 1, MOST_TICKS - 2**power}
    prices = sorted(borders)
    for side in (BUY, SELL):
        matching = Matching()
        for ticks in prices[::2] + prices[1::2][::-1]:
            matching.submit(0, 1, side, ticks, 1)
            matching.check()
        best_first = prices[::-side]
        assert [ticks for ticks, _ in matching.depth(side, None)] == best_first
        assert [ticks for ticks, _ in matching.depth(side, 3)] == best_first[:3]
        assert matching.depth(side, 0) == matching.orders(side, 0) == []
        walked = []
        while matching.resting:
            walked.append(matching.best()[0 if side > 0 else 2])
            matching.submit(0, 2, -side, 0, 1, MARKET)
            matching.check()
        assert walked == best_first


def test_both_ends_of_the_prices_meet() -> None:
    """The best bid may be the lowest price there is, the best ask the highest, and one order takes both away."""
    matching = Matching()
    matching.submit(-(2**63), 1, BUY, 1, MOST_LOTS)
    matching.submit(2**63 - 1, 1, SELL, MOST_TICKS, MOST_LOTS)
    assert matching.best() == (1, MOST_LOTS, MOST_TICKS, MOST_LOTS)
    matching.submit(2**63 - 1, 2**63 - 1, BUY, MOST_TICKS, MOST_LOTS)
    matching.submit(2**63 - 1, 2**63 - 1, SELL, 1, 1, IOC)
    assert matching.best() == (1, MOST_LOTS - 1, 0, 0)
    assert matching.open_orders(1) == [1]
    assert matching.open_orders(2**63 - 1) == []


def test_ids_count_on_from_the_largest_first_ones() -> None:
    """Also there, every order is found by its id."""
    first = 2**62
    matching = Matching(first_order_id=first, first_trade_id=first, first_update_id=first)
    for number in range(1, 1_000):
        assert matching.submit(0, 1, BUY, 1_000 + number, 1) == first + number
    assert matching.cancel(0, first + 500) == 1
    matching.submit(0, 1, SELL, 1, 1)
    assert (matching.last_order_id, matching.last_trade_id) == (first + 1_000, first + 1)
    assert matching.update_id == first + 999 + 2
    matching.check()


def test_maker_orders_take_no_id_when_refused(quotes: Matching) -> None:
    """A replacement that is refused leaves the cancelled order cancelled."""
    assert quotes.submit(20, 1, BUY, 101, 1, MAKER) == WOULD_CROSS
    assert quotes.replace(20, 1, 101, 5, MAKER, STP_DECREMENT) == WOULD_CROSS
    assert (quotes.resting, quotes.last_order_id) == (1, 2)


# The log.


def test_the_log_is_taken_whole_and_once() -> None:
    """In small pieces and in one of any size, as an array of its own that outlives the book."""
    rows = MIXES["everyday"].commands(np.random.default_rng(1), 20_000, 0, 1, [])
    small, large = Matching(), Matching()
    pieces = [small.take_log()]
    for at in range(0, len(rows), 500):
        small.run(rows[at : at + 500])
        pieces.append(small.take_log())
        assert len(small.take_log()) == 0
    large.run(rows)
    whole = large.take_log()
    assert len(whole) > 30_000
    assert whole.dtype == np.int64
    assert whole.shape[1] == len(COLUMNS)
    assert np.array_equal(np.concatenate(pieces), whole)
    again = np.concatenate(pieces)
    large.run(rows[-1:])
    del small, large
    gc.collect()
    assert np.array_equal(again, whole)
    whole[:] = 0  # the caller's own


def test_without_a_log_everything_else_is_the_same() -> None:
    """Ids are counted although they are not read."""
    rows = MIXES["everyday"].commands(np.random.default_rng(1), 5_000, 0, 1, [])
    silent, telling = Matching(log=False), Matching()
    silent.run(rows)
    telling.run(rows)
    assert view(silent) == view(telling)
    assert silent.take_log().shape == (0, len(COLUMNS))
    assert np.count_nonzero(telling.take_log()[:, 1] == ROW_LEVEL) == silent.update_id


# Memory and threads.

FLAT = """
import re
from pathlib import Path
import numpy as np
from mm.sim.matching._core import Matching

def peak_kib():  # ru_maxrss would begin with that of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def played(matching, turn, count=20_000):
    # An order a price a turn, half of them far: taken away again by cancels and by one sweep of each side.
    first = matching.last_order_id + 1
    number = np.arange(count)
    rows = np.zeros((2 * count + 2, 8), np.int64)
    rows[:, 0] = turn
    rows[:count, 1] = 1
    rows[:count, 2] = number % 700 + 7_000 * turn
    rows[:count, 3] = np.where(number % 2, 1, -1)
    rows[:count, 4] = np.where(number % 2, 2**20 - number, 2**20 + 1 + number * 2**19)
    rows[:count, 5] = 3
    rows[count:-2, 1] = np.where(number % 3, 2, 4)
    rows[count:-2, 4] = 2**20 + number % 2
    rows[count:-2, 5] = 2
    rows[count:-2, 7] = first + number
    rows[-2:, 1], rows[-2:, 3], rows[-2:, 5], rows[-2:, 6] = 1, (1, -1), 2**47, 4
    matching.run(rows)
    assert matching.resting == 0
    matching.take_log()

for turn in range(3_000):
    one = Matching(log=turn % 2 == 0)
    for account in range(40):
        one.submit(0, account, 1, 1 + account * 2**30, 5)
    if turn == 100:
        small = peak_kib()
assert peak_kib() - small < 1_000, (small, peak_kib())
matching = Matching()
for turn in range(25):
    played(matching, turn)
    played(Matching(), turn)
    if turn == 4:
        large = peak_kib()
assert peak_kib() - large < 1_500, (large, peak_kib())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_memory_grows_with_what_rests_and_not_with_what_ever_did(tmp_path) -> None:
    """Two million orders of two hundred thousand accounts, in books that stay and in books that go: nothing is left."""
    done = run_python("-c", FLAT, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


FULL_UP = """
import resource
from mm.sim.matching._core import Matching

def limit(size):
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

def filled(matching):
    limit(used + 60_000_000)
    try:
        while True:
            matching.submit(0, matching.last_order_id % 5_000, 1, 1 + matching.last_order_id * 2**17 % 2**40, 5)
    except MemoryError:
        limit(resource.RLIM_INFINITY)
        return matching.resting

matching, logged = Matching(log=False), Matching()
with open("/proc/self/statm") as status:
    used = int(status.read().split()[0]) * resource.getpagesize()
most = filled(matching)
assert most > 1_000
matching.check()
bid = matching.best()[0]
assert matching.submit(0, 1, -1, bid, 10**9, 2) > 0, "it matches"
matching.check()
for order_id in range(1, 1_000):
    matching.cancel(0, order_id)
assert filled(matching) >= most - 1_000, "what was given back is used again"
matching.check()
del matching
assert filled(logged) > 1_000
logged.check()
rows = len(logged.take_log())
assert rows > 3_000
logged.cancel(0, 1)
assert len(logged.take_log()) == 2
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_a_book_for_which_there_is_no_memory_stays_whole(tmp_path) -> None:
    """The order that did not fit is lost, the others rest, match and cancel; a log that was too long can be taken."""
    done = run_python("-c", FULL_UP, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_threads_run_while_a_book_is_at_work_but_not_on_it() -> None:
    """The interpreter's lock is released, so the book itself keeps others out."""
    rows = np.tile(np.array([SUBMITTED, (1, OP_SUBMIT, 2, SELL, 99, 1, LIMIT, 0)]), (400_000, 1))
    refused = 0
    for _ in range(20):  # a busy machine may not wake this thread in time
        matching = Matching(log=False)
        worker = threading.Thread(target=matching.run, args=(rows,))
        worker.start()
        while worker.is_alive():
            try:
                matching.best()
            except RuntimeError as error:
                assert "in use by another thread" in str(error)  # noqa: PT017 - it need not come in every turn
                refused += 1
        worker.join()
        assert (matching.resting, matching.last_trade_id) == (0, 400_000)
        if refused:
            return
    raise AssertionError("no call came in while the book was at work")


def test_a_book_whose_command_failed_may_be_used_again(quotes: Matching) -> None:
    """An error does not leave it shut."""
    with pytest.raises(ValueError, match="row 0"):
        quotes.run([(0,) * 8])
    assert quotes.best() == (99, 5, 101, 7)
