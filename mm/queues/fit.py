"""The exponent of ``queue_prob_power`` from a tape that names no order.

`mm.queues.tags` finds cancelled orders of which the tape tells when they came. Of an imagined order that joined the
same queue at a drawn instant before the cancellation it is then known whether the cancelled order stood ahead of it
(y = 1, it came first) or behind (y = 0). The model says that it stood ahead with probability

    F(n) = a^n / (a^n + b^n),   a lots ahead of the imagined order and b behind, by the model's own account,

and n is where the sum of lots·(y - F(n))² over the cancellations is least: the exponent with which the model's share
of cancelled lots is nearest to what was seen. Lots weigh, because the model moves by lots: where every order is as
likely to be cancelled as any other, lots ahead are cancelled in proportion a / (a + b), which is n = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.fills.queue import QueueProbPower
from mm.queues.play import by_hand
from mm.queues.tags import Levels, cancellations, pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Floats = NDArray[np.float64]

EXPONENTS = np.exp(np.linspace(np.log(0.1), np.log(10), 17))
MOST_PROBES = 6_000
LEAST_PROBES = 200
MOST_OPEN = 40  # imagined orders at once, on average; the exchange looks at each of them at every message
BLOCKS = 50
DRAWS = 400


@dataclass(frozen=True, eq=False)
class Probes:
    """Imagined orders, each with a cancellation in its queue; columns beside each other.

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
        low, high: Its 95 % interval, by drawing stretches of the day anew; None likewise.
        cancellations: Orders that were known when they were cancelled.
        probes: Of these, how many were used: an imagined order could wait in their queue.
        ahead_share: Share of the cancelled lots that stood ahead of the imagined orders.
        predicted_share: What the model says of it with the best exponent.
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

    def told(self) -> dict[str, Any]:
        """Return it as ``--json`` shows it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def fit_exponent(
    tape: "Tape", *, life_us: int, seed: int = 0, step: Callable[[int], None] = lambda _count: None
) -> ExponentFit:
    """Estimate the exponent of *tape*.

    Args:
        tape: The market.
        life_us: Imagined orders join at most so long before the cancellation, as far back as ours would wait.
        seed: Of which cancellations are used, and of when the imagined orders join.
        step: Told 1 after each of the `EXPONENTS`.
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
    """Return how many cancelled orders were known, and an imagined order for each that is used."""
    tables, found = [], 0
    cut = pieces(tape)
    room = max(2 * LEAST_PROBES, 2 * MOST_OPEN * (tape.end_us - tape.start_us) // life_us)
    most = -(-min(MOST_PROBES, room) // len(cut))
    for piece in cut:
        levels = Levels.of(piece)
        pairs = cancellations(levels)
        found += len(pairs)
        chosen = draws.permutation(pairs)[:most]
        tables.append(_joined(levels, chosen, draws.integers(1, life_us + 1, len(chosen))))
    table = np.concatenate(tables)
    us, end_us, side, ticks, level_lots, lots, ahead = table[np.argsort(table[:, 0], kind="stable")].T
    return found, Probes(us, end_us, side, ticks, level_lots, lots, ahead.astype(bool))


def _joined(levels: Levels, pairs: "Ints", before_us: "Ints") -> "Ints":
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

    The paper exchange itself keeps the queues; one lot of an imagined order is too little to matter to the others.
    """
    exchange = by_hand(tape, QueueProbPower(exponent=exponent))
    due = [(us, 0, number) for number, us in enumerate(probes.us.tolist())]
    due += [(us - 1, 1, number) for number, us in enumerate(probes.end_us.tolist())]
    ahead = np.zeros(len(probes))
    orders: dict[int, int] = {}
    for us, ends, number in sorted(due):
        exchange.advance(us)
        if ends:
            ahead[number] = exchange.ahead_lots(orders[number]) or 0.0  # 0 where the model says that it has filled
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
