"""The market of Avellaneda and Stoikov (2008), and the quoting rules: two of the paper, two of Guéant et al."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mm.errors import UsageError

Floats = NDArray[np.float64]
Inventories = NDArray[np.int64]
Q_MAX = 60
"""Inventory beyond which `glft_exact` does not quote."""


@dataclass(frozen=True)
class PaperModel:
    """The market in which a strategy quotes.

    In each step the two quotes depend on time and inventory, each is filled or not by an independent draw, and then the
    mid moves by plus or minus sigma·sqrt(dt) with probability one half each. The fill probability is lambda·dt as in
    the paper, at most 1, and not 1 - exp(-lambda·dt). *gamma* is the risk aversion, 1/(price·unit).
    """

    gamma: float
    A: float
    k: float
    sigma: float
    horizon_s: float
    steps: int

    @property
    def step_s(self) -> float:
        return self.horizon_s / self.steps

    @property
    def move(self) -> float:
        return float(self.sigma * np.sqrt(self.step_s))

    @cached_property
    def markup(self) -> float:
        return float(np.log1p(self.gamma / self.k) / self.gamma)

    def left_s(self, step: int) -> float:
        return self.horizon_s * (1 - step / self.steps)

    def log_chance(self, distances: Floats) -> Floats:
        """ln(lambda·dt); above 0 if the probability is capped at 1."""
        return np.asarray(np.log(self.A * self.step_s) - self.k * distances)


class Policy(Protocol):
    """A quoting rule: distances from the mid as a function of time and inventory."""

    @property
    def average_spread(self) -> float | None: ...

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        """Return the distances at each inventory *q*; infinite for no quote."""


class Fills(NamedTuple):
    """One step at each inventory: probability and gain of a fill by side, and number of capped probabilities."""

    bid_chance: Floats
    ask_chance: Floats
    bid_gain: Floats
    ask_gain: Floats
    cut: Inventories


def fills(market: PaperModel, policy: Policy, step: int, q: Inventories) -> Fills:
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


class InventoryRule:
    """The paper's rule: reservation price s - q·gamma·sigma²·(T-t), spread gamma·sigma²·(T-t) + (2/gamma)ln(1+gamma/k).

    Source: Avellaneda, Stoikov, Quantitative Finance 8(3), 217-224 (2008), equations 29 and 30. A quote may cross the
    mid; it is not limited.
    """

    def __init__(self, market: PaperModel) -> None:
        self._market = market

    @property
    def average_spread(self) -> float | None:
        return _average_spread(self._market)

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        market = self._market
        skew = market.gamma * market.sigma**2 * market.left_s(step)
        half = market.markup + skew / 2
        away = np.asarray(q * skew, dtype=np.float64)
        return half + away, half - away


class SymmetricRule:
    """The paper's benchmark: the average spread of `InventoryRule` at all times, centred on the mid."""

    def __init__(self, market: PaperModel) -> None:
        self._half = _average_spread(market) / 2
        self.average_spread: float | None = 2 * self._half

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:  # noqa: ARG002 - the same at all times
        half = np.full(q.shape, self._half)
        return half, half


class GlftClosedForm:
    """The closed-form approximation for a long horizon and unbounded inventory.

    Source: Guéant, Lehalle, Fernandez-Tapia, Mathematics and Financial Economics 7, 477-507 (2013), section 4.
    """

    average_spread: float | None = None

    def __init__(self, market: PaperModel) -> None:
        ratio = market.gamma / market.k
        grown = np.exp((1 + 1 / ratio) * np.log1p(ratio))
        self._markup = market.markup
        self._slope = market.sigma * np.sqrt(market.gamma / (2 * market.k * market.A) * grown)

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:  # noqa: ARG002 - the same at all times
        return self._markup + (2 * q + 1) / 2 * self._slope, self._markup - (2 * q - 1) / 2 * self._slope


class GlftExact:
    """The optimal continuous-time quotes for an inventory within ±Q_MAX.

    With alpha = k·gamma·sigma²/2 and eta = A·(1+gamma/k)^-(1+k/gamma), v = exp(-M·(T-t))·1, where M has alpha·q² on its
    diagonal and -eta next to it; the bid's distance is (1/gamma)ln(1+gamma/k) + ln(v(q)/v(q+1))/k. Source: as above,
    section 3. Computed in logarithms and without subtraction, since v can underflow.

    Raises:
        UsageError: If a step is so long that v changes by more than the range of a float.
    """

    average_spread: float | None = None

    def __init__(self, market: PaperModel) -> None:
        self._markup = market.markup
        self._k = market.k
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.log(_propagator(market))
            values = np.zeros((market.steps + 1, 2 * Q_MAX + 1))
            for at in range(market.steps, 0, -1):
                terms = step + values[at]
                top = terms.max(axis=1)
                values[at - 1] = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
        if not np.isfinite(values).all():
            raise UsageError(
                "glft_exact cannot be computed for --gamma {:g}, --sigma {:g} and --dt {:g}: one step's risk at {} "
                "units overflows; choose a smaller {step_s}",
                market.gamma,
                market.sigma,
                market.step_s,
                Q_MAX,
            )
        self._values = values

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        """Infinite where a fill would exceed the bound."""
        padded = np.concatenate([[-np.inf], self._values[step], [-np.inf]])
        at = np.clip(q, -Q_MAX, Q_MAX) + Q_MAX + 1
        own = padded[at]
        return self._markup + (own - padded[at + 1]) / self._k, self._markup + (own - padded[at - 1]) / self._k


STRATEGIES: Mapping[str, Callable[[PaperModel], Policy]] = {
    "inventory": InventoryRule,
    "symmetric": SymmetricRule,
    "glft_exact": GlftExact,
    "glft_closed_form": GlftClosedForm,
}


def _average_spread(market: PaperModel) -> float:
    return market.gamma * market.sigma**2 * market.horizon_s / 2 + 2 * market.markup


def _propagator(market: PaperModel) -> NDArray[np.float64]:
    """exp(-M·dt) up to a factor, accurate in each entry.

    -M plus a multiple of the unit matrix has no negative entry, nor has its exponential series, so nothing cancels.
    """
    q = np.arange(-Q_MAX, Q_MAX + 1)
    ratio = market.gamma / market.k
    alpha = market.k * market.gamma * market.sigma**2 / 2
    eta = market.A * np.exp(-(1 + 1 / ratio) * np.log1p(ratio))
    shift = alpha * Q_MAX**2
    rates = np.diag(shift - alpha * q**2) + np.diag(np.full(2 * Q_MAX, eta), 1) + np.diag(np.full(2 * Q_MAX, eta), -1)
    halvings = max(0, int(np.ceil(np.log2((shift + 2 * eta) * market.step_s))))
    part_s = market.step_s / 2**halvings
    term = np.eye(2 * Q_MAX + 1)
    propagator = term.copy()
    for n in range(1, 25):
        term = term @ rates * (part_s / n)
        propagator += term
    for _ in range(halvings):
        propagator = propagator @ propagator
        propagator /= propagator.max()
    return propagator
