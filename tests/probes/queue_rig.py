"""Helpers shared by the tests of virtual orders: orders, and true outcomes from a plain engine."""

import numpy as np

from mm.probes import queue_score
from mm.probes.virtual_orders import Outcomes, VirtualOrders
from mm.sim.matching.order_log import COLUMNS
from order_truth import KINDS, OrderRow, Truth, read_rows
from plain_matching import PlainMatching

BUYERS, SELLERS = 1001, 1002


def virtual_orders_of(
    *orders: tuple[int, int, int], life_us: int = 1000, checks_us: tuple[int, ...] = ()
) -> VirtualOrders:
    """Return virtual orders of (us, side, ticks)."""
    us, side, ticks = (np.array(column, np.int64) for column in zip(*orders, strict=True))
    zeros = np.zeros(len(us), np.int64)
    return VirtualOrders(us, side, ticks, zeros, np.arange(len(us)), life_us, checks_us)


def rows_of(log):
    """Yield the rows of a log that change resting orders."""
    for row in log:
        if row[1] in KINDS:
            yield OrderRow._make(row[COLUMNS.index(name)] for name in OrderRow._fields)


def true_outcomes(engine: PlainMatching, orders: VirtualOrders) -> Outcomes:
    """Return the outcomes according to the engine's log."""
    truth = Truth(orders)
    truth.play(rows_of(engine.take_log()))
    return truth.outcomes()


def study(tape, log, plan, models):
    """Return virtual orders, their true outcomes, and their outcomes under each model."""
    day = queue_score.scored_day(tape, log, plan)
    truth = Truth(day.orders)
    truth.play(read_rows(log))
    plain = truth.outcomes()
    found = day.truth["print"]
    assert found.sent.tolist() == plain.sent.tolist()
    assert found.filled_us.tolist() == plain.filled_us.tolist()
    np.testing.assert_array_equal(found.ahead[plain.sent], plain.ahead[plain.sent])
    return day.orders, plain, queue_score.played_by(day.tape, day.orders, models)
