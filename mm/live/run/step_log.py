"""What a trade's engine was given, and when: with the recorded day all that its decisions follow from.

``mm backtest --as-traded RUN`` (`mm.backtest.as_traded`) plays it again.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from mm.backtest.as_traded import HEARD, STEP

_PACKED_LINES = 512  # some 50 kB of text, packed in half a millisecond
_NUMBERS = count()  # of the rows of all symbols of the process: limits over them depend on which came first


class StepLog:
    """The instants at which a trade has acted, and the reports that it got, in order.

    Lines are packed, to a quarter or less: an order leaves ten of them, and they are kept until the trade ends.

    Attributes:
        events: Number of the market's events so far.
    """

    def __init__(self) -> None:
        self.events = 0
        self._lines: list[str] = []
        self._packed: list[bytes] = []
        self._noted = 0
        self._heard: dict[str, int] = {}
        self._unnoted: set[str] = set()

    def fed(self, events: int) -> None:
        """More events of the own market: what was heard of others before is noted."""
        self._note_heard()
        self.events += events

    def heard(self, name: str, events: int) -> None:
        """More events of another market, as the strategy sees it."""
        self._heard[name] = self._heard.get(name, 0) + events
        self._unnoted.add(name)

    def _note_heard(self) -> None:
        if self._unnoted:
            self.note(0, HEARD, {name: self._heard[name] for name in sorted(self._unnoted)})
            self._unnoted.clear()

    def note(self, us: int, what: str, *given: object) -> None:
        """Note a call of the engine, or of its market without our orders, at an instant."""
        self._lines.append(json.dumps((next(_NUMBERS), us, self.events, what, *given), separators=(",", ":")) + "\n")
        self._noted += 1
        if len(self._lines) == _PACKED_LINES:
            self._packed.append(zlib.compress("".join(self._lines).encode(), level=1))
            self._lines.clear()

    def step(self, us: int) -> None:
        self._note_heard()
        self.note(us, STEP)

    def write(self, path: Path, head: Mapping[str, object]) -> int:
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            file.writelines(self._texts())
        return self._noted

    def _texts(self) -> Iterator[str]:
        yield from (zlib.decompress(one).decode() for one in self._packed)
        yield from self._lines
