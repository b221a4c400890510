"""The compiled core compared with its plain twin: a million random commands, and short sequences by hypothesis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_commands import MIXES, Mix

from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import (
    FOK,
    IOC,
    LIMIT,
    MAKER,
    MARKET,
    MOST_TICKS,
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_NEW,
    ROW_REFUSE,
    ROW_TRADE,
)
from plain_matching import PlainMatching

COMMANDS, AT_ONCE = 84_000, 4_000  # per mix, a million in all; between two comparisons of the book
BOTH = (+1, -1)


def counters(engine: Matching | PlainMatching) -> tuple[int, int, int, int]:
    """Return all counters."""
    return engine.last_order_id, engine.last_trade_id, engine.update_id, engine.resting


def assert_same_books(core: Matching, twin: PlainMatching, some: list[int]) -> None:
    """Assert that all views of both books are equal, and the views of single orders for *some*."""
    core.check()
    assert core.best() == twin.best()
    assert counters(core) == counters(twin)
    for side in BOTH:
        assert core.orders(side) == twin.orders(side)
        assert core.depth(side, 1_000) == twin.depth(side, 1_000)
        assert core.orders(side, 3) == twin.orders(side, 3)
    for order_id in some:
        assert core.order(order_id) == twin.order(order_id)
        assert core.queue_ahead(order_id) == twin.queue_ahead(order_id)


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXES)
def test_core_and_twin_have_same_log_and_book(name: str) -> None:
    """Ids, trades, levels, expiries, refusals and the queues, in every kind of market."""
    mix: Mix = MIXES[name]
    random = np.random.default_rng(list(name.encode()))
    core, twin = Matching(first_order_id=7), PlainMatching(first_order_id=7)
    live: list[int] = []
    us = -5
    for _ in range(COMMANDS // AT_ONCE):
        rows = mix.commands(random, AT_ONCE, us, core.last_order_id + 1, live)
        us = int(rows[-1, 0])
        core.run(rows)
        twin.run(rows.tolist())
        log = core.take_log()
        assert list(map(tuple, log.tolist())) == twin.take_log()
        live = [order[0] for side in BOTH for order in core.orders(side)]
        some = live[:: max(1, len(live) // 20)]
        assert_same_books(core, twin, some)
        accounts = random.integers(0, mix.accounts, 5).tolist()
        assert [core.open_orders(account) for account in accounts] == [
            twin.open_orders(account) for account in accounts
        ]


@pytest.mark.parametrize("name", MIXES)
def test_every_mix_produces_all_kinds_of_rows(name: str) -> None:
    """A comparison of two empty logs would find no difference."""
    mix = MIXES[name]
    random = np.random.default_rng(1)
    core = Matching()
    for turn in range(2):
        live = [order[0] for side in BOTH for order in core.orders(side)]
        core.run(mix.commands(random, 5_000, 30_000 * turn, core.last_order_id + 1, live))
    rows = core.take_log()
    counts = np.bincount(rows[:, 1], minlength=9)
    assert core.resting > 25
    assert counts[ROW_NEW] > 3_000
    assert counts[ROW_CANCEL] > 50
    assert counts[ROW_REFUSE] > 1_000 if name == "makers only" else counts[ROW_TRADE] > 20 < counts[ROW_EXPIRE]


PRICES = st.sampled_from([1, 2, 3, 4, 63, 64, 65, 4_095, 4_096, 2**30, 2**34 - 1, 2**34, MOST_TICKS - 1, MOST_TICKS])
STPS = st.integers(0, 4)
KINDS = st.sampled_from([LIMIT, LIMIT, LIMIT, MAKER, IOC, FOK])
LOTS = st.integers(1, 4)
BACK = st.integers(0, 6)  # how many orders ago
SUBMIT = st.tuples(st.just("submit"), st.integers(0, 2), st.sampled_from(BOTH), PRICES, LOTS, KINDS, STPS)
SUBMIT_MARKET = st.tuples(
    st.just("submit"), st.integers(0, 2), st.sampled_from(BOTH), st.just(0), LOTS, st.just(MARKET), STPS
)
CHANGE = st.one_of(
    st.tuples(st.just("cancel"), BACK),
    st.tuples(st.just("reduce"), BACK, LOTS),
    st.tuples(st.just("replace"), BACK, PRICES, LOTS, KINDS, STPS),
    st.tuples(st.just("replace"), BACK, st.just(0), LOTS, st.just(MARKET), STPS),
)
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, -1]), st.one_of(SUBMIT, SUBMIT, SUBMIT_MARKET, CHANGE)), max_size=25
)


def result_of(matching: Matching | PlainMatching, us: int, step: tuple) -> object:
    """Return the result of one call, or ValueError if it raised."""
    name, *values = step
    if name != "submit":
        values[0] = matching.last_order_id - values[0]
    try:
        return getattr(matching, name)(us, *values)
    except ValueError:
        return ValueError


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(STEPS)
def test_core_and_twin_return_equal_results(steps: list[tuple[int, tuple]]) -> None:
    """Also for calls that go back in time or reduce by too little: both raise and continue from the same book."""
    core, twin = Matching(), PlainMatching()
    us = 0
    for later, step in steps:
        result = result_of(core, us + later, step)
        assert result == result_of(twin, us + later, step)
        us = us if result is ValueError else us + later
        assert list(map(tuple, core.take_log().tolist())) == twin.take_log()
        assert_same_books(core, twin, [])
