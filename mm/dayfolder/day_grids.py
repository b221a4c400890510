"""A day's grids: the exchange's, and the steps that the ledger reports."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd
from typing import Any

import msgspec

from mm.dayfolder.layout import DayFolder
from mm.dayfolder.ledger import GRID, Event, LedgerView
from mm.dayfolder.rows import DefectList
from mm.errors import BrokenFile, Mismatch, OffGrid
from mm.instrument import Instrument, decimal_text, e8, from_exchange_info, to_exchange_info
from mm.markets.grid import Grid

CAPPED_QTY = "92233720368.54775807"
"""The exchange's text for larger quantities, which is on no grid."""


@dataclass(frozen=True, slots=True)
class GridChange:
    """A grid of the exchange within a day.

    Attributes:
        from_seq: ``recv_seq`` of the first row on it; 0 for a day's first.
    """

    from_us: int
    from_seq: int
    tick_e8: int
    lot_e8: int


def grid_history(entry: Mapping[str, Any], source: str) -> tuple[GridChange, ...]:
    """The grids in order, from the entry in ``instrument.json``; one if it never changed."""
    known = from_exchange_info(entry, source)
    try:
        changes = tuple(
            GridChange(int(item["from_us"]), int(item["from_seq"]), e8(item["tick_size"]), e8(item["step_size"]))
            for item in entry.get("history", ())
        )
        if any(change.tick_e8 <= 0 or change.lot_e8 <= 0 for change in changes):
            raise OffGrid("a step must be above 0")
    except (KeyError, TypeError, ValueError, AttributeError, OffGrid) as error:
        raise BrokenFile(
            f"{source}: the history of the grid cannot be read ({type(error).__name__}: {error}); each entry has "
            f"from_us, from_seq, tick_size and step_size; remove the key to take the filters for the whole day"
        ) from error
    return changes or (GridChange(0, 0, known.tick_e8, known.lot_e8),)


def with_history(entry: str, changes: Sequence[GridChange]) -> str:
    if len(changes) < 2:
        return entry
    history = [
        {
            "from_us": change.from_us,
            "from_seq": change.from_seq,
            "tick_size": decimal_text(change.tick_e8),
            "step_size": decimal_text(change.lot_e8),
        }
        for change in changes
    ]
    return f'{entry.rstrip().removesuffix("}")}, "history": {json.dumps(history)}}}'


def instrument_json(instrument: Instrument, inferred: Sequence[str], grids: Sequence[GridChange] = ()) -> str:
    text = msgspec.json.format(with_history(to_exchange_info(instrument), grids), indent=1) + "\n"
    return json.dumps({**json.loads(text), "inferred": list(inferred)}, indent=1) + "\n" if inferred else text


def read_grids(folder: DayFolder) -> tuple[GridChange, ...]:
    path = folder.instrument
    if not path.is_file():
        return ()
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
        grids = grid_history(entry, path.name)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BrokenFile(f"{path.name}: not an exchangeInfo entry ({error}); restore it, or remove it") from error
    if entry["symbol"] != folder.symbol:
        raise Mismatch(f"it has symbol {entry['symbol']}, but the folder is of {folder.symbol}")
    return grids


def reported_tick_e8(event: Event, name: str = "tick_size") -> int | None:
    """The price step, or with ``step_size`` the quantity step, of a ledger row; OffGrid if invalid."""
    if event.kind != "anomaly" or event.details.get("kind") != GRID or name not in event.details:
        return None
    step_e8 = e8(str(event.details[name]))
    if step_e8 <= 0:
        raise OffGrid(f"{name} {event.details[name]} must be above 0")
    return step_e8


class _Steps:
    def __init__(self, steps: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(steps)
        self._from = [from_seq for from_seq, _ in ordered]
        self._valid = list(accumulate((step_e8 for _, step_e8 in ordered), gcd))

    def at(self, seq: int) -> int:
        return self._valid[max(0, bisect_right(self._from, seq) - 1)] if self._valid else 0


class DayGrids:
    """The steps at each row: orders rest on the grid of their time, so earlier grids stay valid."""

    def __init__(self, ticks: Iterable[tuple[int, int]] = (), lots: Iterable[tuple[int, int]] = ()) -> None:
        self._ticks, self._lots = _Steps(ticks), _Steps(lots)
        self.price = Grid().price

    @classmethod
    def of(cls, folder: DayFolder, view: LedgerView, findings: DefectList) -> "DayGrids":
        """Unreadable grids are findings.

        An import's quantity step may be given, so recorded quantities need not be multiples.
        """
        try:
            grids = read_grids(folder)
        except (BrokenFile, Mismatch) as error:
            findings.add(folder.instrument, None, "instrument", str(error))
            return cls()
        if not grids:
            return cls()
        ticks = [(change.from_seq, change.tick_e8) for change in grids]
        lots = [(change.from_seq, change.lot_e8) for change in grids]
        ticks += _reported(view.events, view, findings, "tick_size")
        lots += _reported(view.events, view, findings, "step_size")
        return cls(ticks, lots if view.knob("snapshot_limit", None) else ())

    def are_ticks(self, divisor_e8: int, seq: int) -> bool:
        step_e8 = self._ticks.at(seq)
        return divisor_e8 >= 0 and (not step_e8 or divisor_e8 % step_e8 == 0)

    def are_lots(self, divisor_e8: int, seq: int) -> bool:
        step_e8 = self._lots.at(seq)
        return not step_e8 or (divisor_e8 >= 0 and divisor_e8 % step_e8 == 0)

    def off_tick(self, prices: Iterable[str], seq: int) -> str | None:
        step_e8 = self._ticks.at(seq)
        return next((text for text in prices if self.price(text) % step_e8), None) if step_e8 else None

    def off_step(self, quantities: Iterable[str], seq: int) -> str | None:
        step_e8 = self._lots.at(seq)
        texts = quantities if step_e8 else ()
        return next((text for text in texts if text != CAPPED_QTY and e8(text) % step_e8), None)


def _reported(events: Sequence[Event], view: LedgerView, findings: DefectList, name: str) -> list[tuple[int, int]]:
    steps = []
    for event in events:
        try:
            step_e8 = reported_tick_e8(event, name)
        except OffGrid as error:
            findings.add(view.path, event.row, "event", str(error))
            continue
        if step_e8 is not None:
            steps.append((int(event.details.get("from_seq", event.at.seq)), step_e8))
    return steps
