"""Random draws in plain Python, equal to those of the kernel ``_queues``: one stream per purpose.

splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the state is incremented by an
odd constant, so that it does not repeat within 2**64 draws, and each draw is a hash of the state.
"""

from collections.abc import Iterator
from math import exp, floor, lgamma, log, sqrt

_STEP = 0x9E3779B97F4A7C15
_BLOCK = 4_096


class Draws:
    """The draws of one purpose; *key* is its random key, 64 bits.

    Attributes:
        unit: Function that returns a uniform draw between 0 and 1, both excluded.
    """

    def __init__(self, key: int) -> None:
        self.unit = _units(key).__next__

    def exponential(self) -> float:
        """Return an exponential draw with mean 1."""
        return -log(self.unit())

    def below(self, count: int) -> int:
        """Return a uniform draw from 0 … count - 1."""
        return int(self.unit() * count)

    def poisson(self, mean: float) -> int:
        """Return a Poisson draw, by inversion if the mean is below 10, else by transformed rejection.

        W. Hörmann, The transformed rejection method for generating Poisson random variables, 1993 (PTRS).
        """
        if mean < 10.0:
            return _inverted(self.unit(), mean)
        b = 0.931 + 2.53 * sqrt(mean)
        a = -0.059 + 0.02483 * b
        while True:
            u, v = self.unit() - 0.5, self.unit()
            us = 0.5 - abs(u)
            k = floor((2.0 * a / us + b) * u + mean + 0.43)
            if us >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
                return k
            if k < 0 or (us < 0.013 and v > us):
                continue
            accepted = log(v) + log(1.1239 + 1.1328 / (b - 3.4)) - log(a / (us * us) + b)
            if accepted <= -mean + k * log(mean) - lgamma(k + 1.0):
                return k

    def move(self, mean: float, none: float) -> int:
        """Return the difference of two Poisson draws with a *mean*, and a chance of *none* = exp(-mean) to be 0."""
        if mean >= 10.0:
            return self.poisson(mean) - self.poisson(mean)
        up, down = self.unit(), self.unit()
        return 0 if up <= none >= down else _inverted(up, mean) - _inverted(down, mean)


def _inverted(u: float, mean: float) -> int:
    """Return the Poisson draw of a uniform draw, by inversion."""
    k, total = 0, exp(-mean)
    term = total
    while u > total and term > 1e-300:
        k += 1
        term *= mean / k
        total += term
    return k


def _units(key: int) -> Iterator[float]:
    import numpy as np

    while True:
        z = np.arange(1, _BLOCK + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        yield from (((z >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53).tolist()
        key = (key + _BLOCK * _STEP) % 2**64
