"""The day that a recording is in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mm.market_data.book_keeper import BookKeeper
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter


@dataclass
class Today:
    """The day that is being written: its files, the book that goes into them, and what was counted."""

    writer: DayWriter
    keeper: BookKeeper
    report: DayReport

    @classmethod
    def begun(cls, writer: DayWriter, keeper: BookKeeper, at_us: int) -> Self:
        """Return the day of *writer*, which begins at *at_us*."""
        report = DayReport(writer.folder.day, at_us, at_us, path=str(writer.folder.path), book=keeper.counts)
        return cls(writer, keeper, report)

    def event(self, at_us: int, kind: str, details: Mapping[str, Any]) -> None:
        """Write something that happened to the recording."""
        self.writer.event(at_us, kind, self.keeper.epoch_id, details)

    def quarantine(self, at_us: int, stream: str, reason: str, raw: bytes) -> None:
        """Keep raw what cannot be used."""
        self.writer.quarantine(at_us, stream, reason, raw)
        self.report.quarantined += 1
        self.keeper.anomaly(at_us, "quarantined", stream=stream, reason=reason)
