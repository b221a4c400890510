"""The recorder beside the exchange that nothing happens to.

It starts before the window and connects at its opening. Its snapshot is the opening book; the first depth message
follows on it without a hole.
"""

from typing import TYPE_CHECKING, Any, Protocol

import mm
from mm.clock import US_PER_S, run_stamp
from mm.instrument import Instrument
from mm.market_data.day_writer import DayWriter
from mm.market_data.layout import DayFolder
from mm.sim.flow.day_log import DayLog
from mm.sim.flow.messages import BookAt
from mm.sim.flow.session import Session

if TYPE_CHECKING:
    from mm.sim.flow._day_rows import Ints

TOP_N = 20
_EPOCH = 1
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _ASKED_US, _ANSWERED_US = 20_000, 25_000, 60_000


class Recorder(Protocol):
    """Who writes a session into its day folder."""

    @property
    def depth_messages(self) -> int:
        """How many depth messages it wrote."""

    @property
    def trades(self) -> int:
        """How many trade messages it wrote."""

    @property
    def writer(self) -> DayWriter:
        """The files of the day, open."""

    def begin(self, rows: "Ints") -> None:
        """Take the opening of the order log: the book that the recording finds."""

    def take(self, rows: "Ints") -> None:
        """Record what is sent of *rows* of the order log, which end where a depth message does."""

    def finish(self) -> None:
        """End the recording with its window."""

    def truth(self) -> dict[str, Any]:
        """Return what happened to the recording."""


class PlainRecorder:
    """Record a session undisturbed.

    Args:
        folder: The day folder.
        session: The session.
        instrument: Its grid.
        knobs: What the ledger says of the run.
    """

    def __init__(self, folder: DayFolder, session: Session, instrument: Instrument, knobs: dict[str, Any]) -> None:
        self.writer = DayWriter(folder, run_stamp(session.open_us - _EARLY_US), top_n=TOP_N, instrument=instrument)
        self._session, self._instrument, self._knobs = session, instrument, knobs
        self._day_log = DayLog(self.writer, session, instrument, TOP_N)

    @property
    def depth_messages(self) -> int:
        """How many depth messages were written, each with its frame."""
        return self._day_log.depth_messages

    @property
    def trades(self) -> int:
        """How many trade messages were written."""
        return self._day_log.trades

    def begin(self, rows: "Ints") -> None:
        """Write the ledger's opening, and the opening book as the snapshot."""
        writer, open_us = self.writer, self._session.open_us
        writer.event(open_us - _EARLY_US, "run_start", 0, {"version": mm.__version__, "knobs": self._knobs})
        writer.event(open_us, "window_start", 0, {})
        writer.event(open_us + _CONNECTED_US, "ws_connected", 0, {"url": "simulated", "conn": 1})
        writer.event(open_us + _CONNECTED_US, "resync_start", 0, {"cause": "start"})
        writer.event(open_us + _ASKED_US, "snapshot_request", 0, {"attempt": 1})
        exchange = BookAt()
        exchange.feed(rows)
        depth = exchange.depth(open_us)
        self._day_log.load(_EPOCH, depth[1], depth[-1])
        last_id = exchange.update_id or self._session.first_id
        bids, asks = (self._as_text(depth[side]) for side in (1, -1))
        writer.snapshot(open_us + _ANSWERED_US, "initial", last_id, bids, asks, _EPOCH)
        writer.event(open_us + _ANSWERED_US, "resync_done", _EPOCH, {"last_update_id": last_id})

    def take(self, rows: "Ints") -> None:
        """Write every message as it arrives, and the frame that it makes."""
        self._day_log.take(rows)

    def finish(self) -> None:
        """Write the ledger's end."""
        self._day_log.finish()
        close_us = self._session.close_us
        self.writer.event(close_us, "window_end", _EPOCH, {})
        self.writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})

    def truth(self) -> dict[str, Any]:
        """Return nothing, for nothing happened."""
        return {}

    def _as_text(self, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        return [(self._instrument.price(ticks), self._instrument.qty(lots)) for ticks, lots in levels]
