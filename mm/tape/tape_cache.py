"""Tapes kept as Arrow files, so that opening one maps it and copies nothing."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from errno import EIO
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mm.dayfolder.layout import DayFolder
from mm.instrument import Filters, Instrument
from mm.tape import arrow_file
from mm.tape.invariants import sound
from mm.tape.mapped import Column, give_back, let_go
from mm.tape.tape import ARRAYS, TRADE, Tape, TapeMeta
from mm.whole_file import clear_unfinished, whole_file

if TYPE_CHECKING:
    from mm.tape.draft import Draft
    from mm.tape.top_of_book import BestPrices

TAPE_VERSION = 3  # raise it when the same files give another tape
BEST_VERSION = 3  # raise it when the same tape gives other best prices

Json = dict[str, Any]
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class CachedTape:
    """The place of one tape.

    Attributes:
        path: Its file, there or not.
        key: What a tape in it must have been made from: version, options, and size and time of each input.
    """

    path: Path
    key: str

    @classmethod
    def of(cls, cache: Path, day: DayFolder, options: str, inputs: Sequence[Path]) -> "CachedTape":
        """Return the place for the tape of *day* that *inputs* give under *options*."""
        stats = [(day.relative(path), path.stat()) for path in inputs]
        files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        name = hashlib.sha256(f"{day.path.resolve()} {options}".encode()).hexdigest()[:12]
        return cls(cache / f"{day.symbol}_{day.day}_{name}.arrow", json.dumps([TAPE_VERSION, options, files]))

    def read(self) -> Tape | None:
        """Map the tape; None where there is none, or a stale or broken one."""
        tape = self._read(self.path, ARRAYS, _tape)
        return tape and self._kept(tape)

    def write(self, tape: Tape) -> None:
        """Write the tape whole or not at all; raises OSError where that cannot be."""
        with self._unfinished() as path:
            self._write(path, {name: getattr(tape, name) for name in ARRAYS}, _entry(tape))

    def keep(self, draft: "Draft") -> Tape:
        """Write what becomes a tape, whole or not at all, and return it mapped; the draft is empty then.

        Raises:
            BrokenFile: If an invariant does not hold.
            OSError: If it cannot be written.
        """
        with self._unfinished() as path:
            facts = draft.facts() | {"instrument": asdict(draft.instrument), "meta": asdict(draft.meta)}
            arrow_file.write(path, self._told(facts), draft.shapes(), draft.pieces())
            draft.stack.clear()
            give_back()
            tape = self._read(path, ARRAYS, _tape)
            if tape is None:
                raise OSError(EIO, "what was written cannot be read again")
            tape.check()
            _let_go(tape)
        return self._kept(replace(tape, meta=replace(tape.meta, cache="miss")))

    def _kept(self, tape: Tape) -> Tape:
        """Return *tape* as one whose best prices are kept beside it once they are asked for."""
        return replace(tape).narrowing(partial(self._narrowed, tape))

    def _narrowed(self, tape: Tape) -> "BestPrices":
        from mm.tape import top_of_book

        place = replace(self, path=self.path.with_suffix(".best.arrow"), key=json.dumps([BEST_VERSION, self.key]))
        made = partial(top_of_book.read, tape)
        best = place._read(place.path, top_of_book.KEPT, made)
        if best is not None:
            return best
        best = top_of_book.project(_without_depth(tape))
        _let_go(tape)
        try:
            bounds = {"low_ticks": best.low_ticks, "high_ticks": best.high_ticks}
            with place._unfinished() as path:
                place._write(path, {name: getattr(best, name) for name in top_of_book.KEPT}, bounds)
        except OSError:  # a full disk, or another's: it is made again the next time
            return best
        del best
        return place._read(place.path, top_of_book.KEPT, made) or top_of_book.project(tape)

    def _read(self, path: Path, names: Sequence[str], made: Callable[[Json, Json], Kept | None]) -> Kept | None:
        """Map a file, and return what its entry and arrays make; None where it is missing, stale or broken."""
        try:
            told, arrays = arrow_file.read(path, names)
            entry = json.loads(told)
            return made(entry, arrays) if entry.pop("key") == self.key else None
        except (OSError, KeyError, TypeError, ValueError):
            return None  # a cache is never worth an error: whoever asked makes the tape

    def _told(self, entry: Json) -> bytes:
        return json.dumps({"key": self.key, **entry}).encode()

    def _write(self, path: Path, columns: dict[str, Column], entry: Json) -> None:
        shapes = {name: (column.dtype, len(column)) for name, column in columns.items()}
        arrow_file.write(path, self._told(entry), shapes, ((name, 0, column) for name, column in columns.items()))

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Give the path of a file beside the tape's own, which takes its place when all went well."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear_unfinished(self.path.parent)
        with whole_file(self.path) as path:
            yield path


def _without_depth(tape: Tape) -> Tape:
    """Return *tape* without the rows of its books, which best prices are not made of."""
    first_row = np.zeros(len(tape) + 1, np.int64)
    np.cumsum(tape.kind == TRADE, out=first_row[1:])
    rows: Json = {"row_side": tape.trade_side, "row_ticks": tape.trade_ticks, "row_lots": tape.trade_lots}
    return replace(tape, first_row=first_row, **rows)


def _let_go(tape: Tape) -> None:
    for name in ARRAYS:
        let_go(getattr(tape, name))


def _entry(tape: Tape) -> dict[str, Any]:
    """Return all of *tape* that is no array."""
    own = ("symbol", "days", "step_lots", "start_us", "end_us")
    return {
        **{name: getattr(tape, name) for name in own},
        "instrument": asdict(tape.instrument),
        "meta": asdict(tape.meta),
    }


def _tape(entry: Json, arrays: Json) -> Tape | None:
    meta = entry["meta"]
    inputs = tuple((path, size, digest) for path, size, digest in meta["inputs"])
    tape = Tape(
        **{**entry, **arrays}
        | {
            "days": tuple(entry["days"]),
            "instrument": Instrument(**{**entry["instrument"], "filters": Filters(**entry["instrument"]["filters"])}),
            "meta": TapeMeta(**{**meta, "inputs": inputs, "warnings": tuple(meta["warnings"]), "cache": "hit"}),
        }
    )
    return tape if sound(tape) else None
