"""Steps between inventory levels in decimals of 60 digits, by other methods than the package's."""

from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from itertools import pairwise

DIGITS = 60


def exact_finite_steps(bound, rho, tilt, time, bend):
    """Return ln v(n+1) - ln v(n) for v = exp(-M·time)·exp(-bend·n²): a series of exp(-M·time/2^j), squared j times.

    Nothing is scaled and no term is left out for its size; 60 digits are enough for the cancellation of signs.
    """
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = DIGITS + 40, MAX_EMAX, MIN_EMIN
        rho, tilt, time, bend = (Decimal(entry) for entry in (rho, tilt, time, bend))
        levels = range(-bound, bound + 1)
        m = [
            [rho * n * n - tilt * n if n == o else Decimal(-1 if abs(n - o) == 1 else 0) for o in levels]
            for n in levels
        ]
        size = max(sum(abs(entry) for entry in row) for row in m) * time
        halvings = max(int(size).bit_length() + 1, 0)
        step = [[-entry * time / 2**halvings for entry in row] for row in m]
        power = result = [[Decimal(n == o) for o in levels] for n in levels]
        for k in range(1, 80):
            power = [[entry / k for entry in row] for row in times(power, step)]
            result = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(result, power, strict=True)]
        for _ in range(halvings):
            result = times(result, result)
        start = [(-bend * n * n).exp() for n in levels]
        v = [sum(a * b for a, b in zip(row, start, strict=True)) for row in result]
        return logs(v)


def exact_infinite_steps(bound, rho, tilt):
    """Return the steps for the eigenvector of the smallest eigenvalue, found by bisection in 300 steps."""
    with localcontext() as context:
        context.prec = DIGITS + 40
        rho, tilt = Decimal(rho), Decimal(tilt)
        diagonal = [rho * n * n - tilt * n for n in range(-bound, bound + 1)]
        low, high = min(diagonal) - 2, min(diagonal)
        for _ in range(300):
            middle = (low + high) / 2
            low, high = (middle, high) if all(pivot > 0 for pivot in pivots(diagonal, middle)) else (low, middle)
        best = diagonal.index(min(diagonal))
        left, right = list(pivots(diagonal, low)), list(pivots(diagonal[::-1], low))[::-1]
        ratios = [left[i] if i < best else 1 / right[i + 1] for i in range(2 * bound)]
        return [float(ratio.ln()) for ratio in ratios]


def pivots(diagonal, value):
    """Yield the pivots of a factorisation from the first entry on; after a pivot of zero there is no next one."""
    rest = Decimal(0)
    for entry in diagonal:
        pivot = entry - value - rest
        yield pivot
        rest = 1 / pivot


def times(left, right):
    columns = list(zip(*right, strict=True))
    return [
        [sum((a * b for a, b in zip(row, column, strict=True) if a and b), Decimal(0)) for column in columns]
        for row in left
    ]


def logs(v):
    return [float((b / a).ln()) for a, b in pairwise(v)]
