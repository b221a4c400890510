"""The disk below a recording: written by the loop, waited for by one thread beside it, and borne while it is full."""

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mm.market_data.append_file import NO_SPACE
from mm.market_data.day_writer import DayWriter
from mm.market_data.days import Days

MOST_FAILURES = 12
NOTE_EVERY_S = 300.0
"""How often the manifest says what was written, so that the start behind a crash need not read all of the day."""
_DISK_ERRORS = (*NO_SPACE, errno.EIO, errno.EROFS)


class Disk:
    """Bring the rows of a recording to the disk, every flush interval and at the end.

    Where there is no space the rows wait in memory, and each interval they are tried again, `MOST_FAILURES` times. Any
    other failure ends the recording.

    Args:
        days: Knows how often, and how much space must be left to others.
        tell: Is told of the error, once, when space has run out, and with None when there is some again.
    """

    def __init__(self, days: Days, tell: Callable[[OSError | None], None]) -> None:
        self._days = days
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, "disk")
        self._sealing: list[asyncio.Future[None]] = []
        self._failures = 0
        self._noted_s = 0.0

    async def flush(self, writer: Callable[[], DayWriter]) -> None:
        """Flush what *writer* returns, for ever; raises OSError where that is in vain."""
        while True:
            await asyncio.sleep(self._days.flush_interval_s)
            self._days.check_space()
            now = writer()
            try:
                now.flush()
                await asyncio.get_running_loop().run_in_executor(self._thread, self._forced(now))
            except OSError as error:
                self._failures += 1
                if error.errno not in NO_SPACE or self._failures > MOST_FAILURES:
                    raise
                if self._failures == 1:
                    self._tell(error)
            else:
                if self._failures:
                    self._tell(None)
                self._failures = 0

    def _forced(self, writer: DayWriter) -> Callable[[], None]:
        """Return what forces the rows of *writer* to the disk, and now and then notes how far they have come."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._noted_s < NOTE_EVERY_S:
            return writer.sync
        self._noted_s = now_s
        return writer.noting()

    def last_flush(self, writer: DayWriter, error: Exception | None) -> tuple[Exception | None, bool]:
        """Flush for the last time, behind *error*, if one ended the recording.

        Returns:
            What is to be told of: *error*, else that of the flush; and whether the rows came to the disk.
        """
        try:
            writer.flush()
        except OSError as failure:
            self._report(error if is_of_disk(error) else failure)
            return error or failure, False
        self._report(error)
        return error, True

    def seal(self, writer: DayWriter, *, whole: bool = True) -> None:
        """Seal and close *writer*, in the thread; one that is not *whole* is only closed, and what waits is dropped."""
        loop = asyncio.get_running_loop()
        self._sealing.append(loop.run_in_executor(self._thread, _seal, writer, whole))

    async def sealed(self) -> list[BaseException]:
        """Wait until all is sealed, and return what has failed."""
        done = await asyncio.gather(*self._sealing, return_exceptions=True)
        return [failure for failure in done if failure]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _report(self, error: Exception | None) -> None:
        if isinstance(error, OSError) and is_of_disk(error) and not self._failures:
            self._tell(error)


def is_of_disk(error: Exception | None) -> bool:
    """Tell whether *error* says that the disk cannot be written."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def _seal(writer: DayWriter, whole: bool) -> None:
    try:
        if whole:
            writer.seal()
    finally:
        writer.close(flush=whole)
