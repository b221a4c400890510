"""The compiled core alone: its limits, errors and memory."""

import gc
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
from plain_matching import PlainMatching
from support import run_python

BUY, SELL = +1, -1
FULL = 2**15  # orders of MOST_LOTS at one price; more than 2**15 - 1 lots on top are too many


def rows_of(matching: Matching) -> list[tuple[int, ...]]:
    """Return the rows since the last call."""
    return list(map(tuple, matching.take_log().tolist()))


def state(matching: Matching) -> tuple[object, ...]:
    """Return the visible state of a book."""
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


# Invalid input, which changes nothing.

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
def test_value_out_of_range_raises_and_changes_nothing(quotes: Matching, name: str, value: int) -> None:
    """Submit and replace check all 64 bits of a value, and reject larger ones."""
    before = state(quotes)
    with pytest.raises(ValueError, match=rf"{name} {value}"):
        quotes.submit(**GOOD | {name: value})
    if name not in ("account", "side"):
        values = {key: value for key, value in GOOD.items() if key not in ("account", "side")}
        with pytest.raises(ValueError, match=rf"{name} {value}"):
            quotes.replace(order_id=1, **values | {name: value})
    assert state(quotes) == before
    assert rows_of(quotes) == []
    assert quotes.submit(10, 1, BUY, 98, 1) == 3, "the clock has not moved"


@pytest.mark.parametrize("value", [1.0, 1.5, "1", None, float("nan")])
@pytest.mark.parametrize("name", GOOD)
def test_non_integer_argument_raises_type_error(quotes: Matching, name: str, value: object) -> None:
    """A price of 100.7 ticks is a mistake of the caller, not a price of 100."""
    with pytest.raises(TypeError, match=f"{name} {value!r}: not a whole number"):
        quotes.submit(**GOOD | {name: value})
    assert quotes.submit(np.int64(20), True, np.int8(1), np.int32(99), np.uint8(1)) == 3


def test_market_order_with_price_is_rejected_with_a_hint(quotes: Matching) -> None:
    """A caller who gives one expects a limit that does not exist."""
    with pytest.raises(ValueError, match="ticks 101: a MARKET order has no price; give 0"):
        quotes.submit(20, 1, BUY, 101, 1, MARKET)


@pytest.mark.parametrize("lots", [5, 6, 0, -1, MOST_LOTS + 1, 2**70])
def test_reduce_to_equal_larger_or_invalid_lots_raises(quotes: Matching, lots: int) -> None:
    """A larger quantity would jump the queue."""
    with pytest.raises(ValueError, match=f"lots {lots}"):
        quotes.reduce(20, 1, lots)
    assert quotes.order(1) == (1, BUY, 99, 5)
    assert quotes.cancel(10, 1) == 5


@pytest.mark.parametrize("order_id", [0, -1, 3, 2**62, -(2**63), 2**80])
def test_commands_for_unknown_order_return_zero(quotes: Matching, order_id: int) -> None:
    """For any order id, but the clock moves."""
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
    ("call", "message"),
    [
        (lambda book: book.depth(0, 1), "side 0"),
        (lambda book: book.orders(2), "side 2"),
        (lambda book: book.orders(2**70), "side 1180591620717411303424"),
        (lambda book: book.depth(1, -1), "limit -1"),
        (lambda book: book.orders(1, -1), "limit -1"),
    ],
)
def test_view_with_invalid_argument_raises_value_error(quotes: Matching, call, message: str) -> None:
    """An empty answer would look like an empty book."""
    with pytest.raises(ValueError, match=message):
        call(quotes)


@pytest.mark.parametrize("name", ["first_order_id", "first_trade_id", "first_update_id"])
@pytest.mark.parametrize("value", [-1, 2**62 + 1, 2**64])
def test_first_id_out_of_range_raises_value_error(name: str, value: int) -> None:
    """Beyond 2**62 the ids might overflow 64 bits."""
    with pytest.raises(ValueError, match=f"{name} {value}"):
        Matching(**{name: value})


SUBMITTED = (1, OP_SUBMIT, 1, BUY, 99, 1, LIMIT, 0)


