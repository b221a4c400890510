"""The market of the experiment: time in steps, a mid that is a coin's walk, fills that are coins of their own."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Inventories = NDArray[np.int64]


@dataclass(frozen=True)
class Market:
    """What the quotes of one strategy meet.

    The convention is the paper's: within a step the two quotes are made from time and inventory, each fills by a
    coin of its own (both may), and then the mid moves by plus or minus sigma·sqrt(dt), each with chance one half.
    The chance of a fill is the literal lambda·dt, at most 1, and not 1 - exp(-lambda·dt).

    Attributes:
        gamma: Risk aversion, 1/(price·unit).
        A: Fills per second of a quote at the mid.
        k: Decay of the fill rate, 1/price.
        sigma: Volatility of the mid, price/√s.
        horizon_s: Length of a session (T).
        steps: Number of steps that it is cut into.
    """

    gamma: float
    A: float
    k: float
    sigma: float
    horizon_s: float
    steps: int

    @property
    def step_s(self) -> float:
        """Return the length of a step (dt)."""
        return self.horizon_s / self.steps

    @property
    def move(self) -> float:
        """Return how far the mid moves in a step, up or down."""
        return float(self.sigma * np.sqrt(self.step_s))

    @cached_property
    def markup(self) -> float:
        """Return (1/gamma)·ln(1 + gamma/k), what a quote without inventory risk keeps from the mid."""
        return float(np.log1p(self.gamma / self.k) / self.gamma)

    def left_s(self, step: int) -> float:
        """Return the time left when *step*, counted from 0, begins."""
        return self.horizon_s * (1 - step / self.steps)

    def log_chance(self, distances: Floats) -> Floats:
        """Return ln(lambda·dt) of quotes at *distances* from the mid; above 0 where the chance is cut to 1."""
        return np.asarray(np.log(self.A * self.step_s) - self.k * distances)


class Policy(Protocol):
    """A quoting rule: distances from the mid by time and inventory."""

    @property
    def average_spread(self) -> float | None:
        """Return the quoted spread as the paper prints it; None where it depends on the inventory."""

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        """Return how far bid and ask stand from the mid at each inventory *q*; infinite where there is no quote."""


class Fills(NamedTuple):
    """What a step does at each inventory: chance and gain of a fill, by side, and the sides whose chance was cut."""

    bid_chance: Floats
    ask_chance: Floats
    bid_gain: Floats
    ask_gain: Floats
    cut: Inventories


def fills(market: Market, policy: Policy, step: int, q: Inventories) -> Fills:
    """Return what *step* does at inventories *q*; a fill gains its distance from the mid."""
    bid, ask = policy.distances(step, q)
    bid_log, ask_log = market.log_chance(bid), market.log_chance(ask)
    bid_chance, ask_chance = np.exp(np.minimum(bid_log, 0.0)), np.exp(np.minimum(ask_log, 0.0))
    return Fills(
        bid_chance=bid_chance,
        ask_chance=ask_chance,
        bid_gain=np.where(bid_chance > 0, bid, 0.0),
        ask_gain=np.where(ask_chance > 0, ask, 0.0),
        cut=np.add(bid_log > 0, ask_log > 0, dtype=np.int64),
    )
