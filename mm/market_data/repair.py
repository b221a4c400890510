"""Mend a damaged day: keep every whole row, write the frames again from the raw messages, and say what was done.

The work is done on a copy beside the day, which is checked before anything moves. Then its files take the places of
the others, one rename each, the manifest last: killed in between, the day is one that is not sealed, and the next
repair finishes it. No row is numbered anew. A whole row that has no place any more goes raw to the quarantine.
"""

import filecmp
import shutil
from contextlib import ExitStack

import msgspec

from mm.errors import BrokenFile, MissingDay
from mm.market_data.check import Report, check_day
from mm.market_data.day_lock import lock_day
from mm.market_data.layout import DayFolder
from mm.market_data.manifest import day_files, is_passing, unseal
from mm.market_data.mending import Mending


class Repaired(msgspec.Struct, frozen=True):
    """What a repair did.

    Attributes:
        changed: Whether the day is another one now.
        mended: What was done, in words.
        before: The check before it.
        after: The check after it.
    """

    changed: bool
    mended: list[str]
    before: Report
    after: Report


def repair_day(folder: DayFolder, run_id: str, at_us: int) -> Repaired:
    """Mend *folder*; a sound day is left as it is.

    Args:
        folder: The day.
        run_id: Names the repair in the ledger; must be new to the day.
        at_us: Now.

    Raises:
        MissingDay: If there is no such folder.
        TryLater: If the day is being written.
        RunExists: If the day has a run of that id.
        OSError: If there is no space for the copy; the day is then as it was.
    """
    if not folder.path.is_dir():
        raise MissingDay(f"no day folder {folder.path}; give a folder such as data/BTCUSDT/20251216")
    staging = folder.path.with_name(folder.day + ".repair")
    with ExitStack() as held:
        lock_day(folder, held)
        before = check_day(folder)
        shutil.rmtree(staging, ignore_errors=True)
        held.callback(shutil.rmtree, staging, ignore_errors=True)
        work = DayFolder(staging, folder.symbol, folder.day)
        shutil.copytree(folder.path, work.path, ignore=lambda _, names: {name for name in names if is_passing(name)})
        mended = Mending(work, run_id, at_us, before).mend()
        if not mended:
            return Repaired(False, [], before, before)
        after = check_day(work)
        _publish(work, folder)
        return Repaired(True, mended, before, after)


def _publish(work: DayFolder, folder: DayFolder) -> None:
    """Bring the files of *work* to the places of those of *folder*, the ledger and the manifest last."""
    _unseal(folder)
    files = {work.relative(path): path for path in day_files(work)}
    for path in day_files(folder):
        if folder.relative(path) not in files:
            path.unlink()
    last = [work.relative(work.gaps), work.relative(work.events)]
    for name in sorted(files, key=lambda name: (name in last, name)):
        place = folder.path / name
        if not place.is_file() or not filecmp.cmp(files[name], place, shallow=False):
            place.parent.mkdir(parents=True, exist_ok=True)
            files[name].replace(place)
    work.manifest.replace(folder.manifest)


def _unseal(folder: DayFolder) -> None:
    """Mark the manifest as no longer true; one that cannot be read is removed."""
    try:
        unseal(folder)
    except BrokenFile:
        folder.manifest.unlink()
