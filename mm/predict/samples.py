"""Samples for fitting and scoring predictors: signal values, and outcomes within the horizon.

``return`` has a sample per signal row, ``adverse`` per aggressive order and the side it fills, ``fill`` per row, side
and distance. A sample needs all signals, and a horizon recorded without a gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_S
from mm.errors import FitError
from mm.signals.compute import NO_OTHERS, compute
from mm.signals.score import move_to
from mm.tape.tape import GAP

if TYPE_CHECKING:
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape

TARGETS = ("return", "adverse", "fill")
IMBALANCE = "imbalance_1"
MOST_SAMPLES = 200_000
SWEEP_US = 1000  # maximum time between two prints of one aggressive order
_QUANTILES = (0.3, 0.7, 0.9, 0.97, 0.995)  # of the distances of prints, at which `fill` is measured
_MOST_TICKS = 1 << 62
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    target: str
    horizon_s: float
    signals: tuple[str, ...]
    distances_ticks: tuple[float, ...] = ()

    @property
    def horizon_us(self) -> int:
        return round(self.horizon_s * US_PER_S)

    @property
    def inputs(self) -> int:
        return len(self.signals) + (self.target == "fill")

    @property
    def sides(self) -> int:
        return 1 if self.target == "return" else 2


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in chronological order, as columns of equal length.

    Attributes:
        side: 0 bids or none, 1 asks.
        outcome: Move in ticks, or 1 if the order fills or the mid moves against the fill.
        move_ticks: Of the mid, against the fill (``adverse``) or up (``return``); 0 for ``fill``.
    """

    us: Ints
    until_us: Ints
    side: Ints
    rows: Floats
    mid_ticks: Floats
    outcome: Floats
    move_ticks: Floats
    imbalance: Floats
    spread: Floats

    def __len__(self) -> int:
        return len(self.us)

    def at(self, which: NDArray[np.bool_] | Ints) -> Self:
        return replace(self, **{column.name: getattr(self, column.name)[which] for column in fields(self)})


class SignalTable(NamedTuple):
    us: Ints
    rows: Floats
    mid_ticks: Floats
    imbalance: Floats
    spread: Floats


class _PrintColumns(NamedTuple):
    us: Ints
    side: Ints
    ticks: Ints
    first: NDArray[np.bool_]


def columns_of(tape: "Tape", signals: Sequence[str], others: Mapping[str, "OtherFeed"] = NO_OTHERS) -> SignalTable:
    names = tuple(dict.fromkeys((*signals, IMBALANCE, "mid", "spread")))
    pieces = list(compute(tape, names, others=others))
    us = np.concatenate([np.empty(0, np.int64), *(piece.recv_us for piece in pieces)])
    values = np.concatenate([np.empty((len(names), 0)), *(piece.values for piece in pieces)], axis=1)
    # The mid is a whole number of half ticks; in the quote asset it is rounded.
    mid_ticks = np.rint(values[names.index("mid")] * 2e8 / tape.instrument.tick_e8) / 2.0
    rows = np.ascontiguousarray(values[: len(signals)].T)
    return SignalTable(us, rows, mid_ticks, values[names.index(IMBALANCE)], values[names.index("spread")])


