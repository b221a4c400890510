"""Fit of the queue exponent from tapes without order ids; it follows where cancellations happen in the queue."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaning_market import ASK, BID, GRID, leaning_tape

from mm import Tape
from mm.probes import queue_exponent
from mm.probes.queue_exponent import (
    LEAST_PROBES,
    PriceLevels,
    cancellations,
    find_probes,
    fit_exponent,
    stable_order,
)
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

SECOND = 1_000_000
LIFE_US = 3 * SECOND  # in this time an order stays in the back half of its queue


def cancelled_orders(*levels: tuple[int, str, int]) -> list[tuple[int, int]]:
    """Return arrival and cancellation times inferred from lots (``book``) and prints (``print``) of a bid."""
    events = [(0, "snapshot", [(BID, 100)], [(ASK, 500)])]
    for us, kind, lots in levels:
        events.append((us, "depth", [(BID, lots)], []) if kind == "book" else (us, "trade", -1, BID, lots))
    table = PriceLevels.of(Tape.of(GRID, events))
    arrivals, departures = cancellations(table).T
    return list(zip(table.us(arrivals).tolist(), table.us(departures).tolist(), strict=True))


def test_cancelled_order_is_identified_by_size() -> None:
    """Seven lots are added at 1 and removed at 3; changes in between have other sizes."""
    assert cancelled_orders((1, "book", 107), (2, "book", 102), (3, "book", 95)) == [(1, 3)]


@pytest.mark.parametrize(
    "levels",
    [
        [(1, "book", 107), (2, "print", 1), (3, "book", 99)],  # a print in between: 7 lots or another number
        [(1, "print", 1), (2, "book", 106), (3, "book", 99)],  # same at its arrival
        [(1, "book", 107), (2, "book", 114), (3, "book", 107)],  # two orders of seven rest: ambiguous
        [(1, "book", 107), (2, "print", 7), (3, "book", 100), (4, "book", 93)],  # it may have been filled
        [(1, "book", 107), (2, "print", 101), (3, "book", 20), (4, "book", 13)],  # prints passed its place
        [(1, "book", 107), (2, "book", 0), (3, "book", 20), (4, "book", 13)],  # its queue ended
        [(3, "book", 93)],  # it arrived before the tape
    ],
)
def test_ambiguous_cancellation_is_not_used(levels: list[tuple[int, str, int]]) -> None:
    """Each of these has two explanations."""
    assert cancelled_orders(*levels) == []


def test_consecutive_orders_of_one_size_are_both_identified() -> None:
    """Seven lots are added and removed twice."""
    steps = [(1, "book", 107), (2, "book", 100), (3, "book", 107), (4, "book", 100)]
    assert cancelled_orders(*steps) == [(1, 2), (3, 4)]


def test_new_book_resets_queues() -> None:
    """Orders that rested before a gap may have left in it."""
    events = [
        (0, "snapshot", [(BID, 100)], [(ASK, 500)]),
        (1, "depth", [(BID, 107)], []),
        (2, "gap"),
        (3, "snapshot", [(BID, 107)], [(ASK, 500)]),
        (4, "depth", [(BID, 100)], []),
    ]
    assert len(cancellations(PriceLevels.of(Tape.of(GRID, events)))) == 0


def test_piece_of_day_equals_separate_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day with more rows than are sorted at once is cut; its windows use the rows of the whole."""
    tape = leaning_tape(0.0, steps=1500)
    monkeypatch.setattr(queue_exponent, "PIECE_ROWS", -(-len(tape.row_ticks) // 3))
    cut = queue_exponent.pieces(tape)
    assert len(cut) == 3
    for piece in cut:
        first, last = piece.first_row[[0, -1]].tolist()
        rows = {name: getattr(piece, name)[first:last] for name in ("row_side", "row_ticks", "row_lots")}
        separate, levels = (
            PriceLevels.of(replace(piece, first_row=piece.first_row - first, **rows)),
            PriceLevels.of(piece),
        )
        for name in ("rows", "first", "event", "lots"):
            assert np.array_equal(getattr(levels, name), getattr(separate, name))
    count, probes = find_probes(tape, LIFE_US, np.random.default_rng(0))
    assert count == sum(len(cancellations(PriceLevels.of(piece))) for piece in cut) >= len(probes) > 0


def plain_cancellations(tape: Tape) -> list[tuple[int, int]]:
    """Return rows of arrival and cancellation per level by a plain loop, without arrays and sorting."""
    levels: dict[tuple[int, int, int], list[tuple[int, int, int, int]]] = defaultdict(list)
    epoch = 0
    for event, kind in enumerate(tape.kind.tolist()):
        is_snapshot = kind == SNAPSHOT or (kind == KEYFRAME and event == 0)
        epoch += is_snapshot or kind == GAP
        for row in (
            range(int(tape.first_row[event]), int(tape.first_row[event + 1])) if kind != KEYFRAME or is_snapshot else ()
        ):
            side = int(tape.row_side[row]) * (-1 if kind == TRADE else 1)
            levels[epoch, side, int(tape.row_ticks[row])].append((row, event, kind, int(tape.row_lots[row])))
    pairs = []
    for _, rows in sorted(levels.items()):
        queues: list[dict[int, list[tuple[int, int, int, int]]]] = [defaultdict(list)]
        shown, printed, last = 0, 0, None
        for row, _, kind, lots in rows:
            if kind == TRADE:
                printed += lots
                queues[-1][lots].append((row, -1, printed, -1))
            else:
                if last not in (None, TRADE) and kind == DEPTH and lots != shown:
                    queues[-1][abs(lots - shown)].append((row, 1 if lots > shown else -1, printed, shown))
                shown = lots
                if lots == 0:
                    queues.append(defaultdict(list))
            last = kind
        pairs += [pair for queue in queues for _, changes in sorted(queue.items()) for pair in _paired(changes)]
    return pairs


def _paired(changes: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    resting, pairs = 0, []
    for (came, step, printed, before), (went, next_step, later, shown) in pairwise(changes):
        resting = max(0, resting + step)
        is_cancellation = next_step < 0 <= shown
        if step > 0 and resting == 1 and is_cancellation and later - printed <= before:
            pairs.append((came, went))
    return pairs


@st.composite
def busy_tapes(draw: st.DrawFn) -> Tape:
    """Draw tapes of two prices per side and few sizes, with prints, gaps, new books and repeated snapshots."""
    events: list[tuple[object, ...]] = [(0, "snapshot", [(BID, 3)], [(ASK, 3)])]
    kinds = st.sampled_from(["bid", "ask"] * 6 + ["sell", "buy", "sell", "gap", "snapshot"])
    for us, kind in enumerate(draw(st.lists(kinds, min_size=5, max_size=60)), 1):
        behind, lots = draw(st.integers(0, 1)), draw(st.integers(0, 4))
        if kind in ("bid", "ask"):
            level = [(BID - behind if kind == "bid" else ASK + behind, lots)]
            events.append((us, "depth", *((level, []) if kind == "bid" else ([], level))))
        elif kind in ("sell", "buy"):
            events.append((us, "trade", *((-1, BID - behind) if kind == "sell" else (1, ASK + behind)), 1 + lots))
        elif kind == "gap":
            events += [(us, "gap"), (us, "snapshot", [(BID, 2)], [(ASK, 1 + lots)])]
        else:
            events.append((us, "snapshot", [(BID, 1 + lots)], [(ASK, 2)]))
    return Tape.of(GRID, events)


@pytest.mark.slow
@given(busy_tapes())
def test_cancellations_equal_those_of_a_plain_loop(tape: Tape) -> None:
    """The same orders in the same order, since draws refer to them by number."""
    levels = PriceLevels.of(tape)
    pairs = levels.rows[cancellations(levels)].tolist()
    assert [tuple(pair) for pair in pairs] == plain_cancellations(tape)


@pytest.mark.slow
def test_long_queues_and_many_prices_equal_a_plain_loop() -> None:
    """Thousands of changes of one queue, and of levels."""
    draws = np.random.default_rng(3)
    events: list[tuple[object, ...]] = [(0, "snapshot", [(BID, 100_000)], [(ASK, 500)])]
    shown = 100_000
    for us in range(1, 12_000):
        shown += int(draws.integers(-300, 301))
        events.append((us, "depth", [(BID, shown)], [(ASK + int(draws.integers(1, 10**6)), us)]))
    tape = Tape.of(GRID, events)
    levels = PriceLevels.of(tape)
    pairs = levels.rows[cancellations(levels)].tolist()
    assert len(levels.first) > 10_000
    assert len(pairs) > 500
    assert [tuple(pair) for pair in pairs] == plain_cancellations(tape)


def test_probes_join_a_queue_that_lasts_until_the_cancellation() -> None:
    """Each probe waits at the price of its cancellation, at most one life, behind displayed lots."""
    tape = leaning_tape(0.0, steps=1500)
    count, probes = find_probes(tape, LIFE_US, np.random.default_rng(0))
    assert 0 < len(probes) <= count
    assert (np.diff(probes.us) >= 0).all()
    waits = probes.end_us - probes.us
    assert waits.min() > 0
    assert waits.max() <= LIFE_US
    assert (probes.lots <= probes.level_lots).all()


def test_probe_in_a_queue_that_empties_is_not_used() -> None:
    """Seconds of each cycle: 0 shown, 1 empty, 2 a new queue, 3 an order of seven, 4 it is cancelled."""
    shown = [(0, 100), (1, 0), (2, 40), (3, 47), (4, 40)]
    events: list[tuple[object, ...]] = [(0, "snapshot", [(BID, 100)], [(ASK, 500)])]
    for cycle in range(1, 100):
        events += [((5 * cycle + s) * SECOND, "depth", [(BID, lots)], []) for s, lots in shown]
    _, probes = find_probes(Tape.of(GRID, events), 4 * SECOND, np.random.default_rng(0))
    assert len(probes) > 20
    assert set(probes.end_us // SECOND % 5) == {4}
    assert (probes.us // SECOND % 5).min() == 2


@pytest.mark.parametrize("seed", [1, 2])
def test_uniform_cancellations_give_exponent_one(seed: int) -> None:
    """The interval contains 1, and the predicted share of cancelled lots is correct."""
    fit = fit_exponent(leaning_tape(0.0, steps=9000, seed=seed), life_us=LIFE_US)
    assert fit.usable
    assert fit.low <= 1.0 <= fit.high
    assert fit.predicted_share == pytest.approx(fit.ahead_share, abs=0.03)


def test_exponent_follows_place_of_cancellations() -> None:
    """Cancellations at the front make it larger, at the back smaller, as most lots are ahead of the probes."""
    front = fit_exponent(leaning_tape(-3.0, steps=9000), life_us=LIFE_US)
    back = fit_exponent(leaning_tape(3.0, steps=9000), life_us=LIFE_US)
    assert back.high < 1.0 < front.low


def test_too_few_cancellations_give_no_exponent() -> None:
    """The status and the reason contain the numbers."""
    fit = fit_exponent(leaning_tape(0.0, steps=300), life_us=LIFE_US)
    assert (fit.status, fit.exponent, fit.usable) == ("too_few", None, False)
    assert f"{fit.probes} cancellations could be used, {LEAST_PROBES} are needed" in fit.reason


def test_day_without_trades_has_no_exponent() -> None:
    """Its executions would count as cancellations at the front of the queue."""
    tape = leaning_tape(0.0, steps=9000)
    kept = [event for event in range(len(tape)) if tape.kind[event] != TRADE]
    names = {SNAPSHOT: "snapshot", DEPTH: "depth"}
    sides = [
        [[(ticks, lots) for side, ticks, lots in tape.rows(event) if side == sign] for sign in (1, -1)]
        for event in kept
    ]
    events = [
        (int(tape.event_us[event]), names[tape.kind[event]], *both) for event, both in zip(kept, sides, strict=True)
    ]
    fit = fit_exponent(Tape.of(GRID, events), life_us=LIFE_US)
    assert (fit.status, fit.exponent, fit.usable) == ("no_trades", None, False)
    assert "trade stream" in fit.reason


def test_equal_seeds_give_equal_fits() -> None:
    """Two fits with one seed are equal."""
    tape = leaning_tape(0.0, steps=3000)
    assert fit_exponent(tape, life_us=LIFE_US, seed=4) == fit_exponent(tape, life_us=LIFE_US, seed=4)


@pytest.mark.parametrize("reach", [0, 3, 2**16, 2**40, 2**62])
def test_rows_are_ordered_as_by_a_stable_sort(reach):
    """Equal levels keep the order of the tape, whatever the range of the numbers."""
    numbers = np.random.default_rng(reach).integers(-reach, reach, 5_000, endpoint=True)
    assert stable_order(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()
    assert len(stable_order(numbers[:0])) == 0
