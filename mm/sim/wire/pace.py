"""The exchange's time: a clock at a multiple of wall time, and a scheduler that advances in slices."""

import asyncio
import time
from collections.abc import Callable

from mm.clock import US_PER_S

SLICE_S = 0.005
_MOST_AT_ONCE_US = US_PER_S
_MOST_LATE_S = 0.25
_IDLE_S = 3_600.0
_REGAINED = 0.1  # of the wall time that passes: so much faster runs a late clock of speed 1


class WireClock:
    """The exchange's clock, from *start_us* on; *seconds* is a monotonic wall clock. At *speed* 0 only `set` advances
    it.
    """

    def __init__(self, start_us: int, speed: float, seconds: Callable[[], float] = time.monotonic) -> None:
        self.speed = speed
        self.slipped_s = 0.0
        self._seconds = seconds
        self._from_us, self._from_s = start_us, seconds()
        self._regained_s = self._from_s

    def now_us(self) -> int:
        return self._from_us + int((self._seconds() - self._from_s) * self.speed * US_PER_S)

    def set(self, us: int) -> None:
        now_us = self.now_us()
        if us > now_us:
            self._from_us += us - now_us

    def slip(self, us: int) -> None:
        self._from_us -= us
        self.slipped_s += us / self.speed / US_PER_S
        self._regained_s = self._seconds()

    def regain(self) -> None:
        """Catch up with wall time at speed 1, as with NTP, so that clients' own stamps fit again."""
        if self.speed != 1 or not self.slipped_s:
            return
        now_s = self._seconds()
        regained_s = min(self.slipped_s, _REGAINED * (now_s - self._regained_s))
        self._from_us += round(regained_s * US_PER_S)
        self.slipped_s -= regained_s
        self._regained_s = now_s


class Scheduler:
    """Advances the exchange's time in short slices, between which the event loop serves connections."""

    def __init__(self, clock: WireClock, advance: Callable[[int], None]) -> None:
        self.clock = clock
        self.done_us = clock.now_us()
        self._advance = advance

    def advance_to(self, us: int) -> None:
        self.clock.set(us)
        while self.done_us < us:
            self.done_us = min(us, self.done_us + _MOST_AT_ONCE_US)
            self._advance(self.done_us)

    def step(self) -> None:
        """Advance for at most one slice; later steps continue."""
        clock, ends_s = self.clock, time.monotonic() + SLICE_S
        late_us = clock.now_us() - self.done_us - int(_MOST_LATE_S * clock.speed * US_PER_S)
        if late_us > 0:
            clock.slip(late_us)
        else:
            clock.regain()
        now_us = clock.now_us()
        while self.done_us < now_us and time.monotonic() < ends_s:
            self.done_us = min(now_us, self.done_us + max(1, int(SLICE_S * clock.speed * US_PER_S)))
            self._advance(self.done_us)

    async def run(self) -> None:
        while True:
            speed, rest_s = self.clock.speed, _IDLE_S
            if speed > 0:
                self.step()
                rest_s = max(0.0, SLICE_S - (self.clock.now_us() - self.done_us) / speed / US_PER_S)
            await asyncio.sleep(rest_s)
