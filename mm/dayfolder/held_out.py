"""Held-out days: marked below DATA_ROOT, refused to whatever plays or fits them until opened."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mm.base.atomic_file import write_atomic
from mm.clock import now_us, run_stamp
from mm.errors import BrokenFile, UsageError

try:
    import fcntl
except ImportError:  # not on Windows, where two commands that hold days in the same instant may lose one
    fcntl = None  # type: ignore[assignment]

FILE = "held_out.json"
Held = Mapping[str, Mapping[str, str | None]]
"""By symbol and day: the date from which the day is no longer held; None for none."""


def held_days(data_root: Path) -> Held:
    path = data_root / FILE
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return {str(symbol): {str(day): until for day, until in days.items()} for symbol, days in held.items()}
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise BrokenFile(
            "{data_root} {}: is no folder; name the folder that holds the symbols' folders", data_root
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}), so which days are held out is unknown; mend it") from error


def held_of(data_root: Path, symbol: str, days: Iterable[str]) -> list[str]:
    until, today = held_days(data_root).get(symbol, {}), run_stamp(now_us())[:8]
    return sorted({day for day in days if day in until and (until[day] is None or today < str(until[day]))})


def refuse_held(data_root: Path, symbol: str, days: Sequence[str]) -> None:
    if held := held_of(data_root, symbol, days):
        several = len(held) > 1
        raise UsageError(
            "{} {}: held out ({}); leave {} out, play {} once with mm evaluate {held_out}, or open {} by "
            "{open_held_out}, which is written down and printed with every later number of {}",
            symbol,
            ", ".join(held),
            data_root / FILE,
            "them" if several else "it",
            "them" if several else "it",
            "them" if several else "it",
            "these days" if several else "this day",
        )


def hold(data_root: Path, symbol: str, days: Iterable[str], until: str | None) -> None:
    with _changed(data_root) as held:
        held.setdefault(symbol, {}).update(dict.fromkeys(days, until))


def release(data_root: Path, symbol: str, days: Iterable[str]) -> list[str]:
    with _changed(data_root) as held:
        own = held.get(symbol, {})
        released = [day for day in days if day in own]
        for day in released:
            del own[day]
    return released


@contextmanager
def _changed(data_root: Path) -> Iterator[dict[str, dict[str, str | None]]]:
    """One process at a time; raises UsageError if the file cannot be written."""
    try:
        descriptor = os.open(data_root, os.O_RDONLY)
    except OSError as error:
        raise UsageError("{data_root} {}: {}; name the folder of the days", data_root, error.strerror) from error
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        held = {symbol: dict(days) for symbol, days in held_days(data_root).items()}
        yield held
        text = json.dumps({symbol: days for symbol, days in held.items() if days}, indent=1, sort_keys=True)
        try:
            write_atomic(data_root / FILE, (text + "\n").encode())
        except OSError as error:
            raise UsageError(f"{data_root / FILE}: cannot be written ({error.strerror}); no day was marked") from error
    finally:
        os.close(descriptor)
