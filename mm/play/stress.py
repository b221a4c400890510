"""The stressed row of a sensitivity: the symbol's worst minute on record, added to a run at its largest inventory."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.pnl import account_of
from mm.base.atomic_file import write_atomic
from mm.errors import UsageError
from mm.instrument import E8
from mm.trials.own_content import STRESSED

if TYPE_CHECKING:
    from mm.backtest.result import Result
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
        known = (mid2[1:] > 0) & (mid2[:-1] > 0)
        moves = mid2[1:][known] / mid2[:-1][known] - 1
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

    def __str__(self) -> str:
        return f"{self.down:.9g},{self.up:.9g}"


NO_MOVES = WorstMoves()


def moves_on_record(folder: Path, symbol: str) -> WorstMoves | None:
    """The worst over all days of a symbol on record below *folder* (OUT_ROOT)."""
    found = []
    for path in sorted((folder / FOLDER / symbol).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(WorstMoves(float(content["down"]), float(content["up"])))
        except (OSError, ValueError, LookupError, TypeError):
            continue  # torn by a kill, or no longer there: the next run of that day writes it again
    return WorstMoves.worst(found) if found else None


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


def stressed_row(base: "Result", headline: dict[str, Any], moves: WorstMoves) -> dict[str, Any]:
    """One more minute with the move that is worst for the run's largest inventory."""
    terms, account = base.terms, account_of(base.journal, base.terms)
    away = account.inventory - terms.target_lots
    row = int(np.abs(away).argmax()) if len(away) else 0
    held = int(away[row]) if len(away) else 0
    move = moves.down if held > 0 else moves.up
    loss = account.quote(abs(held) * int(account.marks2[row]) * account.half_tl) * abs(move) if held else 0.0
    less = {name: None if headline[name] is None else headline[name] - loss for name in ("pnl_quoting", "pnl_total")}
    unknown = dict.fromkeys(("sharpe", "verdict"))
    inventory = held * terms.instrument.lot_e8 / E8
    return {**headline, **unknown, **less, "role": STRESSED, "move": move, "inventory": inventory}
