"""The volatility of docs/specification/engine.md, from every sample of the mid, anew for each query."""

import math
from fractions import Fraction

from mm import Rules
from oracle_travel import SECOND_US


class Volatility:
    """The samples of the mid, one per second."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.samples: list[tuple[int, int, int]] = []  # instant, mid2, and the number of its unbroken stretch
        self.stretch = 0

    def look(self, us: int, mid2: int, broken: bool) -> None:
        """Record the mid, 0 if there is none, and whether it was missing since the previous sample."""
        self.stretch += broken or not mid2
        self.samples.append((us, mid2, self.stretch if mid2 else -1))

    def sigma(self) -> float:
        """Return sigma in ticks per root second as of the last sample, NaN while it is unknown."""
        return {"rolling": self.rolling, "two_scale": self.two_scale, "ewma": self.ewma}[self.rules.sigma_method]()

    def changes(self, since_us: int, step_s: int) -> list[tuple[int, int]]:
        """Return instant and square of each change of mid2 over *step_s* seconds that began at *since_us* or later."""
        pairs = zip(self.samples, self.samples[step_s:], strict=False)
        same = [(one, other) for one, other in pairs if one[2] == other[2] != -1 and one[0] >= since_us]
        return [(other[0], (other[1] - one[1]) ** 2) for one, other in same]

    def window(self, step_s: int) -> list[int]:
        """Return the squares of the changes within the window that ends with the last sample."""
        return [
            square for _, square in self.changes(self.samples[-1][0] - self.rules.sigma_window_s * SECOND_US, step_s)
        ]

    def rolling(self) -> float:
        squares = self.window(1)
        known = len(squares) >= min(30, self.rules.sigma_window_s)
        return math.sqrt(sum(squares) / (4.0 * len(squares))) if known else math.nan

    def two_scale(self) -> float:
        slow_s = max(self.rules.sigma_window_s // 30, 2)
        fast, slow = self.window(1), self.window(slow_s)
        if len(slow) < min(30, self.rules.sigma_window_s - slow_s + 1):
            return math.nan
        over = Fraction(sum(slow), len(slow)) - Fraction(sum(fast), len(fast))
        return math.sqrt(max(over, Fraction(0)) / (4 * (slow_s - 1)))

    def ewma(self) -> float:
        half_life_s = self.rules.sigma_half_life_s
        kept: list[tuple[int, int]] = []
        for change in self.changes(0, 1):
            if kept and self.idle_s(kept[-1][0], change[0]) - 1 > 10 * half_life_s:
                kept.clear()
            kept.append(change)
        last_us = self.samples[-1][0]
        if kept and self.idle_s(kept[-1][0], last_us) > 10 * half_life_s:
            kept.clear()
        if len(kept) < min(30, math.ceil(half_life_s)):
            return math.nan
        weights = [0.5 ** ((last_us - at) / SECOND_US / half_life_s) for at, _ in kept]
        weighed = math.fsum(weight * square for weight, (_, square) in zip(weights, kept, strict=True))
        return math.sqrt(weighed / math.fsum(weights)) / 2

    def idle_s(self, since_us: int, until_us: int) -> int:
        return (until_us - since_us) // SECOND_US
