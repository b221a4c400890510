"""The experiment as simulated paths, in blocks, each with its own random stream."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mm.sim.as2008.exact import Moments
from mm.sim.as2008.model import Floats, Inventories, PaperModel, Policy, fills

BLOCK = 16_384
_POWERS = (1, 2, 3, 4)
Sums = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SampleMoments:
    """Moments of *n* draws. The standard error of the standard deviation is std·sqrt((kurtosis - 1)/(4n))."""

    mean: float
    std: float
    se_mean: float
    se_std: float
    skew: float | None
    kurtosis: float | None


@dataclass(frozen=True, slots=True)
class SimulatedPaths:
    n_paths: int
    profit: SampleMoments
    final_q: SampleMoments


def simulate(
    market: PaperModel, policy: Policy, expected: Moments, *, paths: int, stream: np.random.SeedSequence
) -> SimulatedPaths:
    sizes = [min(BLOCK, paths - start) for start in range(0, paths, BLOCK)]

    profit_sums, q_sums = [], []
    for size, block_stream in zip(sizes, stream.spawn(len(sizes)), strict=True):
        profit, final_q = _draw(market, policy, size, np.random.default_rng(block_stream))
        profit_sums.append(_sums(profit, expected.profit_mean))
        q_sums.append(_sums(final_q, expected.final_q_mean))
    return SimulatedPaths(
        paths, _sample(profit_sums, expected.profit_mean, paths), _sample(q_sums, expected.final_q_mean, paths)
    )


def _draw(market: PaperModel, policy: Policy, paths: int, rng: np.random.Generator) -> tuple[Floats, Inventories]:
    q = np.zeros(paths, dtype=np.int64)
    moves = np.zeros(paths, dtype=np.int64)  # PnL of the inventory, in moves of the mid
    captured = np.zeros(paths)
    for step in range(market.steps):
        lowest_q = int(q.min())
        table = fills(market, policy, step, np.arange(lowest_q, int(q.max()) + 1))
        at = q - lowest_q
        bid = rng.random(paths) < table.bid_chance[at]
        ask = rng.random(paths) < table.ask_chance[at]
        captured += bid * table.bid_gain[at] + ask * table.ask_gain[at]
        q += bid
        q -= ask
        moves += q * (2 * rng.integers(0, 2, paths, dtype=np.int8) - 1)
    return captured + market.move * moves, q


def _sums(values: Floats | Inventories, centre: float) -> Sums:
    deviation = np.asarray(values - centre, dtype=np.float64)
    return tuple(float((deviation**power).sum()) for power in _POWERS)


def _sample(blocks: Sequence[Sums], centre: float, n: int) -> SampleMoments:
    first, *higher = (math.fsum(sums) / n for sums in zip(*blocks, strict=True))
    second, third, fourth = higher
    m2 = second - first**2
    if m2 <= 1e-12 * second:  # rounding: the draws are all equal
        m2 = 0.0
    m3 = third - 3 * first * second + 2 * first**3
    m4 = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    std = math.sqrt(m2 * n / (n - 1))
    kurtosis = m4 / m2**2 if m2 > 0 and n > 3 else None
    return SampleMoments(
        mean=centre + first,
        std=std,
        se_mean=std / math.sqrt(n),
        se_std=std * math.sqrt(max(0.0, (kurtosis or 1.0) - 1) / (4 * n)),
        skew=m3 / m2**1.5 if m2 > 0 else None,
        kurtosis=kurtosis,
    )
