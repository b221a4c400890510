"""Lots ahead of our orders when their fill came, under several exponents."""

import numpy as np
import pytest
from leaning_market import ASK, BID, GRID

from mm import Tape
from mm.backtest.days_without_us import OwnActivity, RecordedOrder
from mm.probes.own_orders import _best, own_orders, play_own
from mm.probes.queue_exponent import EXPONENTS as TRIED

S = 1_000_000
EXPONENTS = np.array([0.5, 1.0, 3.0])


def order(us, *left, ticks=BID, fills=()):
    """Return a buy order of two lots from *us* on."""
    steps = ((us, 2 * GRID.lot_e8), *((at, lots * GRID.lot_e8) for at, lots in left))
    return RecordedOrder(1, ticks * GRID.tick_e8, 2 * GRID.lot_e8, steps, fills, f"o{us}")


def played(events, *orders):
    """Return our orders, what became of them under `EXPONENTS`, and how many are left out by reason."""
    tape = Tape.of(GRID, [(0, "snapshot", [(BID, 20)], [(ASK, 20)]), *events, (100 * S, "depth", [], [])])
    market, columns, left_out = own_orders(tape, OwnActivity(orders, frozenset()))
    return columns, play_own(market, columns, EXPONENTS), left_out


def test_lots_ahead_at_a_fill_are_below_zero_once_the_front_was_passed():
    """Of 20 lots ahead 15 print, then 10: at a fill thereafter the models say 5 lots too early."""
    prints = [(2 * S, "trade", -1, BID, 15), (3 * S, "trade", -1, BID, 10)]
    columns, found, _ = played(prints, order(S, (5 * S, 0), fills=((5 * S, 77),)))
    assert found.joined.tolist() == [20]
    assert found.ahead.tolist() == [[-5, -5, -5]]
    assert columns.filled.tolist() == [True]
    assert found.filled.all()


def test_cancellations_split_the_exponents_of_an_order_that_waits():
    """The higher the exponent, the more of what goes in front of few lots is ahead of us."""
    events = [(2 * S, "depth", [(BID, 30)], []), (3 * S, "depth", [(BID, 18)], [])]
    _, found, _ = played(events, order(S, (5 * S, 0)))
    assert (np.diff(found.ahead[0]) < 0).all()
    assert (found.ahead[0] > 0).all()
    assert not found.filled.any()


def test_lots_ahead_are_known_before_the_last_print_that_passed_an_order_by():
    """Not at its end, when a cancellation may have emptied the queue; without such a print, on arrival."""
    events = [(2 * S, "trade", -1, BID, 5), (3 * S, "trade", -1, BID, 6), (4 * S, "depth", [(BID, 3)], [])]
    _, found, _ = played(events, order(S, (5 * S, 0)))
    assert found.joined.tolist() == [18]
    assert found.passed.tolist() == [[13, 13, 13]]
    assert (found.ahead < 9).all()
    _, unpassed, _ = played(events[2:], order(S, (5 * S, 0)))
    assert unpassed.passed.tolist() == [[18, 18, 18]]


def test_a_fill_whose_print_has_another_id_is_the_print_of_as_many_lots():
    """A day of another source numbers prints anew; a taker's prints at a price come at one instant."""
    prints = [(3 * S, "trade", -1, BID, lots) for lots in (15, 5, 2, 4)]
    columns, found, _ = played(prints, order(S, (3 * S, 0), fills=((3 * S, 77),)))
    assert columns.known_us.tolist() == [3 * S + 2]  # the tape tells events of one instant apart
    assert found.ahead.tolist() == [[0, 0, 0]]
    assert found.passed.tolist() == [[5, 5, 5]]


def test_orders_that_tell_nothing_of_the_market_are_left_out_by_reason():
    """One joins behind another of ours, one fills as it arrives, one ends after the recorded day."""
    prints = [(2 * S, "trade", -1, BID, 15)]
    columns, _, left_out = played(
        prints,
        order(S, (50 * S, 0)),
        order(2 * S, (4 * S, 0)),
        order(3 * S, (3 * S, 0), ticks=BID - 1, fills=((3 * S, 5),)),
        order(6 * S, (500 * S, 0), ticks=BID - 2),
    )
    assert columns.client_id == [f"o{S}"]
    assert set(left_out.values()) == {1}


@pytest.mark.parametrize(("noise", "status"), [(0.01, "ok"), (10.0, "wide")])
def test_an_interval_may_have_every_tried_exponent(noise, status):
    """Eleven blocks whose likelihoods lean to either side of an exponent of 1, by little or by much."""
    tried, block = np.log(TRIED), np.arange(11)
    leans = np.where(block % 2, noise, -noise) * (1 + block / 11)
    best, found = _best(tried**2 + (leans - leans.mean())[:, None] * tried, block * 180 * S)
    assert found == status
    assert abs(best.value) < 0.01
    assert bool(np.isclose([best.low, best.high], [tried[0], tried[-1]]).all()) is (status == "wide")
