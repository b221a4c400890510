"""The exchange's time: how fast it runs, and what is done as it passes."""

import asyncio
import time
from collections.abc import Callable

from mm.clock import US_PER_S

SLICE_S = 0.005
_MOST_AT_ONCE_US = US_PER_S
_MOST_BEHIND_S = 0.25
_IDLE_S = 3_600.0


class WireClock:
    """The exchange's clock.

    Args:
        start_us: Its first instant.
        speed: Seconds of the exchange in a second of wall time; 0 stands still, and is moved by `set` alone.
        seconds: A clock of wall time that only rises, in s.

    Attributes:
        speed: As above.
        slipped_s: Seconds of wall time that were left out, because the exchange could not keep up.
    """

    def __init__(self, start_us: int, speed: float, seconds: Callable[[], float] = time.monotonic) -> None:
        self.speed = speed
        self.slipped_s = 0.0
        self._seconds = seconds
        self._from_us, self._from_s = start_us, seconds()

    def now_us(self) -> int:
        """Return the exchange's instant."""
        return self._from_us + int((self._seconds() - self._from_s) * self.speed * US_PER_S)

    def set(self, us: int) -> None:
        """Let it be *us*; an instant that has passed changes nothing."""
        now_us = self.now_us()
        if us > now_us:
            self._from_us += us - now_us

    def slip(self, us: int) -> None:
        """Take *us* back: what is left of them takes time again."""
        self._from_us -= us
        self.slipped_s += us / self.speed / US_PER_S


class Pump:
    """Lets the exchange's time pass, in slices, so that nobody waits long for anything else.

    Args:
        clock: Says what time it is.
        advance: Does all that happens up to an instant, in µs.

    Attributes:
        clock: As above.
        done_us: The instant up to which everything has happened.
    """

    def __init__(self, clock: WireClock, advance: Callable[[int], None]) -> None:
        self.clock = clock
        self.done_us = clock.now_us()
        self._advance = advance

    def advance_to(self, us: int) -> None:
        """Let everything happen up to *us*, also where the clock stands still; the past changes nothing."""
        self.clock.set(us)
        while self.done_us < us:
            self.done_us = min(us, self.done_us + _MOST_AT_ONCE_US)
            self._advance(self.done_us)

    def step(self) -> None:
        """Let happen what is due now, for no longer than a slice; what the exchange cannot do in time, comes later."""
        clock, ends_s = self.clock, time.monotonic() + SLICE_S
        behind_us = clock.now_us() - self.done_us - int(_MOST_BEHIND_S * clock.speed * US_PER_S)
        if behind_us > 0:
            clock.slip(behind_us)
        now_us = clock.now_us()
        while self.done_us < now_us and time.monotonic() < ends_s:
            self.done_us = min(now_us, self.done_us + max(1, int(SLICE_S * clock.speed * US_PER_S)))
            self._advance(self.done_us)

    async def run(self) -> None:
        """Keep the time passing, until cancelled; where the clock stands still, only wait for that."""
        while True:
            if self.clock.speed > 0:
                self.step()
            await asyncio.sleep(self._rest_s())

    def _rest_s(self) -> float:
        """Return how long nothing is due, in s."""
        clock = self.clock
        if clock.speed <= 0:
            return _IDLE_S
        return max(0.0, SLICE_S - (clock.now_us() - self.done_us) / clock.speed / US_PER_S)
