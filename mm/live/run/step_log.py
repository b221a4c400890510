"""What a trade's engine was given, and when: with the recorded day all that its decisions follow from.

``mm backtest --as-traded RUN`` (`mm.backtest.as_traded`) plays it again.
"""

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from mm.backtest.as_traded import HEARD, STEP

_NUMBERS = count()  # of the rows of all symbols of the process: limits over them depend on which came first


class StepLog:
    """The instants at which a trade has acted, and the reports that it got, in order.

    Attributes:
        events: Number of the market's events so far.
    """

    def __init__(self) -> None:
        self.events = 0
        self._lines: list[str] = []
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
        self._lines.append(json.dumps((next(_NUMBERS), us, self.events, what, *given), separators=(",", ":")))

    def step(self, us: int) -> None:
        self._note_heard()
        self.note(us, STEP)

    def write(self, path: Path, head: Mapping[str, object]) -> int:
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            file.writelines(f"{line}\n" for line in self._lines)
        return len(self._lines)
