"""How long simulated orders rested at each distance, and how often the first fill came there.

An order counts from the instant it rests until its first fill, the instant its cancel takes effect,
its expiry, a break of the book or the end of the data: first fill goes with time to first fill. Its
distance is that of its own price from the current reference, so an order that stands still changes
its distance when the market moves; or, for comparison, from the anchor of its quote. While it is
nearer than its own side's best price, or the book is not valid, its seconds and fills are left out:
no print shows who would have come.

Where the fill model of a backtest decided on the fills (``by_model``), every fill of an order counts, with all
of its time at rest on a valid book: all fills go with the full time. A fill counts at the distance at which its
order stood until then, also where the book moved onto it at the same instant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.backtest.journal import ACTIONS, FILL_COLUMNS, ORDER_COLUMNS, STATUSES, Journal
from mm.calibration.points import Points
from mm.calibration.reference import (
    BLOCK_S,
    CLOSED,
    PER_TICK,
    ReferencePath,
    block_length_us,
    reference_path,
    span_of,
)
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]

FOREVER = 1 << 62
ENDED = [STATUSES.index(name) for name in ("CANCELLED", "FILLED", "EXPIRED", "REJECTED")]


@dataclass(frozen=True)
class OrderExposure:
    """Exposure and first fills of simulated orders.

    Attributes:
        points: By side, block and distance; a fill is hit by anything at the distance or beyond.
        orders: Orders that rested.
        fills: First fills counted.
        fills_left_out: First fills of orders that were nearer than the best price, or without a valid book.
        exposed_s: Order-seconds counted.
        left_out_s: Order-seconds of orders nearer than the best price, or without a valid book.
    """

    points: Points
    orders: int
    fills: int
    fills_left_out: int
    exposed_s: float
    left_out_s: float


@dataclass(frozen=True)
class Anchors:
    """The references that quotes were put around, in the order in which they were taken.

    Attributes:
        us: When each was taken; it holds for the orders that are sent from then on.
        steps: By side, the reference of its orders, in steps.
        per_tick: Steps of distance in one tick.
    """

    us: "Ints"
    steps: "dict[int, Ints]"
    per_tick: int

    @classmethod
    def of(cls, taken: Sequence[tuple[int, float, float]], reference: str) -> Self:
        """Return the anchors that a quote model took: instant, reference of buys and of sells in ticks."""
        us, buy, sell = (np.array([row[at] for row in taken]) for at in range(3))
        per_tick = PER_TICK[reference]
        steps = {side: np.rint(per_tick * ticks).astype(np.int64) for side, ticks in ((1, buy), (-1, sell))}
        return cls(us.astype(np.int64), steps, per_tick)

    def distances(self, us: "Ints", side: "Ints", ticks: "Ints") -> "Ints":
        """Return the distance of orders sent at *us* from their anchor, in steps; never below 0."""
        at = np.searchsorted(self.us, us, side="right") - 1
        anchor = np.where(side == 1, self.steps[1][at], self.steps[-1][at])
        distance: Ints = np.maximum(side * (anchor - self.per_tick * ticks), 0)
        return distance


@dataclass(frozen=True)
class _Lives:
    """One row an order that rested: from when, until when, and whether a fill ended it."""

    ids: "Ints"
    side: "Ints"
    ticks: "Ints"
    start_us: "Ints"
    end_us: "Ints"
    filled: "NDArray[np.bool_]"
    mid2: "Ints"  # at the first fill
    distance: "Ints | None"  # from the anchor; None where that from the current reference counts
    by_model: bool  # whether orders nearer than the best price are exposed as well

    def distances(self, path: ReferencePath, lives: "Ints | NDArray[np.bool_]", rows: "Ints") -> "Ints":
        """Return where some *lives* stand in *rows* of the path, in steps; ``CLOSED`` where they are not exposed."""
        side, ticks = self.side[lives], self.ticks[lives]
        reference = np.where(side == 1, path.reference[1][rows], path.reference[-1][rows])
        touch = np.where(side == 1, path.touch[1][rows], path.touch[-1][rows])
        current = side * (reference - path.per_tick * ticks)
        counted = current if self.distance is None else self.distance[lives]
        least = np.zeros_like(touch) if self.by_model else touch
        return np.where((touch != CLOSED) & (current >= least), counted, CLOSED)


@dataclass(frozen=True)
class _Places:
    """Where orders stood: ``distance`` is ``CLOSED`` where nobody could have shown that they were hit."""

    side: "Ints"
    block: "Ints"
    distance: "Ints"

    def keys(self, blocks: int, distances: int) -> "Ints":
        """Return one number for each place that counts; ``CLOSED`` ones are left out."""
        counted = self.distance != CLOSED
        side = (self.side[counted] == 1).astype(np.int64)
        keys: Ints = (side * blocks + self.block[counted]) * distances + self.distance[counted]
        return keys


def order_exposure(
    journal: Journal,
    tape: "Tape",
    reference: str = "mid",
    block_s: float = BLOCK_S,
    anchors: Anchors | None = None,
    *,
    by_model: bool = False,
) -> OrderExposure:
    """Return the exposure of a journal's orders over the span of *tape*.

    Args:
        journal: What a run of ``ladder`` or ``fixed`` left.
        tape: The tape it was played on, or a window of it: its best prices say how far each order
            stood. An order that outlives a window rests until its end, whatever became of it then.
        reference: ``mid``, ``micro`` or ``best``.
        block_s: Length of the blocks, counted from the start of the span; exposure is split there.
        anchors: Where the quotes were anchored: distances count from there; None for the current reference.
        by_model: Whether a fill model decided on the fills, so that all of them count, with all time at rest.
    """
    (start_us, end_us), block_us = span_of(tape), block_length_us(block_s)
    path = reference_path(tape, reference)
    lives = _lives(journal, (start_us, end_us), anchors, by_model)
    places, spent = _pieces(lives, path, path.segments(start_us, end_us, block_us))
    if by_model:
        hits = _every_fill(journal, lives, path, (start_us, end_us, block_us))
    else:
        hits = _fills(lives, path, start_us, block_us)
    exposed = places.distance != CLOSED
    points = _points(places, spent, hits, path.per_tick)
    fills = int(points.fills.sum())
    return OrderExposure(
        points=points,
        orders=lives.side.size,
        fills=fills,
        fills_left_out=hits.distance.size - fills,
        exposed_s=int(spent[exposed].sum()) / US_PER_S,
        left_out_s=int(spent[~exposed].sum()) / US_PER_S,
    )


def _lives(journal: Journal, span: tuple[int, int], anchors: Anchors | None, by_model: bool) -> _Lives:
    """Return the lives of the orders that rested for some time in ``[start, end)``, cut to it."""
    start_us, end_us = span
    column = dict(zip(ORDER_COLUMNS, journal.orders.T, strict=True))
    order_id, us, action = column["order_id"], column["us"], column["action"]
    placed, fill = action == ACTIONS.index("PLACE"), action == ACTIONS.index("FILL")
    size = int(order_id.max(initial=0)) + 1
    ended_us, filled_us = np.full(size, FOREVER), np.full(size, FOREVER)
    over = np.isin(column["status"], ENDED) | (fill & (not by_model))
    np.minimum.at(ended_us, order_id[over], us[over])
    np.minimum.at(filled_us, order_id[fill], us[fill])
    fills = dict(zip(FILL_COLUMNS, journal.fills[::-1].T, strict=True))  # the first fill of an order comes last
    mid2 = np.zeros(size, np.int64)
    mid2[fills["order_id"]] = fills["mid2_ticks"]
    ids, ticks = order_id[placed], column["ticks"][placed]
    begin_us, stop_us = np.maximum(column["active_us"][placed], start_us), np.minimum(ended_us[ids], end_us)
    rested = begin_us < stop_us
    return _Lives(
        ids=ids[rested],
        side=column["side"][placed][rested],
        ticks=ticks[rested],
        start_us=begin_us[rested],
        end_us=stop_us[rested],
        filled=((filled_us[ids] == stop_us) & (stop_us < end_us))[rested],
        mid2=mid2[ids][rested],
        distance=None if anchors is None else anchors.distances(us[placed], column["side"][placed], ticks)[rested],
        by_model=by_model,
    )


def _pieces(lives: _Lives, path: ReferencePath, segments: "tuple[Ints, Ints, Ints]") -> "tuple[_Places, Ints]":
    """Return each life cut where the reference moves or a block begins, with the µs of each piece."""
    edges, rows, blocks = segments
    first = np.searchsorted(edges[:-1], lives.start_us, side="right") - 1
    count = np.searchsorted(edges[:-1], lives.end_us, side="left") - first
    owner = np.repeat(np.arange(count.size), count)
    segment = np.arange(owner.size) + np.repeat(first - (np.cumsum(count) - count), count)
    spent = np.minimum(lives.end_us[owner], edges[segment + 1]) - np.maximum(lives.start_us[owner], edges[segment])
    owner, segment, spent = owner[spent > 0], segment[spent > 0], spent[spent > 0]
    return _Places(lives.side[owner], blocks[segment], lives.distances(path, owner, rows[segment])), spent


def _fills(lives: _Lives, path: ReferencePath, start_us: int, block_us: int) -> _Places:
    """Return where each filled order stood when its first fill came: by the book before the print."""
    side, us = lives.side[lives.filled], lives.end_us[lives.filled]
    distance = lives.distances(path, lives.filled, path.row_at(us, lives.mid2[lives.filled]))
    return _Places(side, (us - 1 - start_us) // block_us, distance)


def _every_fill(journal: Journal, lives: _Lives, path: ReferencePath, window: tuple[int, int, int]) -> _Places:
    """Return where orders stood when each of their fills in a *window* came: by the book until that instant."""
    (start_us, end_us, block_us), fills = window, dict(zip(FILL_COLUMNS, journal.fills.T, strict=True))
    life = np.full(int(max(lives.ids.max(initial=0), fills["order_id"].max(initial=0))) + 1, -1)
    life[lives.ids] = np.arange(lives.ids.size)
    owner, us = life[fills["order_id"]], fills["us"]
    counted = (owner >= 0) & (us < end_us)
    counted[counted] = us[counted] > lives.start_us[owner[counted]]
    owner, us = owner[counted], us[counted]
    rows = np.searchsorted(path.us, us, side="left") - 1
    return _Places(lives.side[owner], (us - 1 - start_us) // block_us, lives.distances(path, owner, rows))


def _points(places: _Places, spent: "Ints", hits: _Places, per_tick: int) -> Points:
    """Return seconds and hits of each place that has seconds.

    A hit at the very instant at which its order came to stand so, where no order ever rested, is left out.
    """
    blocks = int(max(places.block.max(initial=0), hits.block.max(initial=0))) + 1
    distances = int(max(places.distance.max(initial=0), hits.distance.max(initial=0))) + 1
    keys, into = np.unique(places.keys(blocks, distances), return_inverse=True)
    exposure_us = np.bincount(into, spent[places.distance != CLOSED], keys.size)
    hit_keys = hits.keys(blocks, distances)
    hit_keys = hit_keys[np.isin(hit_keys, keys)]
    fills = np.bincount(np.searchsorted(keys, hit_keys), minlength=keys.size)
    return Points.of(
        keys % distances / per_tick,
        exposure_us / US_PER_S,
        fills,
        side=np.where(keys // (blocks * distances) == 1, 1, -1),
        block=keys // distances % blocks,
    )
