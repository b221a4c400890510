"""Estimate of the exponent of ``queue_prob_power`` from a tape without order ids (L2).

A level that grows by exactly q lots between two book messages without a print received an order of q lots; one that
shrinks likewise lost one. If no other order of q lots is known at that price, both are the same order, with a known
arrival.

For a virtual order that joined the queue at random before the cancellation, it is known whether the cancelled order was
ahead (y = 1) or not (y = 0). The model predicts the probability

    F(n) = a^n / (a^n + b^n),   a lots ahead of the virtual order and b after it, as estimated by the model,

n minimises the sum of lots·(y - F(n))² over cancellations: the model's share of cancelled lots ahead is then nearest to
the observed one. Lots are the weights, as the model works in lots: if all orders are equally likely to be cancelled,
lots ahead are cancelled as a / (a + b), which is n = 1.
"""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.fills.base import QueueByExponents
from mm.backtest.preset import Hours
from mm.probes.virtual_orders import manual_exchange, while_open
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Floats = NDArray[np.float64]
    Places = NDArray[np.int32]

PIECE_ROWS = 4_000_000  # rows of a tape sorted at once; an order that outlives a piece is not matched
EXPONENTS = np.exp(np.linspace(np.log(0.1), np.log(10), 17))
MOST_PROBES = 6_000
LEAST_PROBES = 200
MOST_OPEN = 40  # virtual orders at once, on average; the exchange checks each of them at every message
BLOCKS = 50
DRAWS = 400
MISFIT = 0.1  # of the share of cancelled lots ahead; a larger difference to the predicted one is a misfit


@dataclass(frozen=True, eq=False)
class PriceLevels:
    """A tape's book rows and prints, level after level, each in order.

    A level is a side's price within one book; a print belongs to the resting order's level.

    Attributes:
        first: Index in *rows* of each level's first, and the end.
        lots: Displayed, or printed.
    """

    tape: "Tape"
    rows: "Places"
    first: "Ints"
    event: "Places"
    lots: "Ints"

    @classmethod
    def of(cls, tape: "Tape") -> "PriceLevels":
        own = slice(*tape.first_row[[0, -1]].tolist())  # a window has the rows of the whole tape
        event = np.repeat(np.arange(len(tape), dtype=np.int32), np.diff(tape.first_row))
        kind, ticks = tape.kind[event], tape.row_ticks[own]
        begins = (tape.kind == SNAPSHOT) | ((tape.kind == KEYFRAME) & (np.arange(len(tape)) == 0))
        epoch = np.cumsum(begins | (tape.kind == GAP))
        book = 2 * epoch[event] + ((tape.row_side[own] > 0) != (kind == TRADE))
        level = book * (int(ticks.max(initial=0)) + 1) + ticks
        rows = np.flatnonzero((kind != KEYFRAME) | begins[event]).astype(np.int32)  # other keyframes repeat a book
        rows = rows[stable_order(level[rows])]
        first = np.flatnonzero(np.diff(level[rows], prepend=-1))
        return cls(tape, rows, np.append(first, len(rows)), event, tape.row_lots[own])

    def begin(self, place: int) -> int:
        return int(self.first[np.searchsorted(self.first, place, side="right") - 1])

    def us(self, places: "slice | Places | Ints") -> "Ints":
        us: Ints = self.tape.event_us[self.event[self.rows[places]]]
        return us

    def are_prints(self, places: slice) -> "NDArray[np.bool_]":
        are_prints: NDArray[np.bool_] = self.tape.kind[self.event[self.rows[places]]] == TRADE
        return are_prints

    def shown_at(self, place: int, us: int) -> int:
        """The last book row at *place*'s price before *us*; -1 for none."""
        begin = self.begin(place)
        stop = begin + int(np.searchsorted(self.us(slice(begin, place)), us, side="right"))
        book = np.flatnonzero(~self.are_prints(slice(begin, stop)))
        return begin + int(book[-1]) if len(book) else -1

    def lasts(self, begin: int, end: int) -> bool:
        within = slice(begin + 1, end)
        return not ((self.lots[self.rows[within]] == 0) & ~self.are_prints(within)).any()


def stable_order(numbers: "Ints") -> "Ints":
    rest = (numbers - numbers.min(initial=0)).astype(np.uint64)
    order: Ints = np.argsort(rest.astype(np.uint16), kind="stable")
    while (rest := rest >> 16).any():
        order = order[np.argsort(rest.astype(np.uint16)[order], kind="stable")]
    return order


