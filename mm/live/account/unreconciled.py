"""Since when the position of a contract cannot be reconciled: a file that outlives failed starts and a kill -9."""

import json
import time
from contextlib import suppress
from pathlib import Path

from mm.base.atomic_file import write_atomic
from mm.base.host_clock import HostTime, host_time


class UnreconciledSince:
    """A disk that refuses the file lets the time count within the process only."""

    def __init__(self, out_root: Path, symbol: str) -> None:
        self.path = out_root / "risk" / f"{symbol}.unreconciled"
        self._since_s: float | None = None

    def begin(self, since_s: float | None = None) -> float:
        """Return the kept instant, in s of the monotonic clock; without one, *since_s*, or now, is kept."""
        if self._since_s is None:
            now_s, now = time.monotonic(), host_time()
            try:
                noted = HostTime(**json.loads(self.path.read_bytes()))
                self._since_s = min(now_s, now_s + noted.passing_s + now.shift_s(noted) - now.passing_s)
            except (OSError, ValueError, TypeError):
                self._since_s = now_s if since_s is None else since_s
                begun = HostTime(now.passing_s + self._since_s - now_s, now.wall_s + self._since_s - now_s, now.boot)
                with suppress(OSError):
                    write_atomic(self.path, json.dumps(begun._asdict()).encode())
        return self._since_s

    def end(self) -> None:
        """Forget the instant: the position is reconciled, closed, or left to whom an end leaves it."""
        self._since_s = None
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
