"""A session of a simulated market: times, random seed, and faults of its recording."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from zlib import crc32

from mm.clock import DAY_ZONE, US_PER_S, parse_day, zone_of
from mm.errors import UsageError
from mm.ids import IdRange

if TYPE_CHECKING:
    import numpy as np


OPENING_TIME = time(8)
STEP_US = 100_000
_ID_SPACE = 10**9
LOST_DEPTH, LOST_TRADES, DISCONNECT, CRASH = "lost_depth", "lost_trades", "disconnect", "crash"
_MOST_S = {DISCONNECT: 30, CRASH: 60}
_MOST_MESSAGES = {LOST_DEPTH: 5, LOST_TRADES: 20}
_APART_US = 120 * US_PER_S


@dataclass(frozen=True, slots=True)
class Session:
    """The times of a simulated market, and the seed of its random draws.

    A session opens at 08:00 Berlin time on *day*, or at *begins_us*, a multiple of 100 ms, as on a live server.
    """

    symbol: str
    day: str
    hours: float
    seed: int
    begins_us: int | None = None

    @property
    def open_us(self) -> int:
        if self.begins_us is not None:
            return self.begins_us
        opening = datetime.combine(parse_day(self.day), OPENING_TIME, zone_of(DAY_ZONE))
        return int(opening.timestamp()) * US_PER_S

    @property
    def close_us(self) -> int:
        return self.open_us + round(self.hours * 3600 * US_PER_S / STEP_US) * STEP_US

    @property
    def flow_us(self) -> tuple[int, int]:
        """First depth message (no recorder has a book before it) and last one, µs."""
        return self.open_us + STEP_US, self.close_us - STEP_US

    @property
    def first_id(self) -> int:
        return parse_day(self.day).toordinal() * _ID_SPACE

    def key(self, purpose: str) -> int:
        return int.from_bytes(blake2b(f"{self.seed} {self.day} {purpose}".encode(), digest_size=8).digest())

    def random(self, purpose: str) -> "np.random.Generator":
        import numpy as np

        return np.random.default_rng([self.seed, int(self.day), crc32(purpose.encode())])


@dataclass(frozen=True, slots=True)
class RecordingFault:
    """A planned fault; *messages* of the stream are lost from *start_us* on (`LOST_DEPTH`, `LOST_TRADES`)."""

    kind: str
    start_us: int
    messages: int = 0
    lasts_us: int = 0


@dataclass
class FaultRecord:
    """A fault and what is missing because of it; *no_book_us* is the time without a valid book, µs."""

    fault: RecordingFault
    end_us: int | None = None
    update_ids: IdRange | None = None
    trade_ids: IdRange | None = None
    no_book_us: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.fault.kind,
            "start_us": self.fault.start_us,
            "end_us": self.end_us,
            "lost_update_ids": self.update_ids,
            "lost_trade_ids": self.trade_ids,
            "no_book_us": self.no_book_us,
        }


def plan(session: Session, kinds: Iterable[str]) -> tuple[RecordingFault, ...]:
    """Draw one fault per entry of *kinds*; UsageError below two minutes each."""
    draws = session.random("faults")
    wanted = list(kinds)
    first_us, end_us = session.flow_us
    room_us = (end_us - first_us) // max(1, len(wanted))
    if wanted and room_us < _APART_US:
        raise UsageError(
            "{hours} {} is too short for {} faults, which need {} s each; make it longer, or reduce the number "
            "of faults",
            session.hours,
            len(wanted),
            _APART_US // US_PER_S,
        )
    faults = []
    for nth, index in enumerate(draws.permutation(len(wanted)).tolist()):
        kind, start_us = wanted[index], first_us + nth * room_us + int(draws.integers(room_us // 4, room_us // 2))
        messages = lasts_us = 0
        if kind in _MOST_MESSAGES:
            messages = int(draws.integers(1, _MOST_MESSAGES[kind], endpoint=True))
        else:
            lasts_us = int(draws.integers(US_PER_S, _MOST_S[kind] * US_PER_S))
        faults.append(RecordingFault(kind, start_us, messages, lasts_us))
    return tuple(faults)
