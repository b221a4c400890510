"""What a trade's engine was given, and when: with the recorded day all that its decisions follow from.

``mm backtest --as-traded RUN`` (`mm.backtest.as_traded`) plays it again.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from mm.backtest.as_traded import STEP


class StepLog:
    """The instants at which a trade has acted, and the reports that it got, in order.

    Attributes:
        events: Number of the market's events so far.
    """

    def __init__(self) -> None:
        self.events = 0
        self._lines: list[str] = []

    def note(self, us: int, what: str, *given: object) -> None:
        """Note a call of the engine, or of its market without our orders, at an instant."""
        self._lines.append(json.dumps((us, self.events, what, *given), separators=(",", ":")))

    def step(self, us: int) -> None:
        self.note(us, STEP)

    def write(self, path: Path, head: Mapping[str, object]) -> int:
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            file.writelines(f"{line}\n" for line in self._lines)
        return len(self._lines)
