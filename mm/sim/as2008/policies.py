"""The quoting rules of the table: the paper's two, and two after Guéant, Lehalle and Fernandez-Tapia."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mm.errors import UsageError
from mm.sim.as2008.market import Floats, Inventories, Market, Policy

Q_MAX = 60
"""The inventory beyond which `glft_exact` does not quote."""


class Inventory:
    """The paper's rule: reservation price s - q·gamma·sigma²·(T-t), spread gamma·sigma²·(T-t) + (2/gamma)ln(1+gamma/k).

    Source: Avellaneda, Stoikov, Quantitative Finance 8(3), 217-224 (2008), equations 29 and 30. A quote may pass
    through the mid; it is not held back.
    """

    def __init__(self, market: Market) -> None:
        self._market = market

    @property
    def average_spread(self) -> float | None:
        """Return the spread's average over the session."""
        return _average_spread(self._market)

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        """Return the distances of bid and ask at inventories *q*."""
        market = self._market
        skew = market.gamma * market.sigma**2 * market.left_s(step)
        half = market.markup + skew / 2
        away = np.asarray(q * skew, dtype=np.float64)
        return half + away, half - away


class Symmetric:
    """The paper's benchmark: the average spread of `Inventory` at all times, centred on the mid."""

    def __init__(self, market: Market) -> None:
        self._half = _average_spread(market) / 2
        self.average_spread: float | None = 2 * self._half

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:  # noqa: ARG002 - the same at all times
        """Return the distances of bid and ask at inventories *q*: all the same."""
        half = np.full(q.shape, self._half)
        return half, half


class GlftClosedForm:
    """The closed-form approximation of the long run, for an inventory without bound.

    Source: Guéant, Lehalle, Fernandez-Tapia, Mathematics and Financial Economics 7, 477-507 (2013), section 4.
    """

    average_spread: float | None = None

    def __init__(self, market: Market) -> None:
        ratio = market.gamma / market.k
        grown = np.exp((1 + 1 / ratio) * np.log1p(ratio))
        self._markup = market.markup
        self._slope = market.sigma * np.sqrt(market.gamma / (2 * market.k * market.A) * grown)

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:  # noqa: ARG002 - the same at all times
        """Return the distances of bid and ask at inventories *q*."""
        return self._markup + (2 * q + 1) / 2 * self._slope, self._markup - (2 * q - 1) / 2 * self._slope


class GlftExact:
    """The optimal quotes of continuous time, for an inventory within ±Q_MAX.

    With alpha = k·gamma·sigma²/2 and eta = A·(1+gamma/k)^-(1+k/gamma), v = exp(-M·(T-t))·1, where M has alpha·q² on
    its diagonal and -eta beside it; the bid stands at (1/gamma)ln(1+gamma/k) + ln(v(q)/v(q+1))/k. Source: as above,
    section 3. All is done in logarithms and without a subtraction: v falls below what a float can hold.

    Raises:
        UsageError: If a step is so long that v changes by more than a float can hold.
    """

    average_spread: float | None = None

    def __init__(self, market: Market) -> None:
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
                f"glft_exact cannot be computed for --gamma {market.gamma:g}, --sigma {market.sigma:g} and --dt "
                f"{market.step_s:g}: one step's risk at {Q_MAX} units is beyond a float; choose a smaller --dt (STEP_S)"
            )
        self._values = values

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        """Return the distances of bid and ask at inventories *q*; infinite where the bound forbids a quote."""
        padded = np.concatenate([[-np.inf], self._values[step], [-np.inf]])
        at = np.clip(q, -Q_MAX, Q_MAX) + Q_MAX + 1
        own = padded[at]
        return self._markup + (own - padded[at + 1]) / self._k, self._markup + (own - padded[at - 1]) / self._k


STRATEGIES: Mapping[str, Callable[[Market], Policy]] = {
    "inventory": Inventory,
    "symmetric": Symmetric,
    "glft_exact": GlftExact,
    "glft_closed_form": GlftClosedForm,
}


def _average_spread(market: Market) -> float:
    return market.gamma * market.sigma**2 * market.horizon_s / 2 + 2 * market.markup


def _propagator(market: Market) -> NDArray[np.float64]:
    """Return exp(-M·dt) but for a factor, with every entry accurate in itself.

    -M and a large enough multiple of the unit matrix have no negative entry, so neither has any term of the
    exponential's series: nothing cancels. The multiple is a factor of the exponential, and quotes are ratios.
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
    found = term.copy()
    for n in range(1, 25):
        term = term @ rates * (part_s / n)
        found += term
    for _ in range(halvings):
        found = found @ found
        found /= found.max()
    return found
