"""Tapes kept as Arrow files: one row whose columns are lists, so that opening one maps it and copies nothing."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mm.backtest.invariants import sound
from mm.backtest.tape import ARRAYS, Tape, TapeMeta
from mm.instrument import Filters, Instrument
from mm.market_data.layout import DayFolder

if TYPE_CHECKING:
    from mm.backtest.projection import BestPrices

TAPE_VERSION = 3  # raise it when the same files give another tape
BEST_VERSION = 3  # raise it when the same tape gives other best prices
_ENTRY = b"mm.tape"

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
        tape = self._read(ARRAYS, _tape)
        return tape and self.kept(tape)

    def write(self, tape: Tape) -> None:
        """Write the tape whole or not at all; raises OSError where that cannot be."""
        self._write(tape, ARRAYS, _entry(tape))

    def kept(self, tape: Tape) -> Tape:
        """Return *tape*, which is kept here, as one whose best prices are kept beside it once they are asked for."""
        return replace(tape).narrowing(partial(self._narrowed, tape))

    def _narrowed(self, tape: Tape) -> "BestPrices":
        from mm.backtest import projection

        place = replace(self, path=self.path.with_suffix(".best.arrow"), key=json.dumps([BEST_VERSION, self.key]))
        best = place._read(projection.KEPT, partial(projection.read, tape))
        if best is None:
            best = projection.project(tape)
            with suppress(OSError):  # a full disk, or another's: it is made again the next time
                place._write(best, projection.KEPT, {"low_ticks": best.low_ticks, "high_ticks": best.high_ticks})
        return best

    def _read(self, names: Sequence[str], made: Callable[[Json, Json], Kept | None]) -> Kept | None:
        """Map a file, and return what its entry and arrays make; None where it is missing, stale or broken."""
        if not self.path.is_file():
            return None
        import pyarrow as pa

        try:
            with pa.memory_map(str(self.path)) as source:
                batch = pa.ipc.open_file(source).get_batch(0)
            entry = json.loads(batch.schema.metadata[_ENTRY])
            if entry.pop("key") != self.key:
                return None
            return made(entry, {name: _array(batch.column(name).values) for name in names})
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            return None  # a cache is never worth an error: whoever asked makes the tape

    def _write(self, tape: Tape, names: Sequence[str], entry: dict[str, Any]) -> None:
        """Write arrays and an entry whole or not at all; raises OSError where that cannot be."""
        import pyarrow as pa

        lists = [_as_list(getattr(tape, name)) for name in names]
        schema = pa.schema(
            [(name, column.type) for name, column in zip(names, lists, strict=True)],
            metadata={_ENTRY: json.dumps({"key": self.key, **entry})},
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                writer.write_batch(pa.record_batch(lists, schema=schema))
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)


def _as_list(column: "np.ndarray[Any, Any]") -> Any:
    """Return *column* as an Arrow column of one row, without a copy."""
    import pyarrow as pa

    # By buffers: `pa.array` and `to_numpy` would first import pandas, where it is installed.
    items = pa.Array.from_buffers(pa.type_for_alias(column.dtype.name), len(column), [None, pa.py_buffer(column)])
    bounds = pa.py_buffer(np.array([0, len(column)], np.int64))
    return pa.LargeListArray.from_buffers(pa.large_list(items.type), 1, [None, bounds], children=[items])


def _array(items: Any) -> "np.ndarray[Any, Any]":
    """Return the items of an Arrow column, mapped as they are."""
    return np.frombuffer(items.buffers()[1] or b"", str(items.type), len(items))


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
