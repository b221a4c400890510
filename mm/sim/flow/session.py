"""When a simulated market runs, and with which luck."""

from dataclasses import dataclass
from datetime import datetime, time
from hashlib import blake2b
from typing import TYPE_CHECKING
from zlib import crc32
from zoneinfo import ZoneInfo

from mm.clock import DAY_ZONE, US_PER_S, parse_day

if TYPE_CHECKING:
    import numpy as np

OPENING_TIME = time(8)
STEP_US = 100_000
_ID_SPACE = 10**9


@dataclass(frozen=True, slots=True)
class Session:
    """When a simulated market runs, and with which luck.

    Attributes:
        symbol: Upper case.
        day: ``YYYYMMDD``; the session opens at 08:00 Berlin time on it.
        hours: How long it lasts.
        seed: Together with the day it keys every draw, so that each day of a range has its own luck.
        begins_us: Where it opens at another instant, as a live server does: that instant, a multiple of 100 ms.
    """

    symbol: str
    day: str
    hours: float
    seed: int
    begins_us: int | None = None

    def __post_init__(self) -> None:
        if self.begins_us is not None and self.begins_us % STEP_US:
            raise ValueError(f"begins_us={self.begins_us}: a session opens at a multiple of {STEP_US} µs")

    @property
    def open_us(self) -> int:
        """The instant at which the window opens."""
        if self.begins_us is not None:
            return self.begins_us
        opening = datetime.combine(parse_day(self.day), OPENING_TIME, ZoneInfo(DAY_ZONE))
        return int(opening.timestamp()) * US_PER_S

    @property
    def close_us(self) -> int:
        """The instant at which the window closes."""
        return self.open_us + round(self.hours * 3600 * US_PER_S / STEP_US) * STEP_US

    @property
    def flow_us(self) -> tuple[int, int]:
        """When orders arrive: from the first depth message on, before which no recorder knows the book, to the last."""
        return self.open_us + STEP_US, self.close_us - STEP_US

    @property
    def first_id(self) -> int:
        """The update, order and trade id before the day's first; a later day's are larger."""
        return parse_day(self.day).toordinal() * _ID_SPACE

    def key(self, purpose: str) -> int:
        """Return the 64-bit key of the draws of one *purpose*: what others draw leaves these as they are."""
        return int.from_bytes(blake2b(f"{self.seed} {self.day} {purpose}".encode(), digest_size=8).digest())

    def random(self, purpose: str) -> "np.random.Generator":
        """Return numpy's draws of one *purpose*."""
        import numpy as np

        return np.random.default_rng([self.seed, int(self.day), crc32(purpose.encode())])