def cancellations(levels: PriceLevels) -> "Places":
    """(arrival, cancellation) indices of cancelled orders with known arrival, int32[n, 2]."""
    kind, lots = levels.tape.kind[levels.event[levels.rows]], levels.lots[levels.rows]
    printed_here, begins = kind == TRADE, np.zeros(len(lots), bool)
    begins[levels.first[:-1]] = True
    change = np.where(printed_here, -lots, np.diff(lots, prepend=0))
    follows = ~begins & ~np.append(True, printed_here[:-1])  # else a print may be part of the change
    at = np.flatnonzero(printed_here | ((kind == DEPTH) & follows & (change != 0)))
    ended = np.append(False, (lots == 0)[:-1] & ~printed_here[:-1])
    queue, size = np.cumsum(begins | ended)[at], np.abs(change[at])
    # Queues are in order already, so their numbers with the sizes below are nearly sorted.
    widest = int(size.max(initial=0)) + 1
    if widest * (len(lots) + 1) >= 2**63:
        _, size = np.unique(size, return_inverse=True)
        widest = len(size)
    order = np.argsort(queue * widest + size, kind="stable")
    at, queue, size = at[order], queue[order], size[order]
    new = np.append(True, (queue[1:] != queue[:-1]) | (size[1:] != size[:-1]))[: len(at)]
    # Orders known to rest never fall below zero: the sum of steps less its least value so far, for each size.
    came = change[at] > 0
    step = np.where(came, 1, -1)
    known = np.cumsum(step)
    group = np.cumsum(new) * (2 * len(at) + 2)  # lowers the values of each group below those before it
    least = np.minimum.accumulate(np.where(new, known - np.maximum(step, 0), known) - group) + group
    alone = came & (known - least == 1)
    left = ~came & ~printed_here[at] & ~new
    printed = np.cumsum(np.where(printed_here, lots, 0))[at]
    before = (lots - change)[at]
    pairs = np.flatnonzero(alone[:-1] & left[1:] & (np.diff(printed) <= before[:-1]))
    return np.stack([at[pairs], at[pairs + 1]], axis=1).astype(np.int32)


