"""The exponent of ``queue_prob_power`` from a tape that names no order.

A level that grows by exactly q lots between two book messages, without a print, took in an order of q lots. One that
shrinks by exactly q lots, again without a print, lost one. Where at that price no other order of q lots is known to
rest, the two are the same order, and so it is known since when the cancelled order had stood in the queue.

Of a virtual order that joined the same queue at a drawn instant before the cancellation it is then known whether the
cancelled order stood ahead of it (y = 1, it came first) or not (y = 0). The model gives that the probability

    F(n) = a^n / (a^n + b^n),   a lots ahead of the virtual order and b after it, by the model's own account,

and n is where the sum of lots·(y - F(n))² over the cancellations is least: the exponent with which the model's share
of cancelled lots is nearest to what was seen. Lots weigh, because the model moves by lots: where every order is as
likely to be cancelled as any other, lots ahead are cancelled in proportion a / (a + b), which is n = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.fills.queue import QueueProbPower
from mm.evaluate.virtual_orders import by_hand
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

PIECE_ROWS = 4_000_000  # of a tape that are sorted at a time; an order that outlives a piece is not known again
EXPONENTS = np.exp(np.linspace(np.log(0.1), np.log(10), 17))
MOST_PROBES = 6_000
LEAST_PROBES = 200
MOST_OPEN = 40  # virtual orders at once, on average; the exchange looks at each of them at every message
BLOCKS = 50
DRAWS = 400


@dataclass(frozen=True, eq=False)
class PriceLevels:
    """A tape by price: book rows and prints, price after price, each in the order of the tape.

    Attributes:
        us: When it was received.
        side: The book's, +1 bids; of a print that of the order it met.
        ticks: The price.
        lots: Displayed from now on, or printed.
        before: Displayed until now.
        is_print: Whether it is a print.
        first: Position of the first row of the same price and epoch.
        untouched: Book rows since whose predecessor at this price nothing printed there.
        zeros: Rows up to and including each that emptied their level.
    """

    us: "Ints"
    side: "Ints"
    ticks: "Ints"
    lots: "Ints"
    before: "Ints"
    is_print: "Bools"
    first: "Ints"
    untouched: "Bools"
    zeros: "Ints"

    @classmethod
    def of(cls, tape: "Tape") -> "PriceLevels":
        """Return those of *tape*; a new book begins every price again."""
        event = np.repeat(np.arange(len(tape)), np.diff(tape.first_row))
        whole_book = (tape.kind == SNAPSHOT) | ((tape.kind == KEYFRAME) & (np.arange(len(tape)) == 0))
        epoch = np.cumsum(whole_book | (tape.kind == GAP))[event]
        kept = np.flatnonzero((tape.kind[event] != KEYFRAME) | whole_book[event])
        is_print = tape.kind[event] == TRADE
        own = slice(*tape.first_row[[0, -1]].tolist())  # a window stands in the rows of the whole tape
        ticks, lots, row_side = tape.row_ticks[own], tape.row_lots[own], tape.row_side[own].astype(np.int64)
        side = np.where(is_print, -row_side, row_side)
        rows = kept[np.lexsort((kept, ticks[kept], side[kept], epoch[kept]))]
        event, is_print = event[rows], is_print[rows]
        side, ticks, lots = side[rows], ticks[rows], lots[rows]
        place = np.arange(len(rows))
        begins = np.flatnonzero(np.diff(np.stack([epoch[rows], side, ticks]), axis=1, prepend=-1).any(axis=0))
        first = np.repeat(begins, np.diff(np.append(begins, len(rows))))
        book = np.maximum.accumulate(np.where(is_print, -1, place))  # the last book row, perhaps of another price
        earlier = np.append(-1, book[:-1])
        known = earlier >= first
        return cls(
            us=tape.event_us[event],
            side=side,
            ticks=ticks,
            lots=lots,
            before=np.where(known, lots[earlier], 0),
            is_print=is_print,
            first=first,
            untouched=~is_print & known & (earlier == place - 1) & (tape.kind[event] == DEPTH),
            zeros=np.cumsum(~is_print & (lots == 0)),
        )

    def shown_at(self, row: int, us: int) -> int:
        """Return the book row that stands at the price of *row* at an instant before it; -1 where there is none."""
        first = int(self.first[row])
        found = first + int(np.searchsorted(self.us[first:row], us, side="right")) - 1
        while found >= first and self.is_print[found]:
            found -= 1
        return found if found >= first else -1


def cancellations(levels: PriceLevels) -> "Ints":
    """Return (row of arrival, row of cancellation) of every order that was known when it was cancelled, int64[n, 2]."""
    change = np.where(levels.untouched, levels.lots - levels.before, 0)
    step = np.where(levels.is_print, -1, np.sign(change))
    size = np.where(levels.is_print, levels.lots, np.abs(change))
    queue = levels.zeros - (~levels.is_print & (levels.lots == 0))  # a level that empties ends its queue
    rows = np.flatnonzero(step)
    rows = rows[np.lexsort((rows, size[rows], queue[rows], levels.first[rows]))]
    known, group = _resting(step[rows], np.stack([levels.first[rows], queue[rows], size[rows]]))
    came, went = rows[:-1], rows[1:]
    alone = (step[came] > 0) & (known[:-1] == 1) & (group[:-1] == group[1:])
    printed = np.cumsum(np.where(levels.is_print, levels.lots, 0))
    waits = printed[went] - printed[came] <= levels.before[came]  # else the prints have reached it
    pairs = alone & waits & (step[went] < 0) & ~levels.is_print[went]
    return np.stack([came[pairs], went[pairs]], axis=1)


def _resting(step: "Ints", named: "Ints") -> tuple["Ints", "Ints"]:
    """Return how many orders of a price and size are known to rest behind each step, and the number of its group.

    An end that no known order can have come to is passed over: the count never falls below 0.
    """
    begins = np.diff(named, axis=1, prepend=-1).any(axis=0)
    group = np.cumsum(begins, dtype=np.int64)
    total = np.cumsum(step)
    total = total - (total - step)[begins][group - 1]
    far = 2 * len(step) + 2  # a group's sums cannot reach the next one's
    least = np.minimum.accumulate(total - far * group) + far * group
    return total - np.minimum(least, 0), group


def pieces(tape: "Tape") -> list["Tape"]:
    """Return *tape* cut by time into pieces of about `PIECE_ROWS` rows, each with its book."""
    count = max(1, -(-len(tape.row_ticks) // PIECE_ROWS))
    cuts = np.linspace(tape.start_us, tape.end_us + 1, count + 1).astype(np.int64).tolist()
    return [tape.between(a_us, b_us) for a_us, b_us in pairwise(cuts)]


@dataclass(frozen=True, eq=False)
class Probes:
    """Virtual orders, each with a cancellation in its queue; columns beside each other.

    Attributes:
        us: When it joins, behind everything of that instant; rising.
        end_us: When the cancellation is shown.
        side, ticks: Where it waits.
        level_lots: Displayed there just before the cancellation.
        lots: Cancelled.
        ahead: Whether the cancelled order had come before it.
    """

    us: "Ints"
    end_us: "Ints"
    side: "Ints"
    ticks: "Ints"
    level_lots: "Ints"
    lots: "Ints"
    ahead: "NDArray[np.bool_]"

    def __len__(self) -> int:
        return len(self.us)


@dataclass(frozen=True)
class ExponentFit:
    """The exponent of a tape, and how sure it is.

    Attributes:
        status: ``ok``, ``too_few`` cancellations, or ``at_edge`` of the exponents that were tried.
        exponent: The best one; None with ``too_few``.
        low, high: Its 95 % interval, by resampling stretches of the day; None likewise.
        cancellations: Orders that were known when they were cancelled.
        probes: Of these, how many were used: a virtual order could wait in their queue.
        ahead_share: Share of the cancelled lots that stood ahead of the virtual orders.
        predicted_share: The same by the model with the best exponent.
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
        """Whether a fill model should be given this exponent."""
        return self.status == "ok"

    @property
    def reason(self) -> str:
        """Why it is not usable, and what helps; empty where it is."""
        if self.status == "too_few":
            return f"{self.probes} cancellations could be used, {LEAST_PROBES} are needed; give a longer day"
        if self.status == "at_edge":
            return (
                f"the best one lies at the edge of those that were tried, {EXPONENTS[0]:g} to {EXPONENTS[-1]:g}; "
                f"the queues of this day say nothing of it"
            )
        return ""


