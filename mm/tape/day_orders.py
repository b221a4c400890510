"""A day's orders: the kept index of its order log, or one that is made and kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mm.dayfolder.check import check_day
from mm.dayfolder.layout import DayFolder, days_of, existing
from mm.dayfolder.manifest import read_manifest
from mm.errors import BrokenFile, Mismatch
from mm.instrument import Instrument, from_exchange_info, short_text
from mm.tape.files import read_small
from mm.tape.keep import KeptTape
from mm.tape.order_index import NEEDED, Columns, OrderIndex, order_index
from mm.tape.recorded import exchange_entry

if TYPE_CHECKING:
    from mm.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class DayOrders:
    day: DayFolder
    unit: tuple[int, int]
    wanted: tuple[int, int]
    folder: Path | None

    @classmethod
    def of(cls, day: DayFolder, tape: "Tape", folder: Path | None) -> "DayOrders | None":
        if not day.order_log.is_file():
            return None
        grid = tape.instrument
        own = instrument_of(day)
        unit = (own.tick_e8, own.lot_e8) if own else (grid.tick_e8, grid.lot_e8)
        return cls(day, unit, (grid.tick_e8, grid.lot_e8), folder)

    def open(self) -> OrderIndex:
        (ticks, odd_ticks), (lots, odd_lots) = map(divmod, self.unit, self.wanted)
        if odd_ticks or odd_lots:
            raise Mismatch(
                "{} is in ticks of {} and lots of {}, which are no multiples of the tape's, {} and {}; play the day "
                "without {tick_size} and {qty_step}",
                self.day.order_log,
                short_text(self.unit[0]),
                short_text(self.unit[1]),
                short_text(self.wanted[0]),
                short_text(self.wanted[1]),
            )
        kept = KeptTape.of_log(self.folder, self.day.order_log) if self.folder else None
        index = kept.orders(self._make_index) if kept else self._make_index()
        return index.in_units(ticks, lots)

    def _make_index(self) -> OrderIndex:
        try:
            return index_of_log(self.day.order_log, _first_wrong_row(self.day))
        except ValueError as error:
            raise BrokenFile(f"{self.day.order_log}: {error}; import or simulate the day again") from error


def kept_orders(tape: "Tape") -> tuple[Path, tuple[int, int]] | None:
    if tape.orders is None or tape.order_log is None:
        return None
    own = instrument_of(DayFolder.at(tape.order_log.parent)) or tape.instrument
    return KeptTape.of_log(Path(tape.meta.file).parent, tape.order_log).path, (own.tick_e8, own.lot_e8)


def open_kept_orders(path: Path, unit: tuple[int, int], wanted: Instrument) -> OrderIndex:
    """Open a verified file of `kept_orders`, in *wanted*'s steps; a broken one is removed."""
    notes: list[str] = []
    index = KeptTape(path, None).open_orders(notes)
    if index is None:
        path.unlink(missing_ok=True)
        raise BrokenFile(f"{''.join(notes).rpartition(';')[0] or path}: the orders are removed; run the command again")
    return index.in_units(unit[0] // wanted.tick_e8, unit[1] // wanted.lot_e8)


def without_orders(day: DayFolder) -> str:
    folders = (DayFolder(day.root, day.symbol, other) for other in days_of(day.root, day.symbol))
    others = [folder.day for folder in folders if folder.order_log.is_file()]
    known = f"days of {day.symbol} with one: {', '.join(others)}" if others else f"no day of {day.symbol} has one"
    return (
        f"{day.symbol} {day.day} has no order log; {known}. Simulated days (mm sim day) and imports of sources that "
        f"publish every order have one (docs/data.md)"
    )


def _first_wrong_row(day: DayFolder) -> int | None:
    """Where the log contradicts itself or the depth of an unsealed day, counted from 1; a sealed one was checked."""
    manifest = read_manifest(day)
    if manifest is not None and manifest.sealed:
        return None
    return next((defect.row for defect in check_day(day).defects if defect.kind == "order_log"), None)


def index_of_log(path: Path, wrong_row: int | None = None) -> OrderIndex:
    from mm.dayfolder.order_log import OrderLog  # imported here: most runs read no log

    log = OrderLog.open(path)
    blocks = log.blocks([*NEEDED])
    return order_index(blocks if wrong_row is None else _cut_blocks(blocks, wrong_row), log.spans)


def _cut_blocks(blocks: Iterable[Columns], wrong_row: int) -> Iterator[Columns]:
    """Whole instants, so that no change is cut from its level."""
    for block in blocks:
        us = block["us"]
        if wrong_row <= len(us):
            before = int(us.searchsorted(us[wrong_row - 1])) if wrong_row > 0 else 0
            yield {name: column[:before] for name, column in block.items()}
            return
        wrong_row -= len(us)
        yield block


def instrument_of(day: DayFolder) -> Instrument | None:
    path = existing(day.instrument)
    return None if path is None else from_exchange_info(exchange_entry(read_small(path)[0], str(path)), str(path))
