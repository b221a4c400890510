"""Where the true fills of virtual orders lie between the bounds of a queue, on books that show each change or fewer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.models import FILL_MODELS, queue_back, queue_front, queue_prob_power
from mm.base.estimate import Estimate
from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.probes.log_tape import STEP_US, tape_of_log
from mm.probes.queue_score import WHERE, OrderBlocks, aligned, block_length, stated
from mm.probes.virtual_orders import OrderPlan, Outcomes, VirtualOrders, draw_orders, play
from mm.tape.order_index import READINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).max
BOOKS: Mapping[str, int | None] = {"each change": None, f"{STEP_US // 1000} ms": STEP_US}
"""Books made from a log, and the µs between their messages."""
SHARES = {"exponent 1": 1.0, "exponent 3": 3.0}
"""Models between the bounds, with the exponents of queue_prob_power."""
DEFINITION = (
    "virtual orders of one order step join the end of a queue and live {life_s:g} s; the true outcome follows from "
    "every order of the log, an execution counts {where}; above: truth before the front, below: truth after the back; "
    "nested: front <= exponent 1 and 3 <= back at each order; intervals are long-run ones over blocks of {block_s:g} s"
)
SHOWN = ("back", "exponent 3", "truth", "front", "inside", "above", "below", "nested")
Step = Callable[[int], None]


@dataclass(frozen=True)
class LogBounds:
    """A log's orders on one book, under one reading of its executions; shares of orders.

    Attributes:
        above: Orders that truly filled before the front, which is to bound them from above.
        below: Orders that truly filled after the back.
        nested: Orders whose instants under every share lie between front and back.
    """

    log: str
    book: str
    reading: str
    n_orders: int
    back: Estimate
    middle: Estimate
    truth: Estimate
    front: Estimate
    inside: Estimate
    above: Estimate
    below: Estimate
    nested: Estimate


def log_bounds(path: Path, plan: OrderPlan, step: Step = lambda _count: None) -> list[LogBounds]:
    """Under both readings, on each of `BOOKS`; UsageError if the log is too short, BrokenFile if it is invalid."""
    first = tape_of_log(path, None)
    orders = draw_orders(first, plan)
    if not len(orders):
        raise UsageError(
            "{}: no order of {:g} s fits into it; give a shorter {queue_life_s}", path, plan.life_us / US_PER_S
        )
    every_order = FILL_MODELS["queue_orders"]
    truth = {reading: play(first, orders, partial(every_order, reading=reading)) for reading in READINGS}
    rows = []
    for book, step_us in BOOKS.items():
        tape = first if step_us is None else tape_of_log(path, step_us)
        front, back = play(tape, orders, queue_front), play(tape, orders, queue_back)
        between = [play(tape, orders, partial(queue_prob_power, exponent=exponent)) for exponent in SHARES.values()]
        played = front, back, *between
        rows += [_row((path.name, book, reading), orders, true, played) for reading, true in truth.items()]
        step(1)
    return rows


def _row(place: tuple[str, str, str], orders: VirtualOrders, truth: Outcomes, played: Sequence[Outcomes]) -> LogBounds:
    kept = np.flatnonzero(np.logical_and.reduce([truth.sent, *(one.sent for one in played)]))
    true, front, back, *between = (_instants(one, kept) for one in (truth, *played))
    blocks, every = OrderBlocks(orders.us[kept], orders.life_us), np.ones(len(kept))
    above, below = true < front, true > back
    nested = np.logical_and.reduce([front <= back, *((front <= one) & (one <= back) for one in between)])
    shares = (back < NEVER, between[-1] < NEVER, true < NEVER, front < NEVER, ~(above | below), above, below, nested)
    return LogBounds(*place, len(kept), *(blocks.ratio(share, every) for share in shares))


def _instants(outcomes: Outcomes, kept: "NDArray[np.intp]") -> "NDArray[np.int64]":
    filled = outcomes.filled_us[kept]
    return np.where(filled < 0, NEVER, filled)


def lines(rows: Sequence[LogBounds], life_us: int) -> Iterator[str]:
    head = ("filled, %", "book", "reading", "orders", *SHOWN)
    yield from aligned([head, *(_cells(row) for row in rows)])
    yield definition(life_us)


def _cells(row: LogBounds) -> tuple[str, ...]:
    numbers = (row.back, row.middle, row.truth, row.front, row.inside, row.above, row.below, row.nested)
    return row.log, row.book, row.reading, f"{row.n_orders:,}", *(_percent(number) for number in numbers)


def _percent(number: Estimate) -> str:
    """An exact 0 or 100, which has no interval, without one."""
    return f"{100 * number.value:g}" if number.value in (0.0, 1.0) else stated(number, 100)


def definition(life_us: int) -> str:
    where = " or ".join(WHERE[reading] for reading in READINGS)
    return DEFINITION.format(where=where, life_s=life_us / US_PER_S, block_s=block_length(life_us) / US_PER_S)


def content(rows: Sequence[LogBounds], life_us: int) -> dict[str, Any]:
    return {"definition": definition(life_us), "rows": [asdict(row) for row in rows]}
