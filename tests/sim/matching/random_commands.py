"""Random commands by the hundred thousand, as arrays for `run`: a `Mix` sets the kind of market."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching.order_log import MARKET, MOST_LOTS, MOST_TICKS, OP_SUBMIT

Ticks = Callable[[np.random.Generator, int], NDArray[np.int64]]


def uniform(low: int, high: int) -> Ticks:
    """Prices between two, uniformly distributed."""
    return lambda random, count: random.integers(low, high + 1, count)


def normal(mid: int, deviation: float) -> Ticks:
    """Prices normally distributed around *mid*."""
    return lambda random, count: np.round(random.normal(mid, deviation, count)).astype(np.int64)


def log_uniform(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Prices of every magnitude, including both ends; many are neighbours across a page border of the tree."""
    exponent = random.integers(0, 41, count)
    return np.clip((1 << exponent) + random.integers(-2, 3, count), 1, MOST_TICKS)


NEAR_A_THOUSAND = normal(1_000, 5)


@dataclass(frozen=True)
class Mix:
    """Frequencies of the operations; weights need not add up to 1.

    Attributes:
        ops: Weights of SUBMIT, CANCEL, REDUCE, REPLACE.
        kinds: Weights of LIMIT, MAKER, IOC, FOK, MARKET.
        stps: Weights of the self-trade prevention modes.
        accounts: Number of accounts.
        ticks: Distribution of order prices.
        most_lots: The largest quantity.
        apart: By how many ticks bids are lowered and asks raised.
    """

    ops: Sequence[float] = (50, 35, 5, 10)
    kinds: Sequence[float] = (80, 5, 5, 5, 5)
    stps: Sequence[float] = (60, 10, 10, 10, 10)
    accounts: int = 8
    ticks: Ticks = NEAR_A_THOUSAND
    most_lots: int = 50
    apart: int = 0

    def commands(
        self, random: np.random.Generator, count: int, us: int, next_id: int, live: Sequence[int]
    ) -> NDArray[np.int64]:
        """Return rows for `run` at *us* and later; half of the ids to change come from *live*, half are recent."""
        rows = np.empty((count, 8), np.int64)
        op = _drawn(random, self.ops, count) + 1
        kind = _drawn(random, self.kinds, count)
        rows[:, 0] = us + np.cumsum(random.integers(0, 3, count))
        rows[:, 1] = op
        rows[:, 2] = random.integers(0, self.accounts, count)
        rows[:, 3] = random.choice(np.array([-1, 1]), count)
        ticks = self.ticks(random, count) - self.apart * rows[:, 3]
        rows[:, 4] = np.where(kind == MARKET, 0, np.maximum(ticks, 1))
        rows[:, 5] = random.integers(1, self.most_lots + 1, count)
        rows[:, 6] = kind
        ids = next_id + np.cumsum((op == OP_SUBMIT) | (op == 4)) - random.geometric(0.05, count)
        if live:
            ids = np.where(random.random(count) < 0.5, ids, random.choice(np.array(live), count))
        rows[:, 7] = np.where(op == OP_SUBMIT, _drawn(random, self.stps, count), ids)
        return rows


def _drawn(random: np.random.Generator, weights: Sequence[float], count: int) -> NDArray[np.int64]:
    shares = np.array(weights, np.float64)
    return np.searchsorted(np.cumsum(shares) / shares.sum(), random.random(count), side="right")


MIXES = {
    "everyday": Mix(),
    "many cancels": Mix(ops=(48, 50, 1, 1), kinds=(90, 4, 2, 2, 2), ticks=normal(1_000, 10), apart=12),
    "many crossings": Mix(ops=(80, 15, 3, 2), kinds=(60, 0, 15, 10, 15), ticks=uniform(990, 1_010), apart=8),
    "one account": Mix(accounts=1, stps=(1, 9, 9, 9, 9), ticks=uniform(995, 1_005), apart=4),
    "two accounts": Mix(accounts=2, stps=(1, 1, 1, 1, 1), kinds=(60, 10, 10, 10, 10), most_lots=5),
    "all or nothing": Mix(ops=(70, 20, 5, 5), kinds=(70, 0, 0, 30, 0), stps=(1, 1, 1, 1, 1), accounts=3),
    "takers of any kind": Mix(ops=(70, 10, 5, 15), kinds=(55, 0, 15, 15, 15), accounts=50, apart=5),
    "amending": Mix(ops=(35, 10, 30, 25), kinds=(85, 15, 0, 0, 0), most_lots=500),
    "makers only": Mix(kinds=(0, 1, 0, 0, 0), ops=(60, 30, 5, 5), ticks=uniform(990, 1_010)),
    "long queues": Mix(ops=(52, 43, 3, 2), kinds=(90, 0, 4, 4, 2), ticks=uniform(500, 501), most_lots=3, apart=2),
    "far prices": Mix(ticks=log_uniform, ops=(55, 35, 5, 5)),
    "largest quantities": Mix(most_lots=MOST_LOTS, ticks=uniform(1, 20), accounts=1_000),
}
