"""What an import found and wrote: numbers for machines, a few lines for people."""

from array import array
from dataclasses import asdict, dataclass, field
from typing import Any

from mm.instrument import Instrument, short_text
from mm.market_data.day_report import DayReport

UNREAD_NAMED = 5
"""How many of the lines in quarantine the report names."""


@dataclass
class CaptureReport:
    """One capture: its lines of any symbol, and what could not be used of it.

    Attributes:
        name: File name.
        lines: Lines with something on them.
        cut_lines: Fragments of lines, at the end or beside a damaged stretch; they are in the quarantine.
        lost_bytes: Bytes of the file that could not be unpacked.
        ends_early: Whether a gzip file ended in the middle of a member.
        unread_lines: Lines that could not be read, cut ones included; they are in the quarantine.
        unread: File, line and reason of the first few of them.
    """

    name: str
    lines: int = 0
    cut_lines: int = 0
    lost_bytes: int = 0
    ends_early: bool = False
    unread_lines: int = 0
    unread: list[str] = field(default_factory=list)

    def quarantine(self, reason: str, *, cut: bool) -> None:
        """Count a line that could not be read; *reason* begins with file and line."""
        self.unread_lines += 1
        self.cut_lines += cut
        if len(self.unread) < UNREAD_NAMED:
            self.unread.append(reason)

    @property
    def whole(self) -> bool:
        """Whether nothing of the capture was lost."""
        return not (self.cut_lines or self.lost_bytes or self.ends_early)


@dataclass
class ImportReport:
    """A whole import.

    Attributes:
        symbol: Upper case.
        run_id: Names the run in every row.
        captures: In the order in which they were read.
        days: In order.
        compared: bookTicker messages that met a book of their update id.
        agreed: Those that agreed with it in both prices and both quantities.
        instrument: The grid that was written; None where not one price came.
        inferred: What of it was concluded from the capture: ``tick size``, ``quantity step``.
        warnings: What a user should know, one sentence each.
    """

    symbol: str
    run_id: str
    captures: list[CaptureReport] = field(default_factory=list)
    days: list[DayReport] = field(default_factory=list)
    compared: int = 0
    agreed: int = 0
    instrument: Instrument | None = None
    inferred: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; *path* is the folder of the symbol's last day."""
        record = asdict(self) | {"days": [day.to_json() for day in self.days]}
        if self.instrument:
            instrument = self.instrument
            record["instrument"] = {
                "tick_size": short_text(instrument.tick_e8),
                "qty_step": short_text(instrument.lot_e8),
                "min_notional": short_text(instrument.min_notional_e8),
            }
        return {**record, "path": self.days[-1].path if self.days else None}

    def lines(self) -> list[str]:
        """Return the report for a terminal: the days, the check, the clock, the grid, what was lost, the warnings."""
        return [
            *(day.line() for day in self.days),
            f"bookTicker check: {self.compared:,} compared, {self.agreed:,} agreed",
            *_clock_line(self.days),
            *_grid_line(self.instrument, self.inferred),
            *(_loss_line(capture) for capture in self.captures if not capture.whole),
            *(_unread_line(capture) for capture in self.captures if capture.unread),
            *(f"warning: {warning}" for warning in self.warnings),
            *(day.path for day in self.days),
        ]


def percentiles(offsets_us: "array[int]") -> tuple[int | None, int | None]:
    """Return median and 99th percentile (each the lower of two candidates); None where there is nothing."""
    if not offsets_us:
        return None, None
    ordered = sorted(offsets_us)
    last = len(ordered) - 1
    return ordered[last // 2], ordered[last * 99 // 100]


def _clock_line(days: list[DayReport]) -> list[str]:
    medians = [f"{day.clock_offset_us / 1000:+.1f} ms" for day in days if day.clock_offset_us is not None]
    return [f"receive clock less exchange stamp, median a day: {', '.join(medians)}"] if medians else []


def _grid_line(instrument: Instrument | None, inferred: list[str]) -> list[str]:
    if instrument is None:
        return []
    source = f" (inferred from the capture: {', '.join(inferred)})" if inferred else ""
    return [f"tick size {short_text(instrument.tick_e8)}, quantity step {short_text(instrument.lot_e8)}{source}"]


def _unread_line(capture: CaptureReport) -> str:
    more = capture.unread_lines - len(capture.unread)
    return f"in quarantine: {'; '.join(capture.unread)}{f'; and {more:,} more of {capture.name}' if more else ''}"


def _loss_line(capture: CaptureReport) -> str:
    lost = [
        *(["the gzip stream ends early"] if capture.ends_early else []),
        *([f"{capture.lost_bytes:,} bytes could not be unpacked"] if capture.lost_bytes else []),
        *([f"{capture.cut_lines:,} cut line in quarantine"] if capture.cut_lines else []),
    ]
    return f"lost: {capture.name}: {', '.join(lost)}; all {capture.lines - capture.cut_lines:,} whole lines were used"
