"""Days with known A and k, drawn with numpy alone, independently of the calibration code.

Aggressive orders of each side arrive as a Poisson process with rate A and reach an exponential depth with rate k, so
that a distance is reached at the rate A exp(-k delta). The book is constant: best prices are one tick from the mid.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = dict[str, Any]

BLOCK_S, DWELL_S = 300, 60
SIDES = (1, -1)
DELTAS = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])  # distances of the ladder
LAST_CELL = 50  # lower end of the last cell in ticks; the cell has no upper end
TOUCH = 1  # ticks from the mid to the best price: there is no exposure closer to the mid


@dataclass(frozen=True, slots=True)
class Truth:
    """Parameters of a drawn day.

    Attributes:
        A: Orders per second and side at distance 0.
        k: Decay, in 1/tick.
        hours: Length of the day, a whole number of blocks.
        mixing: Coefficient of variation of the rate from block to block, gamma distributed; 0 for a steady one.
    """

    A: float = 0.05
    k: float = 0.3
    hours: float = 2.0
    mixing: float = 0.0

    @property
    def blocks(self) -> int:
        """Number of blocks of a day."""
        return round(self.hours * 3600 / BLOCK_S)

    def expected(self, delta: Floats | float) -> Floats:
        """Return the expected number of orders of one side that reach a distance in a day."""
        reached: Floats = np.asarray(self.A * self.hours * 3600 * np.exp(-self.k * np.asarray(delta)))
        return reached


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The aggressive orders of one day, not sorted by time.

    Attributes:
        blocks: Number of blocks of the day.
        second: Arrival time of each order.
        side: Side of the resting orders that it reached: 0 bid, 1 ask.
        depth: Reached distance from the mid, in ticks.
    """

    blocks: int
    second: Floats
    side: Ints
    depth: Floats

    @property
    def columns(self) -> tuple[Floats, Ints, Floats]:
        """Second, side and depth."""
        return self.second, self.side, self.depth


def draw(truth: Truth, rng: np.random.Generator) -> Arrivals:
    """Draw one day."""
    shape = 1 / truth.mixing**2 if truth.mixing else 0.0
    level = rng.gamma(shape, 1 / shape, truth.blocks) if shape else np.ones(truth.blocks)
    counts = rng.poisson(truth.A * BLOCK_S * np.tile(level, 2))  # bids by block, then asks
    place = np.repeat(np.arange(counts.size), counts)
    second = (place % truth.blocks + rng.random(place.size)) * BLOCK_S
    return Arrivals(truth.blocks, second, place // truth.blocks, rng.exponential(1 / truth.k, place.size))


def marks(day: Arrivals) -> Columns:
    """Count each order once, in the cell of one tick in which it ended; the last cell is open."""
    cells = LAST_CELL - TOUCH + 1
    selected = day.depth >= TOUCH
    cell = np.minimum(np.floor(day.depth[selected]).astype(np.int64), LAST_CELL) - TOUCH
    fills = _counts(day, selected, cell, cells)
    delta = np.arange(TOUCH, LAST_CELL + 1, dtype=np.float64)
    width = np.where(delta < LAST_CELL, 1.0, np.inf)
    exposure = np.full(fills.size, float(BLOCK_S))
    return _columns(day, delta, exposure, fills) | {"width_ticks": np.tile(width, 2 * day.blocks)}


def nested(day: Arrivals) -> Columns:
    """Count at each distance of the ladder every order that reached it, on the same tape."""
    counts = [_counts(day, day.depth >= delta, 0, 1) for delta in DELTAS]
    fills = np.stack(counts, axis=1).ravel()
    return _columns(day, DELTAS, np.full(fills.size, float(BLOCK_S)), fills)


def ladder(day: Arrivals, rng: np.random.Generator, *, first_fill: bool) -> Columns:
    """Hold each distance of the ladder for one dwell, in a new random order in each cycle.

    Args:
        day: The aggressive orders.
        rng: Random generator of the sequence of distances.
        first_fill: True ends the exposure of a dwell at its first fill; False re-posts the order, so that every
            arrival counts and the exposure is the full dwell.
    """
    dwells = day.blocks * BLOCK_S // DWELL_S
    cycles = -(-dwells // DELTAS.size)
    delta = np.concatenate([rng.permutation(DELTAS) for _ in range(cycles)])[:dwells]
    dwell = (day.second // DWELL_S).astype(np.int64)
    hit = day.depth >= delta[dwell]
    place = day.side[hit] * dwells + dwell[hit]
    fills = np.bincount(place, minlength=2 * dwells)
    exposure = np.full(2 * dwells, float(DWELL_S))
    if first_fill:
        np.minimum.at(exposure, place, day.second[hit] - dwell[hit] * DWELL_S)
        fills = np.minimum(fills, 1)
    return {
        "delta_ticks": np.tile(delta, 2),
        "exposure_s": exposure,
        "fills": fills,
        "side": np.repeat(SIDES, dwells),
        "block": np.tile(np.arange(dwells) * DWELL_S // BLOCK_S, 2),
    }


def few(truth: Truth, layout: str, n_fills: float, rng: np.random.Generator) -> Columns:
    """Draw a day of *n_fills* expected fills directly from the model.

    Args:
        truth: Provides k; A follows from the number of fills.
        layout: ``marks`` for cells, ``ladder`` for independent points.
        n_fills: Expected number of fills.
        rng: Random generator of the counts.
    """
    delta = np.arange(TOUCH, LAST_CELL + 1, dtype=np.float64) if layout == "marks" else DELTAS
    width = np.where(delta < LAST_CELL, 1.0, np.inf) if layout == "marks" else np.full(delta.size, np.inf)
    gain = np.exp(-truth.k * delta) - np.exp(-truth.k * (delta + width))
    exposure = np.full(delta.size, n_fills / (truth.A * gain.sum()))
    fills = rng.poisson(exposure * truth.A * gain)
    return {"delta_ticks": delta, "exposure_s": exposure, "fills": fills, "width_ticks": width}


def _counts(day: Arrivals, selected: NDArray[np.bool_], cell: Ints | int, cells: int) -> Ints:
    """Count the *selected* orders by side, block and cell."""
    block = (day.second[selected] // BLOCK_S).astype(np.int64)
    place = (day.side[selected] * day.blocks + block) * cells + cell
    return np.bincount(place, minlength=2 * day.blocks * cells)


def _columns(day: Arrivals, delta: Floats, exposure_s: Floats, fills: Ints) -> Columns:
    """Return rows ordered by side, block and distance."""
    return {
        "delta_ticks": np.tile(delta, 2 * day.blocks),
        "exposure_s": exposure_s,
        "fills": fills,
        "side": np.repeat(SIDES, day.blocks * delta.size),
        "block": np.tile(np.repeat(np.arange(day.blocks), delta.size), 2),
    }