def samples_of(tapes: Sequence["Tape"], task: Task, others: Mapping[str, "OtherFeed"] = NO_OTHERS) -> Samples:
    """Thin them evenly if very many; signals may read *others*; FitError without samples."""
    samples = joined([_samples(tape, task, MOST_SAMPLES // len(tapes), others) for tape in tapes])
    if not len(samples):
        tape = tapes[0]
        raise FitError(
            f"{tape.symbol} from {tape.days[0]} on: no sample of {task.target} has all of "
            f"{', '.join(task.signals)} and {task.horizon_s:g} s after it; give fewer signals or a shorter horizon"
        )
    return samples.at(np.argsort(samples.us, kind="stable"))


def joined(pieces: Sequence[Samples]) -> Samples:
    return Samples(*(np.concatenate([getattr(piece, column.name) for piece in pieces]) for column in fields(Samples)))


def distances_of(tapes: Sequence["Tape"]) -> tuple[float, ...]:
    """Return half-tick multiples: quantiles of the prints' distances; FitError without prints."""
    distances = []
    for tape in tapes:
        columns, prints = columns_of(tape, ()), _prints(tape)
        row = np.searchsorted(columns.us, prints.us, side="left") - 1
        distance = (prints.ticks - columns.mid_ticks[row]) * prints.side
        distances.append(distance[(row >= 0) & (distance > 0)])
    reached = np.concatenate(distances)
    if not len(reached):
        raise FitError(f"{tapes[0].symbol}: no print beyond the mid, so there is no distance at which an order fills")
    return tuple(sorted({float(np.ceil(2 * ticks) / 2) for ticks in np.quantile(reached, _QUANTILES)}))


def _samples(tape: "Tape", task: Task, most: int, others: Mapping[str, "OtherFeed"]) -> Samples:
    columns, prints = columns_of(tape, task.signals, others), _prints(tape)
    gaps = np.sort(tape.event_us[tape.kind == GAP])
    if task.target == "adverse":
        samples = _adverse(columns, prints, gaps, task.horizon_us)
    elif task.target == "fill":
        samples = _fill(columns, prints, gaps, task, most)
    else:
        row = np.arange(len(columns.us))
        then = columns.us + task.horizon_us
        move = move_to(columns.us, columns.mid_ticks, gaps, row, then)
        samples = _rows_of(columns, row, (columns.us, then, np.zeros_like(row)), move, move)
    inside = samples.us >= tape.start_us  # the events of a window begin before it, to build its book
    numbers = np.column_stack([samples.rows, samples.outcome, samples.imbalance])
    known = np.flatnonzero(inside & ~np.isnan(numbers).any(axis=1))
    return samples.at(known[:: -(-len(known) // most) or 1])


def _rows_of(columns: SignalTable, row: Ints, when: tuple[Ints, Ints, Ints], outcome: Floats, move: Floats) -> Samples:
    return Samples(
        *when, columns.rows[row], columns.mid_ticks[row], outcome, move, columns.imbalance[row], columns.spread[row]
    )


def _adverse(columns: SignalTable, prints: _PrintColumns, gaps: Ints, horizon_us: int) -> Samples:
    us, aggressor = prints.us[prints.first], prints.side[prints.first]
    row = np.searchsorted(columns.us, us, side="left") - 1  # the last one before it
    us, aggressor, row = us[row >= 0], aggressor[row >= 0], row[row >= 0]
    then = us + horizon_us
    against = aggressor * move_to(columns.us, columns.mid_ticks, gaps, row, then)
    outcome = np.where(np.isnan(against), np.nan, against > 0)
    return _rows_of(columns, row, (us, then, (aggressor + 1) // 2), outcome, against)


def _fill(columns: SignalTable, prints: _PrintColumns, gaps: Ints, task: Task, most: int) -> Samples:
    step = -(-len(columns.us) * 2 * len(task.distances_ticks) // most) or 1
    row = np.arange(0, len(columns.us), step)
    us, mid = columns.us[row], columns.mid_ticks[row]
    then = us + task.horizon_us
    whole = ~np.isnan(move_to(columns.us, columns.mid_ticks, gaps, row, then))
    pieces = []
    for place, sign in enumerate((1, -1)):  # a bid, filled by sells; an ask
        taken = prints.side == -sign
        reached = _minimum(prints.us[taken], sign * prints.ticks[taken], us, then)
        for distance in task.distances_ticks:
            price = np.floor(sign * mid - distance)  # an ask's on the mirrored axis
            shown = whole & (price <= sign * mid - columns.spread[row] / 2.0)
            outcome = np.where(shown, reached <= price, np.nan)
            side = np.full(len(row), place, np.int64)
            of_side = _rows_of(columns, row, (us, then, side), outcome, np.zeros(len(row)))
            pieces.append(replace(of_side, rows=np.column_stack([of_side.rows, sign * mid - price])))
    return joined(pieces)


def _prints(tape: "Tape") -> _PrintColumns:
    us, side = tape.event_us[tape.trades], tape.trade_side.astype(np.int64)
    first = np.ones(len(us), bool)
    first[1:] = (side[1:] != side[:-1]) | (np.diff(us) > SWEEP_US)
    return _PrintColumns(us, side, tape.trade_ticks, first)


def _minimum(us: Ints, values: Ints, after: Ints, until: Ints) -> Ints:
    begin, end = np.searchsorted(us, after, side="right"), np.searchsorted(us, until, side="right")
    minima = np.full(len(begin), _MOST_TICKS)
    least, width = values, 1  # least[i]: of the *width* values from i on
    while len(least):
        # An interval is covered by two of the widest windows that fit in it.
        here = (end - begin >= width) & (end - begin < 2 * width)
        minima[here] = np.minimum(least[begin[here]], least[end[here] - width])
        least, width = np.minimum(least[:-width], least[width:]), 2 * width
    return minima
