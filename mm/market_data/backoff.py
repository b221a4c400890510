"""How long to wait before another attempt: longer and longer in trouble, not at all after a healthy minute."""

import random
from collections.abc import Callable

HEALTHY_S = 60.0
EARLY_MOST_S = 8.0


class Backoff:
    """Delays that double from *first_s* up to *most_s*, each shortened at random by up to a half.

    In the first minute of trouble no delay is longer than 8 s. A minute without an attempt is healthy: the next attempt
    is made at once, and the delays begin anew.

    Args:
        first_s: The first delay, in s.
        most_s: The longest delay, in s.
        draw: Returns a random number between 0 and 1.
    """

    def __init__(self, first_s: float, most_s: float, draw: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._draw = draw
        self._delays = 0
        self._trouble_s = 0.0
        self._attempt_s: float | None = None

    def delay(self, now_s: float) -> float:
        """Return how long to wait, in s, before the attempt that is wanted at *now_s* of a monotonic clock."""
        if self._attempt_s is None or now_s - self._attempt_s >= HEALTHY_S:
            self._delays, self._trouble_s, self._attempt_s = 0, now_s, now_s
            return 0.0
        early = now_s - self._trouble_s < HEALTHY_S
        most_s = min(self._most_s, EARLY_MOST_S) if early else self._most_s
        longest = min(most_s, self._first_s * 2.0 ** min(self._delays, 30))
        self._delays += 1
        delay_s = longest * (1 - self._draw() / 2)
        self._attempt_s = now_s + delay_s
        return delay_s


def retry_after_s(header: str | None) -> float:
    """Return how long a ``Retry-After`` header asks to wait, in s; 0 where there is none, or none in whole seconds."""
    return float(header) if header and header.isascii() and header.isdigit() else 0.0