def fit_exponent(
    tape: "Tape", *, life_us: int, seed: int = 0, step: Callable[[int], None] = lambda _count: None
) -> ExponentFit:
    """Estimate the exponent of *tape*.

    Args:
        tape: The market.
        life_us: Virtual orders join at most so long before the cancellation, as far back as ours would wait.
        seed: Of which cancellations are used, and of when the virtual orders join.
        step: Called with 1 after each of the `EXPONENTS`.
    """
    found, probes = find_probes(tape, life_us, np.random.default_rng(seed))
    if len(probes) < LEAST_PROBES:
        return ExponentFit("too_few", None, None, None, found, len(probes), None, None)
    shares = np.empty((len(probes), len(EXPONENTS)))
    for column, exponent in enumerate(EXPONENTS.tolist()):
        shares[:, column] = predicted_shares(tape, probes, exponent)
        step(1)
    weight = probes.lots / probes.lots.sum()
    losses = weight[:, None] * (probes.ahead[:, None] - shares) ** 2
    exponent, low, high = _best(losses, _blocks(probes.us))
    best = int(losses.sum(axis=0).argmin())
    return ExponentFit(
        status="ok" if 0 < best < len(EXPONENTS) - 1 else "at_edge",
        exponent=exponent,
        low=low,
        high=high,
        cancellations=found,
        probes=len(probes),
        ahead_share=float(weight @ probes.ahead),
        predicted_share=float(weight @ shares[:, best]),
    )


