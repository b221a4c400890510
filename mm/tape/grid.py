"""The grid of a recorded day: what the caller says, else ``instrument.json``, else what fits what was recorded."""

import json
from dataclasses import dataclass
from typing import Any

from mm.dayfolder.layout import DayFolder, existing
from mm.errors import BrokenFile, Mismatch
from mm.instrument import Filters, Instrument, from_exchange_info, short_text
from mm.tape.inflate import FileRead, read_small
from mm.tape.tables import Steps


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What the caller says about the grid; None leaves it to ``instrument.json`` or to the recorded numbers."""

    instrument: Instrument | None = None
    tick_size_e8: int | None = None
    qty_step_e8: int | None = None
    min_notional_e8: int | None = None


@dataclass(frozen=True, slots=True)
class KnownGrid:
    """What is known of the grid before a price is read.

    Attributes:
        steps: Tick and the exchange's quantity step; 0 where they are to be inferred.
        min_notional_e8: Least notional of an order, 0 where none is known.
        assets: Base and quote asset; empty where nothing names them.
        read: ``instrument.json``, where it was read.
        as_recorded: The tick is that of ``instrument.json``, by which the recorder judged prices.
    """

    steps: Steps
    min_notional_e8: int
    assets: tuple[str, str]
    filters: Filters
    read: FileRead | None
    as_recorded: bool

    def instrument(self, symbol: str, found: Steps) -> tuple[Instrument, int, list[str]]:
        """Return the tape's grid, the exchange's quantity step in its lots, and a warning for what was inferred.

        Args:
            symbol: The symbol.
            found: The greatest steps that divide all that was recorded, and the known steps.
        """
        lot = found.lot_e8 or 1
        step = self.steps.lot_e8 or lot
        inferred = {"tick size": (self.steps.tick_e8, found.tick_e8), "quantity step": (self.steps.lot_e8, step)}
        named = [f"{name} {short_text(used)}" for name, (known, used) in inferred.items() if not known]
        warnings = (
            [f"no instrument.json: {' and '.join(named)} inferred; set --tick-size and --qty-step"] if named else []
        )
        grid = Instrument(symbol, found.tick_e8 or 1, lot, self.min_notional_e8, *self.assets, self.filters)
        return grid, step // lot, warnings


def known_grid(folder: DayFolder, options: GridOptions) -> KnownGrid:
    """Return what *options* and, beneath them, ``instrument.json`` say.

    Raises:
        BrokenFile: If ``instrument.json`` is not what the exchange sends.
        Mismatch: If it, or the instrument given, is of another symbol.
    """
    base, read, source = options.instrument, None, "the instrument given"
    if base is None and existing(folder.instrument):
        data, read = read_small(folder.instrument)
        source = str(folder.instrument)
        base = from_exchange_info(_entry(data, source), source)
    if base is not None and base.symbol != folder.symbol:
        raise Mismatch(
            f"{source} is of {base.symbol}, but {folder.path} is a day of {folder.symbol}; put the right one there"
        )
    tick, step, notional = (base.tick_e8, base.lot_e8, base.min_notional_e8) if base else (0, 0, 0)
    given = options.min_notional_e8
    return KnownGrid(
        steps=Steps(options.tick_size_e8 or tick, options.qty_step_e8 or step),
        min_notional_e8=notional if given is None else given,
        assets=(base.base_asset, base.quote_asset) if base else ("", ""),
        filters=base.filters if base else Filters(),
        read=read,
        as_recorded=read is not None and options.tick_size_e8 is None,
    )


def _entry(data: bytes, source: str) -> dict[str, Any]:
    """Return the entry of a symbol, which may stand in the ``symbols`` of a whole exchangeInfo answer."""
    try:
        entry = json.loads(data)
        return dict(entry["symbols"][0] if "symbols" in entry else entry)
    except (ValueError, TypeError, LookupError) as error:
        raise BrokenFile(f"{source}: not JSON of an exchangeInfo entry ({error}); restore it, or remove it") from error
