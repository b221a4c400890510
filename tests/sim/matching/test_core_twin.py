"""The compiled core beside its plain twin: a million random commands, and short ones that look for a difference."""

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
    Book,
)  # fmt: skip
from plain_matching import PlainMatching

COMMANDS, AT_ONCE = 84_000, 4_000  # of each mix, a million in all; between two looks at the book
BOTH = (+1, -1)


def ids_of(matching: Matching | PlainMatching) -> tuple[int, int, int, int]:
    """Return all that is counted."""
    return matching.last_order_id, matching.last_trade_id, matching.update_id, matching.resting


def same_books(core: Matching, twin: PlainMatching, some: list[int]) -> None:
    """Assert that both books show the same, to every view, and *some* orders the same to the views of one order."""
    core.check()
    assert core.best() == twin.best()
    assert ids_of(core) == ids_of(twin)
    for side in BOTH:
        assert core.orders(side) == twin.orders(side)
        assert core.depth(side, 1_000) == twin.depth(side, 1_000)
        assert core.orders(side, 3) == twin.orders(side, 3)
    for order_id in some:
        assert core.order(order_id) == twin.order(order_id)
        assert core.queue_ahead(order_id) == twin.queue_ahead(order_id)


def test_the_mixes_make_a_million_commands() -> None:
    """What is promised is compared."""
    assert len(MIXES) * COMMANDS >= 1_000_000


@pytest.mark.parametrize("name", MIXES)
def test_core_and_twin_leave_the_same_log_and_book(name: str) -> None:
    """Ids, trades, levels, expiries, refusals and the queues, command by command, in every kind of market."""
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
        told = core.take_log()
        assert list(map(tuple, told.tolist())) == twin.take_log()
        live = [order[0] for side in BOTH for order in core.orders(side)]
        some = live[:: max(1, len(live) // 20)]
        same_books(core, twin, some)
        accounts = random.integers(0, mix.accounts, 5).tolist()
        assert [core.open_orders(account) for account in accounts] == [
            twin.open_orders(account) for account in accounts
        ]


@pytest.mark.parametrize("name", MIXES)
def test_every_mix_does_what_it_is_for(name: str) -> None:
    """A comparison of two empty logs would find no difference."""
    mix = MIXES[name]
    random = np.random.default_rng(1)
    core = Matching()
    for turn in range(2):
        live = [order[0] for side in BOTH for order in core.orders(side)]
        core.run(mix.commands(random, 5_000, 30_000 * turn, core.last_order_id + 1, live))
    rows = core.take_log()
    found = np.bincount(rows[:, 1], minlength=9)
    assert core.resting > 25
    assert found[ROW_NEW] > 3_000
    assert found[ROW_CANCEL] > 50
    assert found[ROW_REFUSE] > 1_000 if name == "makers only" else found[ROW_TRADE] > 20 < found[ROW_EXPIRE]


def test_the_log_rebuilds_the_book() -> None:
    """Who has nothing but the log has the book, by level and by order."""
    mix = MIXES["two accounts"]
    core, book = Matching(), Book()
    for turn in range(5):
        live = [order[0] for side in BOTH for order in core.orders(side)]
        core.run(mix.commands(np.random.default_rng(turn), 1_000, 3_000 * turn, core.last_order_id + 1, live))
        book.play(map(tuple, core.take_log().tolist()))
        for side in BOTH:
            assert book.orders(side) == core.orders(side)
            assert book.depth(side) == core.depth(side, None)


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


def answer(matching: Matching | PlainMatching, us: int, step: tuple) -> object:
    """Return the result of one call, or that it raised."""
    name, *values = step
    if name != "submit":
        values[0] = matching.last_order_id - values[0]
    try:
        return getattr(matching, name)(us, *values)
    except ValueError:
        return ValueError


@settings(max_examples=250, deadline=None)
@given(STEPS)
def test_core_and_twin_answer_every_call_alike(steps: list[tuple[int, tuple]]) -> None:
    """Also calls that go back in time or reduce to too much: both refuse them and continue from the same book."""
    core, twin = Matching(), PlainMatching()
    us = 0
    for later, step in steps:
        said = answer(core, us + later, step)
        assert said == answer(twin, us + later, step)
        us = us if said is ValueError else us + later
        assert list(map(tuple, core.take_log().tolist())) == twin.take_log()
        same_books(core, twin, [])