def find_probes(tape: "Tape", life_us: int, draws: np.random.Generator) -> tuple[int, Probes]:
    """Return how many cancelled orders were known, and a virtual order for each that is used."""
    tables, found = [], 0
    cut = pieces(tape)
    room = max(2 * LEAST_PROBES, 2 * MOST_OPEN * (tape.end_us - tape.start_us) // life_us)
    most = -(-min(MOST_PROBES, room) // len(cut))
    for piece in cut:
        levels = PriceLevels.of(piece)
        pairs = cancellations(levels)
        found += len(pairs)
        chosen = draws.permutation(pairs)[:most]
        tables.append(_joined(levels, chosen, draws.integers(1, life_us + 1, len(chosen))))
    table = np.concatenate(tables)
    us, end_us, side, ticks, level_lots, lots, ahead = table[np.argsort(table[:, 0], kind="stable")].T
    return found, Probes(us, end_us, side, ticks, level_lots, lots, ahead.astype(bool))


def _joined(levels: PriceLevels, pairs: "Ints", before_us: "Ints") -> "Ints":
    """Return the rows of `Probes`: orders that join so long before a cancellation, where the queue lasts until then."""
    rows = []
    for (came, went), us in zip(pairs.tolist(), (levels.us[pairs[:, 1]] - before_us).tolist(), strict=True):
        joins = levels.shown_at(went, us)
        if joins < 0 or levels.lots[joins] == 0 or levels.zeros[went - 1] != levels.zeros[joins]:
            continue
        lots = levels.before[went] - levels.lots[went]
        where = (levels.us[went], levels.side[went], levels.ticks[went])
        rows.append((us, *where, levels.before[went], lots, came <= joins))
    return np.array(rows, np.int64).reshape(-1, 7)


def predicted_shares(tape: "Tape", probes: Probes, exponent: float) -> "Floats":
    """Return the probability, by the model, that each probe's cancellation stood ahead of it.

    The paper exchange itself keeps the queues; one lot of a virtual order is too little to matter to the others.
    """
    exchange = by_hand(tape, QueueProbPower(exponent=exponent))
    due = [(us, 0, number) for number, us in enumerate(probes.us.tolist())]
    due += [(us - 1, 1, number) for number, us in enumerate(probes.end_us.tolist())]
    ahead = np.zeros(len(probes))
    orders: dict[int, int] = {}
    for us, ends, number in sorted(due):
        exchange.advance(us)
        if ends:
            ahead[number] = exchange.ahead_lots(orders[number]) or 0.0  # 0 where it has filled in the model
            exchange.cancel(orders[number])
        else:
            side, ticks = int(probes.side[number]), int(probes.ticks[number])
            orders[number] = exchange.place(side, ticks, 1)
    behind = np.maximum(probes.level_lots - ahead, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        shares: Floats = 1.0 / (1.0 + (behind / ahead) ** exponent)
    return np.where(ahead > 0.0, shares, 0.0)


def _blocks(us: "Ints") -> "Ints":
    """Return to which stretch of the day each instant belongs."""
    stretch: Ints = (us - us[0]) * BLOCKS // (us[-1] - us[0] + 1)
    return stretch


def _best(losses: "Floats", block: "Ints") -> tuple[float, float, float]:
    """Return the exponent of the least loss and its 95 % interval."""
    sums = np.stack([np.bincount(block, weights=column, minlength=BLOCKS) for column in losses.T], axis=1)
    drawn = np.random.default_rng(0).multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), DRAWS) @ sums
    low, high = np.quantile([_least(loss) for loss in drawn], [0.025, 0.975]).tolist()
    return _least(sums.sum(axis=0)), low, high


def _least(loss: "Floats") -> float:
    """Return where a parabola through the least loss and its neighbours, over ln n, is least."""
    at = min(max(int(loss.argmin()), 1), len(loss) - 2)
    left, middle, right = loss[at - 1 : at + 2].tolist()
    bend = left - 2 * middle + right
    shift = (left - right) / (2 * bend) if bend > 0 else 0.0
    step = float(np.log(EXPONENTS[1] / EXPONENTS[0]))
    return float(EXPONENTS[at] * np.exp(step * min(max(shift, -1.0), 1.0)))
