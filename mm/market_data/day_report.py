"""What came into one day folder: numbers for machines, a line for people."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class BookCounts:
    """What a day holds: rows stored, and what went wrong by kind."""

    diffs: int = 0
    frames: int = 0
    snapshots: int = 0
    snapshots_refused: int = 0
    gaps: int = 0
    epochs: int = 0
    anomalies: Counter[str] = field(default_factory=Counter)


@dataclass
class DayReport:
    """One day folder, as an import or a recorder wrote it.

    Attributes:
        day: ``YYYYMMDD``.
        first_us: Receive time of the day's first message, or when its recording began.
        last_us: Receive time of the last one.
        path: The folder; empty until an import is done.
        lines: Messages of the symbol that came into the day.
        trades: Trades stored.
        duplicate_trades: Trades that were there already and were left out.
        trade_gaps: Holes in the trade ids.
        tickers: bookTicker messages.
        clock_steps: Times the receive clock stepped back.
        quarantined: Messages that could not be read, kept raw.
        book: Depth messages, frames, snapshots, gaps, epochs and anomalies.
        clock_offset_us: Median of receive time less the exchange's stamp; None where it was not measured.
        clock_offset_p99_us: The 99th percentile of it.
    """

    day: str
    first_us: int
    last_us: int
    path: str = ""
    lines: int = 0
    trades: int = 0
    duplicate_trades: int = 0
    trade_gaps: int = 0
    tickers: int = 0
    clock_steps: int = 0
    quarantined: int = 0
    book: BookCounts = field(default_factory=BookCounts)
    clock_offset_us: int | None = None
    clock_offset_p99_us: int | None = None

    @property
    def synced(self) -> bool:
        """Whether the day ever had a valid book."""
        return self.book.epochs > 0

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values, those of the book among the others."""
        record = asdict(self)
        book = record.pop("book")
        return {**record, **book, "anomalies": dict(self.book.anomalies), "synced": self.synced}

    def line(self) -> str:
        """Return the day for a terminal."""
        book = self.book
        counted = [
            f"{book.diffs:,} diffs",
            f"{self.trades:,} trades",
            f"{book.frames:,} frames",
            f"{book.snapshots:,} snapshots",
            f"{book.epochs:,} epochs",
            f"{book.gaps:,} gaps",
            *([f"{self.trade_gaps:,} trade gaps"] if self.trade_gaps else []),
            *([f"{self.duplicate_trades:,} duplicate trades left out"] if self.duplicate_trades else []),
            *([f"{self.clock_steps:,} clock steps"] if self.clock_steps else []),
            *([f"{self.quarantined:,} in quarantine"] if self.quarantined else []),
            *([_anomalies(book.anomalies)] if book.anomalies else []),
            *([] if self.synced else ["never synced, so no frames"]),
        ]
        return f"{self.day}  {', '.join(counted)}"


def _anomalies(found: Counter[str]) -> str:
    return "anomalies: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.items()))
