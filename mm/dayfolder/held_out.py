"""Held-out days: marked below DATA_ROOT, refused to whatever plays or fits them until opened."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mm.base.atomic_file import write_atomic
from mm.base.held_file import wait_for_file
from mm.clock import now_us, run_stamp
from mm.errors import BrokenFile, UsageError

FILE, OPENINGS = "held_out.json", "held_out_openings.ndjson"
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


def note_opening(data_root: Path, symbol: str, day: str, made_by: str) -> str | None:
    """Write beside the hold that a day was opened, whatever the OUT_ROOT; return why it cannot be."""
    path = data_root / OPENINGS
    line = json.dumps({"at_us": now_us(), "symbol": symbol, "day": day, "made_by": made_by}) + "\n"
    try:
        with path.open("a", encoding="utf-8") as file:  # one write of a short line is whole
            file.write(line)
    except OSError as error:
        return f"{path}: cannot be written ({error.strerror}); only this OUT_ROOT counts the opening"
    return None


def openings_of(data_root: Path, symbol: str, day: str) -> int:
    try:
        lines = (data_root / OPENINGS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(f'"symbol": "{symbol}", "day": "{day}"' in line for line in lines)


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
        wait_for_file(descriptor)
        held = {symbol: dict(days) for symbol, days in held_days(data_root).items()}
        yield held
        text = json.dumps({symbol: days for symbol, days in held.items() if days}, indent=1, sort_keys=True)
        try:
            write_atomic(data_root / FILE, (text + "\n").encode())
        except OSError as error:
            raise UsageError(f"{data_root / FILE}: cannot be written ({error.strerror}); no day was marked") from error
    finally:
        os.close(descriptor)
