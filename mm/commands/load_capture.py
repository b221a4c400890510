"""``mm.load_capture``."""

import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from mm.base.common_knobs import Name
from mm.cli.task_knobs import Streams
from mm.commands.data import Tables, imported, require_synced
from mm.play.given import groups_of
from mm.play.knobs import Market, Source
from mm.tape.load import load_day
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm import _CaptureKnobs

GROUPS: tuple[type, ...] = (Source, Market, Streams, Tables, Name)


def load_capture(
    captures: "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]",
    symbol: str,
    *,
    format: str = "raw",
    step: Callable[[int], None] | None = None,
    **settings: Unpack["_CaptureKnobs"],
) -> list[Tape]:
    """Import captured streams, or files of another source, and return the days of *symbol* as tapes.

    The day folders are as ``mm data import`` writes them, by default below ``data``; `load_day` opens them again. A
    ``UserWarning`` tells what was lost or is doubtful.

    Args:
        captures: A file, or several in the order of recording.
        symbol: The symbol to import, in any case.
        format: ``raw`` (captured messages of Binance), ``bitstamp``, ``hftbacktest``, ``tardis``, ``lobster``,
            ``databento``, ``binance_vision`` or ``table``.
        step: Called with the bytes read since the last call, for a progress bar.
        settings: Other knobs of ``mm data import`` by field (``data_root``, ``tick_size``, ``time_column``).

    Raises:
        TypeError: If a knob is unknown.
        UsageError: If a knob or the format is invalid.
        BrokenFile: If a file is empty, has another format, or is older than the previous one.
        Mismatch: If no file has a message of the symbol.
        RunExists: If a day folder exists already.
        NeverSynced: If no day has a book; what was read is stored.
    """
    files = [captures] if isinstance(captures, str | os.PathLike) else list(captures)
    given = {"trade_stream": None, **settings, "symbol": symbol}
    source, market, streams, tables, name = groups_of(GROUPS, given, "mm.load_capture")
    advance = step or (lambda _read: None)
    asked = (source, market, streams, tables, name)
    report = imported([Path(file) for file in files], format, asked, lambda _size: nullcontext(advance))
    for line in (*report.losses, *report.warnings):
        warnings.warn(line, stacklevel=2)
    require_synced(report)
    return [load_day(day.path) for day in report.days if day.synced]
