"""The largest moves of a symbol's mid within a minute, by day, of the days that runs below OUT_ROOT have played."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.base.arrays import Ints
from mm.base.atomic_file import write_atomic
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.tape.tape import Tape

FOLDER = "moves"
MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class WorstMoves:
    """The largest moves of a mid within a minute, as shares of it: *down* at most 0, *up* at least 0."""

    down: float = 0.0
    up: float = 0.0

    @classmethod
    def measured(cls, tape: "Tape") -> "WorstMoves":
        us, bid, ask = tape.event_us[tape.top_event], tape.top_bid_ticks, tape.top_ask_ticks
        grid = np.arange(-(-tape.start_us // MINUTE_US), tape.end_us // MINUTE_US + 1) * MINUTE_US
        row = np.searchsorted(us, grid, side="right") - 1
        mid2 = np.where((row >= 0) & (bid[row] > 0) & (ask[row] > bid[row]), bid[row] + ask[row], 0) if len(us) else row
        return cls.between(mid2[:-1], mid2[1:])

    @classmethod
    def between(cls, before: Ints, after: Ints) -> "WorstMoves":
        """Make the worst moves of mids (0: unknown) a minute apart."""
        known = (before > 0) & (after > 0)
        moves = after[known] / before[known] - 1
        return cls(float(moves.min(initial=0.0)), float(moves.max(initial=0.0)))

    @classmethod
    def worst(cls, moves: "Iterable[WorstMoves]") -> "WorstMoves":
        known: list[WorstMoves] = [*moves, NO_MOVES]
        return cls(min(each.down for each in known), max(each.up for each in known))

    @classmethod
    def parsed(cls, text: str) -> "WorstMoves":
        try:
            down, up = map(float, text.split(","))
        except ValueError as error:
            raise UsageError(f"stress_moves is {text!r}; give a fall and a rise, such as -0.02,0.015") from error
        if not -1 <= down <= 0 <= up < np.inf:
            raise UsageError(f"stress_moves is {text!r}; the first is a fall from -1 to 0, the second a rise from 0 on")
        return cls(down, up)

    def loss(self, value: float) -> float:
        """What the worse move takes from a position worth *value*, quote asset; short below 0."""
        return max(value * -self.down, -value * self.up, 0.0)

    def __str__(self) -> str:
        return f"{self.down:.9g},{self.up:.9g}"


NO_MOVES = WorstMoves()


Moves = Mapping[str, WorstMoves]
"""By day."""


def moves_on_record(folder: Path, symbol: str, without: Iterable[str] = ()) -> Moves:
    """The days of a symbol on record below *folder* (OUT_ROOT), but for some."""
    found, left_out = dict[str, WorstMoves](), set(without)
    for path in sorted((folder / FOLDER / symbol).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            moves = WorstMoves(float(content["down"]), float(content["up"]))
        except (OSError, ValueError, LookupError, TypeError):
            continue  # torn by a kill, or no longer there: the next run of that day writes it again
        if left_out.isdisjoint(path.stem.split("-")):
            found[path.stem] = moves
    return found


def keep_moves(folder: Path, tapes: "Sequence[Tape]") -> None:
    """Write below *folder* (OUT_ROOT), if missing and writable."""
    for tape in tapes:
        path = folder / FOLDER / tape.symbol / f"{'-'.join(tape.days)}.json"
        if path.exists():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(asdict(WorstMoves.measured(tape))).encode())
        except OSError:  # a read-only disk keeps no record, and the run goes on
            return
