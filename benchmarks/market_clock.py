"""A clock shared by two processes: the simulated market sets it, and the recorder of that market reads it.

``python benchmarks/market_clock.py FILE COMMAND …`` runs a command of ``mm`` with it. A wait of a second is then a
second of market time, however fast that passes. A recorder also writes its number of received messages to FILE, so that
the market does not overrun it.
"""

import mmap
import sys
import time
from pathlib import Path

_BYTES = 16
_COUNT_EVERY = 16


class MarketClock:
    """The time of a market, in µs, and the number of its messages that were received.

    Args:
        path: Its file; created if missing.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as stream:
            # Whole numbers in place: struct's pack_into clears the bytes before it writes, and a reader could see 0.
            self._shared = memoryview(mmap.mmap(stream.fileno(), _BYTES)).cast("q")

    @property
    def us(self) -> int:
        """The time."""
        return self._shared[0]

    @us.setter
    def us(self, us: int) -> None:
        self._shared[0] = us

    @property
    def taken(self) -> int:
        """Number of received messages, except the last few."""
        return self._shared[1]

    @taken.setter
    def taken(self, taken: int) -> None:
        self._shared[1] = taken


def _count(clock: MarketClock) -> None:
    """Make a recorder count its messages, and report no lag, as its loop uses a clock that jumps."""
    from mm.market_data import recording
    from mm.market_data.live_session import StreamListener

    receive, count = StreamListener.message, 0

    def counted(self: StreamListener, recv_us: int, conn: int, slot: int, raw: bytes) -> None:
        nonlocal count
        receive(self, recv_us, conn, slot, raw)
        count += 1
        if count % _COUNT_EVERY == 0:
            clock.taken = count

    setattr(StreamListener, "message", counted)  # noqa: B010 - a method is not assigned to, for a type checker
    recording.LAG_S = float("inf")


def _main() -> None:
    clock = MarketClock(Path(sys.argv.pop(1)))
    del sys.path[0]  # this folder
    time.time_ns = time.monotonic_ns = lambda: 1_000 * clock.us
    time.time = time.monotonic = lambda: clock.us / 1e6
    from mm.__main__ import main  # after the clock is set: modules import its functions as they are then

    _count(clock)
    main()


if __name__ == "__main__":
    _main()
