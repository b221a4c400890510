"""Day folders in the making: written beside their place, and moved there together when all are whole."""

import shutil
from contextlib import suppress
from pathlib import Path

from mm.errors import RunExists, UsageError
from mm.market_data.day_writer import DayWriter
from mm.market_data.layout import DayFolder
from mm.market_data.manifest import write_manifest
from mm.whole_file import write_whole

PARTIAL = ".partial"


class Staging:
    """Make the day folders of one run under ``<DATA_ROOT>/<SYMBOL>/<YYYYMMDD>.partial``, one after the other.

    Args:
        data_root: Folder of the day folders; made where it is not there.
        symbol: Upper case.
        run_id: Names the run in every row.
        top_n: Levels a side in the frames.
    """

    def __init__(self, data_root: Path, symbol: str, run_id: str, top_n: int) -> None:
        self._root = data_root
        self._symbol = symbol
        self._run_id = run_id
        self._top_n = top_n
        self._folders: list[DayFolder] = []
        self._writer: DayWriter | None = None
        home = data_root / symbol
        self._made = [path for path in (home, *home.parents) if not path.exists()]

    def open(self, day: str) -> DayWriter:
        """Return the writer of *day* in its temporary place; the one before it must be closed.

        Raises:
            RunExists: If the day folder, or its temporary place, is there already.
            UsageError: If no folder can be made there.
        """
        place = DayFolder(self._root, self._symbol, day).path
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise RunExists(f"{place} holds a recorded day already; move it away, or import into another --data-root")
        partial = place.with_name(day + PARTIAL)
        try:
            partial.mkdir(parents=True)
        except FileExistsError as error:
            raise RunExists(
                f"{partial} is there: another import is running, or one was killed; if none is, remove it and try again"
            ) from error
        except OSError as error:
            raise UsageError(f"--data-root (DATA_ROOT) {self._root}: cannot be written ({error.strerror})") from error
        folder = DayFolder(partial, self._symbol, day)
        self._folders.append(folder)
        self._writer = DayWriter(folder, self._run_id, top_n=self._top_n)
        return self._writer

    def publish(self, instrument_json: str | None) -> list[Path]:
        """Give every day its ``instrument.json`` and manifest, move it to its place, and return the places in order."""
        if instrument_json is not None:
            for folder in self._folders:
                write_whole(folder.instrument, instrument_json.encode(), durable=True)
                write_manifest(folder, (self._run_id,))
        places = []
        for folder in self._folders:
            folder.lock.unlink(missing_ok=True)
            place = DayFolder(self._root, self._symbol, folder.day).path
            folder.path.rename(place)
            shutil.rmtree(folder.root)
            places.append(place)
        return places

    def discard(self) -> None:
        """Remove everything that was written and not published."""
        if self._writer:
            with suppress(OSError):
                self._writer.close()
        for folder in self._folders:
            shutil.rmtree(folder.root, ignore_errors=True)
        for path in self._made:
            with suppress(OSError):
                path.rmdir()