@pytest.mark.parametrize(
    ("bad", "message"),
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
def test_invalid_row_of_array_raises_and_run_can_continue(bad: tuple[int, ...], message: str) -> None:
    """The message contains the row number; the rows before it are applied."""
    matching = Matching()
    with pytest.raises(ValueError, match=f"^row 2: {message}"):
        matching.run(np.array([SUBMITTED, SUBMITTED, bad, SUBMITTED]))
    assert (matching.last_order_id, matching.resting, len(matching.take_log())) == (2, 2, 6)
    matching.run([SUBMITTED])
    assert matching.last_order_id == 3


@pytest.mark.parametrize(
    "rows", [np.zeros((3, 7), np.int64), np.zeros(8, np.int64), np.ones((1, 8)), [[0] * 9], [[0.5] * 8]]
)
def test_commands_of_wrong_shape_or_type_raise_value_error(rows) -> None:
    """Floats are not truncated to whole numbers."""
    with pytest.raises(ValueError, match=r"columns|Buffer"):
        Matching().run(rows)


def test_strided_transposed_and_read_only_commands_are_accepted() -> None:
    """Also a list of lists and an empty array."""
    rows = np.array([SUBMITTED, (0,) * 8, (2, OP_REPLACE, 9, 9, 98, 4, LIMIT, 1), (0,) * 8])[::2]
    rows.setflags(write=False)
    for variant in (rows, np.asfortranarray(rows), rows.tolist()):
        matching = Matching()
        matching.run(variant)
        assert matching.orders(BUY) == [(2, 1, 98, 4)]
    matching.run(rows[:0])


# The limits of the ranges.


def test_level_over_int64_lots_raises_overflow_error() -> None:
    """2**63 lots do not fit an int64; one lot less does, and matching continues."""
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
    assert matching.order(FULL + 2) == (2, BUY, 49, MOST_LOTS), "an order that cannot be replaced keeps resting"
    assert matching.replace(0, 1, 50, MOST_LOTS) == FULL + 3, "its own lots are freed first"
    assert matching.replace(0, 2**62, 50, MOST_LOTS) == 0
    assert matching.queue_ahead(FULL + 3) == 2**63 - 1 - MOST_LOTS
    assert matching.submit(0, 3, SELL, 50, MOST_LOTS, FOK) == FULL + 4
    assert matching.submit(0, 3, SELL, 50, MOST_LOTS) == FULL + 5, "an order that trades does not rest"
    matching.run(np.tile(np.array([(0, OP_SUBMIT, 1, SELL, 0, MOST_LOTS, MARKET, 0)]), (FULL, 1)))
    assert (matching.best(), matching.resting) == ((0, 0, 0, 0), 0)
    matching.check()


def test_next_price_is_found_across_any_gap() -> None:
    """From one end of the prices to the other, in both directions, and across every page border of the tree."""
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


def test_lowest_and_highest_price_can_match() -> None:
    """The best bid may be the lowest price there is, the best ask the highest."""
    matching = Matching()
    matching.submit(-(2**63), 1, BUY, 1, MOST_LOTS)
    matching.submit(2**63 - 1, 1, SELL, MOST_TICKS, MOST_LOTS)
    assert matching.best() == (1, MOST_LOTS, MOST_TICKS, MOST_LOTS)
    matching.submit(2**63 - 1, 2**63 - 1, BUY, MOST_TICKS, MOST_LOTS)
    matching.submit(2**63 - 1, 2**63 - 1, SELL, 1, 1, IOC)
    assert matching.best() == (1, MOST_LOTS - 1, 0, 0)
    assert matching.open_orders(1) == [1]
    assert matching.open_orders(2**63 - 1) == []


def test_ids_continue_from_largest_first_ids() -> None:
    """Every order is found by its id there as well."""
    first = 2**62
    matching = Matching(first_order_id=first, first_trade_id=first, first_update_id=first)
    for number in range(1, 1_000):
        assert matching.submit(0, 1, BUY, 1_000 + number, 1) == first + number
    assert matching.cancel(0, first + 500) == 1
    matching.submit(0, 1, SELL, 1, 1)
    assert (matching.last_order_id, matching.last_trade_id) == (first + 1_000, first + 1)
    assert matching.update_id == first + 999 + 2
    matching.check()


def test_refused_maker_orders_use_no_id(quotes: Matching) -> None:
    """A replacement that is refused leaves the cancelled order cancelled."""
    assert quotes.submit(20, 1, BUY, 101, 1, MAKER) == WOULD_CROSS
    assert quotes.replace(20, 1, 101, 5, MAKER, STP_DECREMENT) == WOULD_CROSS
    assert (quotes.resting, quotes.last_order_id) == (1, 2)


# The log.


def test_take_log_returns_every_row_once() -> None:
    """In small pieces and in one of any size, as an independent array that outlives the book."""
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
    joined = np.concatenate(pieces)
    large.run(rows[-1:])
    del small, large
    gc.collect()
    assert np.array_equal(joined, whole)
    whole[:] = 0  # owned by the caller


def test_book_without_log_has_the_same_state() -> None:
    """Ids are counted although they are not logged."""
    rows = MIXES["everyday"].commands(np.random.default_rng(1), 5_000, 0, 1, [])
    unlogged, logged = Matching(log=False), Matching()
    unlogged.run(rows)
    logged.run(rows)
    assert state(unlogged) == state(logged)
    assert unlogged.take_log().shape == (0, len(COLUMNS))
    assert np.count_nonzero(logged.take_log()[:, 1] == ROW_LEVEL) == unlogged.update_id


# Memory.

FLAT = """
import re
from pathlib import Path
import numpy as np
from mm.sim.matching._core import Matching

def peak_kib():  # ru_maxrss would include the peak of the parent process
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def played(matching, turn, count=20_000):
    # One order per price and turn, half of them far: removed by cancels and by one sweep of each side.
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


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_memory_depends_on_resting_orders_only(tmp_path) -> None:
    """More than a million orders of many accounts, in books that are kept and in books that are deleted."""
    result = run_python("-c", FLAT, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


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
def test_book_stays_consistent_after_memory_error(tmp_path) -> None:
    """The order that did not fit is lost, the others rest, match and cancel; a log that was too long can be taken."""
    result = run_python("-c", FULL_UP, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_trades_aside_have_the_next_ids_and_leave_the_book() -> None:
    """A liquidation that the book does not take: the same row in both engines, order 0 and a reason."""
    rows = []
    for engine in (Matching(), PlainMatching()):
        engine.submit(5, 1, 1, 100, 10)
        assert (engine.order_aside(), engine.trade_aside(7, -1, 90, 3, 2)) == (2, 1)
        engine.submit(8, 2, -1, 100, 4, IOC)
        assert (engine.last_order_id, engine.last_trade_id) == (3, 2)
        rows.append([tuple(row) for row in np.asarray(engine.take_log()).tolist()])
        for bad in ((6, 1, 90, 3, 1), (9, 1, 0, 3, 1), (9, 1, 90, 0, 1), (9, 0, 90, 3, 1)):
            with pytest.raises(ValueError, match=r"us|ticks|lots|side"):
                engine.trade_aside(*bad)
    assert rows[0] == rows[1]
    assert rows[0][3] == (7, 2, 0, 2, 0, -1, 90, 3, 1, 0)
