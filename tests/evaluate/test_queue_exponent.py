"""The exponent comes out of tapes that name no order, and leans where cancellations lean."""

from dataclasses import fields, replace

import numpy as np
import pytest
from leaning_market import ASK, BID, GRID, leaning_tape

from mm.evaluate import queue_exponent
from mm.evaluate.queue_exponent import LEAST_PROBES, PriceLevels, cancellations, find_probes, fit_exponent
from mm.tape.tape import Tape

SECOND = 1_000_000
LIFE_US = 3 * SECOND  # in which an order here stays in the back half of its queue


def found(*levels: tuple[int, str, int]) -> list[tuple[int, int]]:
    """Return the instants of arrival and cancellation that a bid's lots (``book``) and prints (``print``) tell."""
    events = [(0, "snapshot", [(BID, 100)], [(ASK, 500)])]
    for us, what, lots in levels:
        events.append((us, "depth", [(BID, lots)], []) if what == "book" else (us, "trade", -1, BID, lots))
    table = PriceLevels.of(Tape.of(GRID, events))
    return [(int(table.us[came]), int(table.us[went])) for came, went in cancellations(table)]


def test_a_cancelled_order_is_known_by_its_size() -> None:
    """Seven lots come at 1 and seven go at 3; what happens in between has other sizes."""
    assert found((1, "book", 107), (2, "book", 102), (3, "book", 95)) == [(1, 3)]


@pytest.mark.parametrize(
    "levels",
    [
        [(1, "book", 107), (2, "print", 1), (3, "book", 99)],  # a print in between: 7 left, or another number
        [(1, "print", 1), (2, "book", 106), (3, "book", 99)],  # likewise when it came
        [(1, "book", 107), (2, "book", 114), (3, "book", 107)],  # two of seven rest; which one went?
        [(1, "book", 107), (2, "print", 7), (3, "book", 100), (4, "book", 93)],  # perhaps it is what printed
        [(1, "book", 107), (2, "print", 101), (3, "book", 20), (4, "book", 13)],  # prints went past its place
        [(1, "book", 107), (2, "book", 0), (3, "book", 20), (4, "book", 13)],  # its queue ended
        [(3, "book", 93)],  # it had come before the tape
    ],
)
def test_a_cancelled_order_that_may_be_another_is_not_used(levels: list[tuple[int, str, int]]) -> None:
    """Each of these could be told from two stories."""
    assert found(*levels) == []


def test_an_order_that_another_of_its_size_follows_is_known_again() -> None:
    """Seven come and go, and seven come and go."""
    steps = [(1, "book", 107), (2, "book", 100), (3, "book", 107), (4, "book", 100)]
    assert found(*steps) == [(1, 2), (3, 4)]


def test_a_new_book_begins_every_queue_anew() -> None:
    """What rested before a gap may have gone in it."""
    events = [
        (0, "snapshot", [(BID, 100)], [(ASK, 500)]),
        (1, "depth", [(BID, 107)], []),
        (2, "gap"),
        (3, "snapshot", [(BID, 107)], [(ASK, 500)]),
        (4, "depth", [(BID, 100)], []),
    ]
    assert len(cancellations(PriceLevels.of(Tape.of(GRID, events)))) == 0


def test_a_piece_of_a_busy_day_tells_what_a_tape_of_its_own_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day with more rows than are sorted at a time is cut, and its windows stand in the rows of the whole."""
    tape = leaning_tape(0.0, steps=1500)
    monkeypatch.setattr(queue_exponent, "PIECE_ROWS", -(-len(tape.row_ticks) // 3))
    cut = queue_exponent.pieces(tape)
    assert len(cut) == 3
    for piece in cut:
        first, last = piece.first_row[[0, -1]].tolist()
        rows = {name: getattr(piece, name)[first:last] for name in ("row_side", "row_ticks", "row_lots")}
        alone, levels = PriceLevels.of(replace(piece, first_row=piece.first_row - first, **rows)), PriceLevels.of(piece)
        assert all(np.array_equal(getattr(levels, one.name), getattr(alone, one.name)) for one in fields(PriceLevels))
    found, probes = find_probes(tape, LIFE_US, np.random.default_rng(0))
    assert found == sum(len(cancellations(PriceLevels.of(piece))) for piece in cut) >= len(probes) > 0


def test_probes_join_a_queue_that_lasts_until_the_cancellation() -> None:
    """Each waits at the price of its cancellation, for no longer than a life, behind lots that are displayed."""
    tape = leaning_tape(0.0, steps=1500)
    count, probes = find_probes(tape, LIFE_US, np.random.default_rng(0))
    assert 0 < len(probes) <= count
    assert (np.diff(probes.us) >= 0).all()
    waits = probes.end_us - probes.us
    assert waits.min() > 0
    assert waits.max() <= LIFE_US
    assert (probes.lots <= probes.level_lots).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_where_any_order_may_be_cancelled_alike_the_exponent_is_one(seed: int) -> None:
    """The interval holds 1, and the model's share of cancelled lots is the true one."""
    fit = fit_exponent(leaning_tape(0.0, steps=9000, seed=seed), life_us=LIFE_US)
    assert fit.usable
    assert fit.low <= 1.0 <= fit.high
    assert fit.predicted_share == pytest.approx(fit.ahead_share, abs=0.03)


def test_the_exponent_leans_where_cancellations_lean() -> None:
    """In the back half of a queue most lots are ahead: cancellations at the front make it larger, at the back less."""
    front = fit_exponent(leaning_tape(-3.0, steps=9000), life_us=LIFE_US)
    back = fit_exponent(leaning_tape(3.0, steps=9000), life_us=LIFE_US)
    assert back.high < 1.0 < front.low


def test_too_few_cancellations_are_said_to_be_too_few() -> None:
    """No number is better than a number of nothing."""
    fit = fit_exponent(leaning_tape(0.0, steps=300), life_us=LIFE_US)
    assert (fit.status, fit.exponent, fit.usable) == ("too_few", None, False)
    assert f"{fit.probes} cancellations could be used, {LEAST_PROBES} are needed" in fit.reason


def test_a_seed_chooses_and_chooses_alike() -> None:
    """Two fits of one seed are equal."""
    tape = leaning_tape(0.0, steps=3000)
    assert fit_exponent(tape, life_us=LIFE_US, seed=4) == fit_exponent(tape, life_us=LIFE_US, seed=4)