def pieces(tape: "Tape") -> list["Tape"]:
    count = max(1, -(-len(tape.row_ticks) // PIECE_ROWS))
    cuts = np.linspace(tape.start_us, tape.end_us + 1, count + 1).astype(np.int64).tolist()
    return [tape.between(a_us, b_us) for a_us, b_us in pairwise(cuts)]


@dataclass(frozen=True, eq=False)
class Probes:
    """Virtual orders, each with a cancellation in its queue, as columns."""

    us: "Ints"
    end_us: "Ints"
    side: "Ints"
    ticks: "Ints"
    level_lots: "Ints"
    lots: "Ints"
    ahead: "NDArray[np.bool_]"

    def __len__(self) -> int:
        return len(self.us)

    def where(self, kept: "NDArray[np.bool_]") -> "Probes":
        return Probes(**{field.name: getattr(self, field.name)[kept] for field in fields(self)})


@dataclass(frozen=True)
class ExponentFit:
    """The estimated exponent of a tape, with its interval.

    Attributes:
        status: ``ok``, ``misfit`` (usable, but does not predict the share of cancelled lots ahead), ``too_few``
            cancellations, ``no_trades``, or ``at_edge`` of the tried exponents.
        probes: Cancellations whose queue a virtual order could join.
    """

    status: str
    exponent: float | None
    low: float | None
    high: float | None
    cancellations: int
    probes: int
    ahead_share: float | None
    predicted_share: float | None

    @property
    def usable(self) -> bool:
        return self.status in ("ok", "misfit")

    @property
    def reason(self) -> str:
        if self.status == "too_few":
            return f"{self.probes} cancellations could be used, {LEAST_PROBES} are needed; give a day with more of them"
        if self.status == "no_trades":
            return (
                "the day has no trades, so executions cannot be distinguished from cancellations; check that the "
                "capture has its trade stream, or give another day"
            )
        if self.status == "at_edge":
            return (
                f"the likelihood is highest at the edge of the tried exponents, {EXPONENTS[0]:g} to {EXPONENTS[-1]:g}: "
                f"the queues of this day do not determine it; fit another day, or keep the default"
            )
        return ""


def fit_exponent(tape: "Tape", *, life_us: int, seed: int = 0, hours: Hours | None = None) -> ExponentFit:
    """*life_us* is the most time from a virtual order's arrival to the cancellation: our orders' lifetime."""
    cancelled, probes = find_probes(tape, life_us, np.random.default_rng(seed))
    probes = probes.where(while_open(tape, hours, probes.us, probes.end_us))
    missing = "too_few" if len(probes) < LEAST_PROBES else "" if (tape.kind == TRADE).any() else "no_trades"
    if missing:
        return ExponentFit(missing, None, None, None, cancelled, len(probes), None, None)
    shares = predicted_shares(tape, probes, EXPONENTS)
    weight = probes.lots / probes.lots.sum()
    losses = weight[:, None] * (probes.ahead[:, None] - shares) ** 2
    exponent, low, high = best_exponent(losses, _blocks(probes.us))
    best = int(losses.sum(axis=0).argmin())
    ahead, predicted = float(weight @ probes.ahead), float(weight @ shares[:, best])
    inside = "misfit" if abs(ahead - predicted) > MISFIT else "ok"
    return ExponentFit(
        status=inside if 0 < best < len(EXPONENTS) - 1 else "at_edge",
        exponent=exponent,
        low=low,
        high=high,
        cancellations=cancelled,
        probes=len(probes),
        ahead_share=ahead,
        predicted_share=predicted,
    )


def find_probes(tape: "Tape", life_us: int, draws: np.random.Generator) -> tuple[int, Probes]:
    """The number of matched cancellations, and a virtual order for each one used."""
    tables, count = [], 0
    cut = pieces(tape)
    room = max(2 * LEAST_PROBES, 2 * MOST_OPEN * (tape.end_us - tape.start_us) // life_us)
    most = -(-min(MOST_PROBES, room) // len(cut))
    for piece in cut:
        levels = PriceLevels.of(piece)
        pairs = cancellations(levels)
        count += len(pairs)
        chosen = pairs[draws.permutation(len(pairs))[:most]]
        tables.append(_joined(levels, chosen, draws.integers(1, life_us + 1, len(chosen))))
        tape.release(piece.start_us, piece.end_us)
    table = np.concatenate(tables)
    us, end_us, side, ticks, level_lots, lots, ahead = table[np.argsort(table[:, 0], kind="stable")].T
    return count, Probes(us, end_us, side, ticks, level_lots, lots, ahead.astype(bool))


def _joined(levels: PriceLevels, pairs: "Places", before_us: "Ints") -> "Ints":
    """Orders join *before_us* before a cancellation, if the queue lasts."""
    rows, tape, end_us = [], levels.tape, levels.us(pairs[:, 1])
    for (start, end), gone_us, us in zip(pairs.tolist(), end_us.tolist(), (end_us - before_us).tolist(), strict=True):
        joins = levels.shown_at(end, us)
        if joins < 0 or levels.lots[levels.rows[joins]] == 0 or not levels.lasts(joins, end):
            continue
        row, before = int(levels.rows[end]), int(levels.lots[levels.rows[end - 1]])
        at = int(tape.first_row[0]) + row
        where = (gone_us, int(tape.row_side[at]), int(tape.row_ticks[at]))
        rows.append((us, *where, before, before - int(levels.lots[row]), start <= joins))
    return np.array(rows, np.int64).reshape(-1, 7)


def predicted_shares(tape: "Tape", probes: Probes, exponents: "Floats") -> "Floats":
    """Probability that each probe's cancellation was ahead, float64[probes, exponents].

    One paper exchange simulates all exponents' queues; one step of a virtual order is too little to affect the others.
    """
    queues = QueueByExponents(exponents, len(probes))
    exchange = manual_exchange(tape, queues)
    due = [(us, 0, number) for number, us in enumerate(probes.us.tolist())]
    due += [(us - 1, 1, number) for number, us in enumerate(probes.end_us.tolist())]
    ahead = np.zeros((len(probes), len(exponents)))
    orders: dict[int, int] = {}
    for us, ends, number in sorted(due):
        exchange.advance(us)
        if ends:
            if exchange.ahead_lots(orders[number]) is not None:  # else it has filled under every exponent
                ahead[number] = queues.ahead_lots(orders[number]) * tape.step_lots
            exchange.cancel(orders[number])
        else:
            side, ticks = int(probes.side[number]), int(probes.ticks[number])
            orders[number] = exchange.place(side, ticks, tape.step_lots)
    behind = np.maximum(probes.level_lots[:, None] - ahead, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        shares: Floats = 1.0 / (1.0 + (behind / ahead) ** exponents)
    return np.where(ahead > 0.0, shares, 0.0)


def _blocks(us: "Ints") -> "Ints":
    """Stretches of the day; one without a probe, as while a market is closed, is none."""
    stretch: Ints
    _, stretch = np.unique((us - us[0]) * BLOCKS // (us[-1] - us[0] + 1), return_inverse=True)
    return stretch


def best_exponent(losses: "Floats", block: "Ints") -> tuple[float, float, float]:
    """Least loss and its 95 % interval, by a bootstrap over blocks."""
    blocks = int(block.max()) + 1
    sums = np.stack([np.bincount(block, weights=column, minlength=blocks) for column in losses.T], axis=1)
    drawn = np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS) @ sums
    low, high = np.quantile([_minimum(loss) for loss in drawn], [0.025, 0.975]).tolist()
    return _minimum(sums.sum(axis=0)), low, high


def _minimum(loss: "Floats") -> float:
    at = min(max(int(loss.argmin()), 1), len(loss) - 2)
    left, middle, right = loss[at - 1 : at + 2].tolist()
    bend = left - 2 * middle + right
    shift = (left - right) / (2 * bend) if bend > 0 else 0.0
    step = float(np.log(EXPONENTS[1] / EXPONENTS[0]))
    return float(EXPONENTS[at] * np.exp(step * min(max(shift, -1.0), 1.0)))
