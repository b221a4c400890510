"""Fills per second of simulated orders by distance, as they were seen: what predicts the fills of other orders.

Distances from the mid are whole half ticks. Prices are whole ticks, so an order stands half a tick off under an odd
spread and in whole ticks under an even one, and fills more often while the spread is not as usual: the two are pooled
and interpolated apart.
"""

import math
from itertools import pairwise

import numpy as np

from mm.backtest.metrics.fill_states import often_sent
from mm.calibration.fit_result import Line
from mm.calibration.points import Floats, Points, group, sum_by

POOL_FILLS = 20  # neighbouring distances are pooled to so many
FILLED_TICKS = 20.0  # up to here each half tick between two others has a rate


def pooled_rates(points: Points) -> Line:
    """Return distance and fills per second of orders, neighbouring distances pooled to 20 fills; none below two.

    A pool spans a fifth of its distance and a quarter of a tick at most, and is left out where it has no fills. Unlike
    a curve the rates need not fall: they say what was seen at each distance and no more. Left out are distances at
    which orders stood far more seldom than nearby: they were on their way, or the spread was as it seldom is.
    """
    first, groups = group(points.delta_ticks)
    delta = points.delta_ticks[first]
    seconds, fills = (sum_by(groups, column, len(first)) for column in (points.exposure_s, points.fills))
    half_ticks = np.rint(2 * delta)
    if np.abs(2 * delta - half_ticks).max(initial=0.0) > 1e-6:
        return _two(_pooled(delta, seconds, fills))
    often = often_sent(half_ticks, seconds)
    delta, seconds, fills, part = (column[often] for column in (delta, seconds, fills, half_ticks % 2))
    parts = [_pooled(*(column[part == one] for column in (delta, seconds, fills))) for one in (0, 1)]
    return _two(_filled(*parts))


def _two(found: Line) -> Line:
    return found if len(found) > 1 else ()


def _pooled(delta: Floats, seconds: Floats, fills: Floats) -> Line:
    pools: list[list[float]] = []  # of each: order-seconds times distance, order-seconds, fills
    most = -math.inf
    for at, waited, count in zip(delta.tolist(), seconds.tolist(), fills.tolist(), strict=True):
        if at > most or pools[-1][2] >= POOL_FILLS:
            pools.append([0.0, 0.0, 0.0])
            most = 1.2 * at + 0.25
        pools[-1] = [one + more for one, more in zip(pools[-1], (at * waited, waited, count), strict=True)]
    return tuple((round(moment / waited, 12), count / waited) for moment, waited, count in pools if count)


def _filled(whole: Line, half: Line) -> Line:
    """Return the rates of distances in *whole* ticks and *half* a tick off, and of those that lie between.

    Near the mid each half tick has a rate: without one of its own that of its neighbours of the same kind, the
    logarithm on a line between them.
    """
    found = dict(sorted((*whole, *half)))
    for own, other in ((whole, half), (half, whole)):
        beside = np.array([at for at, _ in other])
        for (near, rate), (far, lower) in pairwise(own):
            missing = np.arange(math.floor(near) + 1, min(far, FILLED_TICKS), 1.0) + (0.5 if own is half else 0.0)
            for at in missing[(missing > near + 1e-6) & (missing < far - 1e-6)].tolist():
                if ((beside > near) & (beside < far)).any():  # else the line between the two is the same
                    share = (at - near) / (far - near)
                    found[at] = rate ** (1 - share) * lower**share
    return tuple(sorted(found.items()))
