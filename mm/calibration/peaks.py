"""Where a function of k falls through zero: the peaks of the likelihood, with Jeffreys prior and without.

All k here are in units of the table's span.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from mm.calibration._rows import At
from mm.calibration.likelihood import LEAST_K, Table

Slope = Callable[[At], tuple[float, float]]  # a slope, and its own slope

TURNS = 200  # no root needs as many steps
CLOSE = 1e-9  # a Newton step so short, as a share of k, leaves an error of its square
DIGITS = 1e-15  # nothing is nearer than the last digit
ROUNDING = 1e-14  # of the score of one fill
REACH = 8.0  # a step goes no further than so many times the k it starts from, or 1
STRIDE = 0.1  # of a scan, as a share of k: peaks nearer to each other are one
FARTHEST = 1e100
SURE = 4  # a function that falls in so many places, each four times as far as the one before, rises no more
LEAPS = (8.0, 2.0, 1.3, 1.1)  # where there may be a second peak, the largest leap that cannot miss it is taken


def score_peak(table: Table) -> float | None:
    """Return the k of the highest likelihood, which has to be finite; None if, among cells, it only falls."""
    if not table.cells:
        at = table.at(0.0)
        level = abs(at.mean - at.seen) < ROUNDING
        return 0.0 if level else falls_at(table, _score, _first_guess(at.seen))
    guess = _first_guess(float(table.fills @ table.shape.delta) / table.total)
    peak = falls_at(table, _score, guess if guess > 0 else 1.0)
    if _alone(table, peak):
        return peak if peak > LEAST_K else None
    return _highest(table, _score, lambda at: at.log_likelihood, (LEAST_K, _beyond(table, _score, 1)))


def penalised_peak(table: Table, peak: float | None) -> float | None:
    """Return the k of the highest likelihood times prior; None if, among cells, it only falls.

    Args:
        table: Its rows.
        peak: The k of the highest likelihood alone; None where it is not finite.
    """
    ends = _reach_of_prior(table, peak) if peak is not None and (not table.cells or _alone(table, peak)) else None
    if ends is None:
        low = LEAST_K if table.cells else _beyond(table, _penalised, -1)
        ends = low, _beyond(table, _penalised, 1)
    return _highest(table, _penalised, lambda at: at.penalised_log_likelihood, ends)


def falls_at(table: Table, slope: Slope, start: float, between: tuple[float, float] = (-math.inf, math.inf)) -> float:
    """Return where *slope* falls through zero, by Newton steps kept *between* two ends; the least k if it only falls.

    Of several such places it is one.
    """
    (low, high), k, floor = between, start, table.least_k
    for _ in range(TURNS):
        value, bend = slope(table.at(k))
        if value > 0:
            low = k
        elif value < 0 and k > floor:
            high = k
        else:
            return k
        step = -value / bend if bend < 0 else math.copysign(math.inf, value)
        if abs(step) <= CLOSE * abs(k):
            return max(k + step, floor)
        longest = REACH * max(abs(k), 1.0)
        if not (abs(step) <= longest and low < k + step < high):
            step = (low + high) / 2 - k if math.isfinite(high - low) else math.copysign(longest, value)
        k = max(k + step, floor)
        if abs(step) <= DIGITS * max(abs(k), 1e-3):
            break
    return k


def _score(at: At) -> tuple[float, float]:
    return at.score, at.bend


def _penalised(at: At) -> tuple[float, float]:
    return at.penalised_score, at.penalised_bend


def _first_guess(seen: float) -> float:
    """Return about the k at which an exponential depth, cut to [0, 1], has the mean *seen*."""
    seen = min(max(seen, 1e-3), 1 - 1e-3)
    return 1 / seen - 1 / (1 - seen)


def _alone(table: Table, peak: float) -> bool:
    """Return whether the likelihood of cells can have no other peak than *peak*.

    The score of one fill, F, is the difference of two falling functions, (F + B) and B, where B is how much
    deeper the fills lie within their cells than they would within the narrowest: so between two places F
    rises by no more than B falls.
    """
    narrow, wider = table.narrowest, table.wider
    if not wider:
        return True

    def rise(k: float) -> float:
        return sum(share * (_overhang(k, narrow) - _overhang(k, width)) for width, share in wider)

    for way in (1, -1):
        k = peak
        leap: float | None = LEAPS[-1]
        while leap is not None and LEAST_K < k < FARTHEST:
            k *= leap**way
            at = table.at(k)
            depth = way * (at.seen - at.mean)
            if not depth > 0:
                return False
            spare = rise(k)
            if way > 0 and depth > spare:
                break
            leap = next((leap for leap in LEAPS if way * (spare - rise(k * leap**way)) < depth), None)
            if leap is None:
                return False
    return True


def _overhang(k: float, width: float) -> float:
    """Return by how much the mean of an exponential depth is less within [0, width) than without an end."""
    return width * math.exp(-k * width) / -math.expm1(-k * width) if k * width > 0 and width < math.inf else 0.0


def _reach_of_prior(table: Table, peak: float) -> tuple[float, float] | None:
    """Return two k beyond which the prior, at its most, cannot make good what the likelihood has fallen from *peak*."""
    here = table.at(peak)
    most = math.log((1 + 1 / LEAST_K) / 2 if table.cells else 0.5)  # half the range is the largest deviation
    bar = here.penalised_log_likelihood - most
    if not here.variance * here.total > 0:
        return None
    step = 1 / math.sqrt(here.variance * here.total)
    ends = []
    for way in (-step, step):
        k, stride = peak, way
        while k > table.least_k and abs(stride) < FARTHEST and table.at(k).log_likelihood >= bar:
            k, stride = max(peak + stride, table.least_k), 2 * stride
        ends.append(k)
    return ends[0], ends[1]


def _highest(table: Table, slope: Slope, value: Callable[[At], float], ends: tuple[float, float]) -> float | None:
    """Return the highest peak between two ends of a function that may have more than one; None if it only falls."""
    falls = [
        falls_at(table, slope, near + (far - near) * here / (here - there), (near, far))
        for (near, here), (far, there) in pairwise((k, slope(table.at(k))[0]) for k in _grid(table, *ends))
        if here > 0 >= there
    ]
    return max(falls, key=lambda k: value(table.at(k)), default=None)


def _grid(table: Table, low: float, high: float) -> Iterator[float]:
    """Yield places from *low* to *high*, a stride apart: as a share of k, and near 0 of what plain rows see of it."""
    bent, straight = (math.log, math.exp) if table.cells else (math.asinh, math.sinh)
    start, end = bent(low), bent(high)
    count = max(math.ceil((end - start) / STRIDE), 4)
    return (straight(start + (end - start) * at / count) for at in range(count + 1))


def _beyond(table: Table, slope: Slope, way: int) -> float:
    """Return a k, in the direction of *way*, well beyond the last place where the function still rises that way."""
    far, falls = 1.0, 0
    while falls < SURE and far < FARTHEST:
        falls = 0 if way * slope(table.at(way * far))[0] > 0 else falls + 1
        far *= 4
    return way * far
