"""How far a fill model is from the truth, each number with a standard error.

Orders that are near in time met the same market, so their errors are not independent: stretches of the day are drawn
again and again (block bootstrap), and the spread of what comes out is the standard error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import US_PER_S
from mm.queues.phantoms import PLACES, Fates, Phantoms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.queues.phantoms import Floats

    Bools = NDArray[np.bool_]

LEAST_BLOCKS = 10  # fewer say nothing of their spread
MOST_BLOCKS = 200
BLOCK_LIVES = 2
DRAWS = 400


@dataclass(frozen=True)
class Number:
    """A measured number and its standard error; None where there is nothing to measure, or too little to tell."""

    value: float | None
    error: float | None

    def told(self) -> dict[str, float | None]:
        """Return it as ``--json`` shows it."""
        return {"value": self.value, "error": self.error}


@dataclass(frozen=True)
class Score:
    """What comes of comparing a model's fates with the true ones.

    Attributes:
        orders: How many orders rested both in truth and in the model.
        both, missed, invented, neither: Of these filled in both, in truth only, in the model only, in none.
        true_filled: Share of them filled in truth.
        filled_bias: The model's share less the true one.
        wrong: Share of the orders of which the model says the wrong thing: the Brier score of answers 0 and 1.
        time_bias_s: Of orders filled in both, how much later the model fills them.
        time_error_s: The same without sign.
        ahead_bias_lots: At each check, the model's lots ahead less the true ones, of orders waiting in either.
        ahead_rmse_lots: The root of the mean square of that.
        ahead_bias, ahead_rmse: The same over all checks, as shares of the lots ahead on arrival.
    """

    orders: int
    both: int
    missed: int
    invented: int
    neither: int
    true_filled: Number
    filled_bias: Number
    wrong: Number
    time_bias_s: Number
    time_error_s: Number
    ahead_bias_lots: tuple[Number, ...]
    ahead_rmse_lots: tuple[Number, ...]
    ahead_bias: Number
    ahead_rmse: Number

    def told(self) -> dict[str, Any]:
        """Return it as ``--json`` shows it."""
        return {name: _told(getattr(self, name)) for name in self.__dataclass_fields__}


class _Blocks:
    """Ratios of sums over orders, and what they are when stretches of the day are drawn anew."""

    def __init__(self, us: "NDArray[np.int64]", life_us: int) -> None:
        span_us = int(us[-1] - us[0]) + 1 if len(us) else 1
        block_us = max(BLOCK_LIVES * life_us, -(-span_us // MOST_BLOCKS))
        self.count = -(-span_us // block_us)
        self._block = (us - us[0]) // block_us if len(us) else us
        self._drawn = np.random.default_rng(0).multinomial(self.count, np.full(self.count, 1 / self.count), DRAWS)

    def ratio(
        self, top: "Floats | Bools", bottom: "Floats | Bools", shape: "Callable[[Floats], Floats] | None" = None
    ) -> Number:
        """Return the sum of *top* over that of *bottom*, or a function of it; both have a row or rows of each order."""
        tops, bottoms = (self._sums(column) for column in (top, bottom))
        if not bottoms.sum():
            return Number(None, None)
        apply = shape or (lambda ratio: ratio)
        value = float(apply(tops.sum() / bottoms.sum()))
        below = self._drawn @ bottoms
        drawn = apply((self._drawn @ tops)[below > 0] / below[below > 0])
        return Number(value, float(drawn.std()) if self.count >= LEAST_BLOCKS else None)

    def _sums(self, column: "Floats | Bools") -> "Floats":
        rows = column if column.ndim == 1 else column.sum(axis=1)
        return np.bincount(self._block, weights=rows, minlength=self.count).astype(np.float64)


def score(phantoms: Phantoms, truth: Fates, model: Fates, chosen: "Bools | None" = None) -> Score:
    """Return how far *model* is from *truth* on the orders that rested in both, or on the *chosen* ones of them."""
    kept = np.flatnonzero(truth.sent & model.sent & (True if chosen is None else chosen))
    us, true_us, model_us = phantoms.us[kept], truth.filled_us[kept], model.filled_us[kept]
    true, said = true_us >= 0, model_us >= 0
    blocks = _Blocks(us, phantoms.life_us)
    every = np.ones(len(kept))
    late_s = np.where(true & said, model_us - true_us, 0) / US_PER_S
    return Score(
        orders=len(kept),
        both=int((true & said).sum()),
        missed=int((true & ~said).sum()),
        invented=int((~true & said).sum()),
        neither=int((~true & ~said).sum()),
        true_filled=blocks.ratio(true, every),
        filled_bias=blocks.ratio(said.astype(float) - true, every),
        wrong=blocks.ratio(said != true, every),
        time_bias_s=blocks.ratio(late_s, true & said),
        time_error_s=blocks.ratio(np.abs(late_s), true & said),
        **_ahead(blocks, phantoms, kept, truth, model),
    )


def by_place(phantoms: Phantoms, truth: Fates, model: Fates) -> dict[str, Score]:
    """Return the score of the orders of each place."""
    return {name: score(phantoms, truth, model, phantoms.place == place) for place, name in PLACES.items()}


def _ahead(blocks: _Blocks, phantoms: Phantoms, kept: "NDArray[np.intp]", truth: Fates, model: Fates) -> dict[str, Any]:
    """Return the part of the score that is about places in the queue.

    An order counts at a check while it waits in truth or in the model; once it has filled nothing is ahead of it.
    """
    looked_us = phantoms.us[kept][:, None] + np.array(phantoms.checks_us)
    waits = [
        ((fates.filled_us[kept] < 0)[:, None] | (fates.filled_us[kept][:, None] > looked_us))
        for fates in (truth, model)
    ]
    known = (waits[0] | waits[1]) & ~np.isnan(model.ahead[kept])
    error = np.where(known, model.ahead[kept] - truth.ahead[kept], 0.0)
    joined = np.where(known, truth.ahead[kept][:, :1], 0.0) if error.shape[1] else error
    checks = range(error.shape[1])
    return {
        "ahead_bias_lots": tuple(blocks.ratio(error[:, check], known[:, check]) for check in checks),
        "ahead_rmse_lots": tuple(blocks.ratio(error[:, check] ** 2, known[:, check], np.sqrt) for check in checks),
        "ahead_bias": blocks.ratio(error, joined),
        "ahead_rmse": blocks.ratio(error**2, joined**2, np.sqrt),
    }


def _told(value: Any) -> Any:
    if isinstance(value, tuple):
        return [one.told() for one in value]
    return value.told() if isinstance(value, Number) else value
