"""What every scenario makes: one session of a market, as the exchange would send it."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING, Any
from zlib import crc32
from zoneinfo import ZoneInfo

from mm.clock import DAY_ZONE, parse_day
from mm.instrument import Instrument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

MS_PER_S = 1_000
OPENING_TIME = time(8)
STEP_MS = 100
_ID_SPACE = 10**9


@dataclass(frozen=True, slots=True)
class Session:
    """When a simulated market runs, and with which luck.

    Attributes:
        symbol: Upper case.
        day: ``YYYYMMDD``; the session opens at 08:00 Berlin time on it.
        hours: How long it lasts.
        seed: Together with the day it keys every draw, so that each day of a range has its own luck.
    """

    symbol: str
    day: str
    hours: float
    seed: int

    @property
    def open_ms(self) -> int:
        """The instant at which the window opens."""
        opening = datetime.combine(parse_day(self.day), OPENING_TIME, ZoneInfo(DAY_ZONE))
        return int(opening.timestamp()) * MS_PER_S

    @property
    def steps(self) -> int:
        """Depth instants, one every 100 ms from the opening on; the window closes 100 ms after the last."""
        return round(self.hours * 3600 * MS_PER_S / STEP_MS)

    @property
    def flow_ms(self) -> tuple[int, int]:
        """When orders arrive: from the first depth message on, before which no recorder knows the book, to the last."""
        return self.open_ms + STEP_MS, self.close_ms - STEP_MS

    @property
    def close_ms(self) -> int:
        """The instant at which the window closes."""
        return self.open_ms + self.steps * STEP_MS

    @property
    def first_id(self) -> int:
        """The update id and the trade id before the day's first; a later day's are larger."""
        return parse_day(self.day).toordinal() * _ID_SPACE

    def random(self, purpose: str) -> "np.random.Generator":
        """Return the draws of one *purpose*: other purposes may draw more or less and leave these as they are."""
        import numpy as np

        return np.random.default_rng([self.seed, int(self.day), crc32(purpose.encode())])


@dataclass(frozen=True, slots=True)
class MarketDay:
    """One session as columns: the book before it, then depth messages and trades in the exchange's order.

    Message *i* has the rows ``first_row[i]:first_row[i + 1]``: the levels a depth message sets (0 lots
    removes), or the one print of a trade.

    Attributes:
        instrument: The grid of all prices and quantities.
        opening_side: +1 bid, -1 ask, a row per level of the book before the first message, best first.
        opening_ticks: Its price.
        opening_lots: Its quantity.
        sent_ms: Exchange time of each message, never falling; a depth message stands before the
            trades of its millisecond.
        is_trade: Whether the message is a trade.
        first_row: int64[messages + 1].
        row_side: Of a level +1 bid, -1 ask; of a trade the aggressor's, +1 buyer, -1 seller.
        row_ticks: Price.
        row_lots: The level's new quantity, or the traded one.
        truth: What the scenario knows of itself and a study would have to find out.
    """

    instrument: Instrument
    opening_side: "Ints"
    opening_ticks: "Ints"
    opening_lots: "Ints"
    sent_ms: "Ints"
    is_trade: "Bools"
    first_row: "Ints"
    row_side: "Ints"
    row_ticks: "Ints"
    row_lots: "Ints"
    truth: dict[str, Any]
