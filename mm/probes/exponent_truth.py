"""The exponent of ``queue_prob_power`` that agrees with every order of a day, where the order log tells the queue."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.fills.base import QueueByExponents
from mm.backtest.models import queue_prob_power
from mm.probes.queue_exponent import EXPONENTS, LEAST_PROBES, best_exponent
from mm.probes.queue_score import READING, Bin, ScoredDay, block_length, reliability, score
from mm.probes.virtual_orders import manual_exchange, play

if TYPE_CHECKING:
    from mm.base.estimate import Estimate
    from mm.probes.virtual_orders import Floats

DEFINITION = (
    "virtual orders of one order step at the end of a queue, with a lifetime of {life_s:g} s; least squared error of "
    "the lots ahead of them, as a share of those on arrival; an execution counts at its own price; intervals over "
    "blocks of {block_s:g} s"
)


@dataclass(frozen=True)
class AgreedExponent:
    """The exponent that agrees with a truth.

    Attributes:
        status: ``ok``, ``at_edge`` of the tried exponents, or ``too_few`` orders that had to wait.
        bias: Share filled under this exponent less the true one; `default_bias`: under the default exponent.
    """

    status: str
    definition: str
    exponent: float | None
    low: float | None
    high: float | None
    n_orders: int
    bias: "Estimate | None"
    default_bias: "Estimate | None"
    reliability: list[Bin]

    @property
    def usable(self) -> bool:
        return self.status == "ok"


def true_exponent(day: ScoredDay) -> AgreedExponent:
    orders, truth = day.orders, day.truth[READING]
    definition = DEFINITION.format(life_s=orders.life_us / 1e6, block_s=block_length(orders.life_us) / 1e6)
    losses, waits = _losses(day)
    count = int(waits.sum())
    if count < LEAST_PROBES:
        return AgreedExponent("too_few", definition, None, None, None, count, None, None, [])
    _, block = np.unique(orders.us // block_length(orders.life_us), return_inverse=True)
    exponent, low, high = best_exponent(losses[waits], block[waits])
    best = int(losses[waits].sum(axis=0).argmin())
    played = play(day.tape, orders, lambda: queue_prob_power(exponent=exponent))
    default = play(day.tape, orders, queue_prob_power)
    return AgreedExponent(
        "ok" if 0 < best < len(EXPONENTS) - 1 else "at_edge",
        definition,
        exponent,
        low,
        high,
        count,
        score(orders, truth, played).filled_bias,
        score(orders, truth, default).filled_bias,
        reliability(orders, truth, played, day.lot),
    )


def _losses(day: ScoredDay) -> "tuple[Floats, np.ndarray]":
    orders, truth = day.orders, day.truth[READING]
    queues = QueueByExponents(EXPONENTS, len(orders))
    exchange = manual_exchange(day.tape, queues, orders.life_us)
    due = [(us, 0, number) for number, us in enumerate(orders.us.tolist())]
    due += [(us + after, 1 + at, number) for us, _, number in due for at, after in enumerate(orders.checks_us)]
    ids: dict[int, int] = {}
    error = np.zeros((len(orders), len(EXPONENTS)))
    for us, action, number in sorted(due):
        exchange.advance(us)
        if action == 0:
            ids[number] = exchange.place(int(orders.side[number]), int(orders.ticks[number]), day.tape.step_lots)
            continue
        exchange.advance(us)
        waits = exchange.ahead_lots(ids[number]) is not None
        ahead = queues.ahead_lots(ids[number]) * day.tape.step_lots if waits else np.zeros(len(EXPONENTS))
        error[number] += (ahead - truth.ahead[number, action - 1]) ** 2
    joined = truth.ahead[:, 0]
    waits_ = truth.sent & (joined > 0)
    return error / np.maximum((joined[waits_] ** 2).sum(), 1.0), waits_
