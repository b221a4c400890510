"""Points: exposure of orders at each distance, and the number of fills."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mm.base.arrays import Floats, Ints, Numbers
from mm.base.texts import read_text
from mm.errors import BrokenFile, DataError

SIDES = {"bid": 1, "ask": -1, "": 0}
SIDE_NAMES = {value: name for name, value in SIDES.items()}
NO_BLOCK = -1
COLUMNS = ("delta_ticks", "exposure_s", "fills")
LARGEST = 1e300  # a hundred million of these do not overflow
EXACT = 1e15  # every whole number up to here is a float


@dataclass(frozen=True, eq=False)
class Points:
    """A table of points; several rows of one distance (sides, blocks, dwells) are allowed.

    Attributes:
        delta_ticks: Distance from the reference price; of a cell, its near edge.
        width_ticks: Inf for an order resting at that distance; finite for a disjoint cell ``[delta, delta + width)`` of
            the depth that aggressive orders reached.
        exposure_s: Order-seconds that could have been filled.
        fills: Number of fills; fractions are weights.
        side: +1 bid (hit by sell aggressors), -1 ask, 0 both or unknown.
        block: Time block or ladder cycle, within which rows may be dependent; -1 for none.
    """

    delta_ticks: Floats
    width_ticks: Floats
    exposure_s: Floats
    fills: Floats
    side: NDArray[np.int8]
    block: Ints

    def __post_init__(self) -> None:
        columns = self.columns
        if any(column.shape != (len(self.delta_ticks),) for column in columns):
            lengths = ", ".join(str(column.shape) for column in columns)
            raise DataError(f"points: the columns have shapes {lengths}; give one value per row in each")
        fault = first_fault(self.delta_ticks, self.width_ticks, self.exposure_s, self.fills)
        if fault:
            raise DataError(f"points row {fault[0] + 1}: {fault[1]}")
        for column in columns:
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.delta_ticks)

    @property
    def columns(self) -> tuple[Numbers, ...]:
        """All columns, in the order of the attributes."""
        return self.delta_ticks, self.width_ticks, self.exposure_s, self.fills, self.side, self.block

    @cached_property
    def groups(self) -> tuple[Ints, Ints]:
        """The rows of equal distance and width, as by `group`."""
        return group(self.delta_ticks, self.width_ticks)

    def weighed(self, weights: Floats) -> Self:
        return replace(self, exposure_s=self.exposure_s * weights, fills=self.fills * weights)

    @classmethod
    def of(
        cls,
        delta_ticks: ArrayLike,
        exposure_s: ArrayLike,
        fills: ArrayLike,
        side: Sequence[str | int] | ArrayLike | None = None,
        block: ArrayLike | None = None,
        width_ticks: ArrayLike | None = None,
    ) -> Self:
        """Return points of columns in any numeric type.

        Args:
            side: ``bid``, ``ask``, an empty string, or +1, -1, 0; None when unknown.
            block: Whole numbers, -1 for none.
            width_ticks: Widths of cells; None for resting orders.

        Raises:
            DataError: On an invalid value, with its row (counted from 1).
        """
        delta = _floats(delta_ticks, "delta_ticks")
        rows = len(delta)
        return cls(
            delta_ticks=delta,
            width_ticks=np.full(rows, np.inf) if width_ticks is None else _floats(width_ticks, "width_ticks"),
            exposure_s=_floats(exposure_s, "exposure_s"),
            fills=_floats(fills, "fills"),
            side=np.zeros(rows, np.int8) if side is None else _sides(side),
            block=np.full(rows, NO_BLOCK) if block is None else _blocks(block),
        )

    def where(self, rows: ArrayLike) -> Self:
        picked = np.asarray(rows)
        return type(self)(*(column[picked] for column in self.columns))


def joined(parts: Sequence[Points], first_blocks: Sequence[int]) -> Points:
    """Concatenate tables; each one's block numbers are offset by its first block."""
    if len(parts) == 1:
        return parts[0]
    *columns, block = (list(column) for column in zip(*(part.columns for part in parts), strict=True))
    moved = [numbers + (numbers != NO_BLOCK) * first for numbers, first in zip(block, first_blocks, strict=True)]
    return Points(*(np.concatenate(column) for column in (*columns, moved)))


class Columns(Protocol):
    """A table whose columns are found by name: a data frame, an Arrow table, a structured array."""

    def __getitem__(self, name: str, /) -> Any: ...


def as_points(table: Points | Columns | Mapping[str, ArrayLike] | Sequence[ArrayLike]) -> Points:
    """Return *table* as points.

    Args:
        table: Points; anything with named columns (mapping, data frame, Arrow table, structured array), others ignored;
            or the columns in the order of `Points.of`.
    """
    if isinstance(table, Points):
        return table
    named: Any = table
    names = _column_names(table)
    if names is None:
        if len(named) < len(COLUMNS):
            raise DataError(f"points: {len(named)} columns; give at least {', '.join(COLUMNS)}")
        return Points.of(*named)
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(f"points: no column {', '.join(missing)} among {', '.join(names)}")
    known = (*COLUMNS, "side", "block", "width_ticks")
    return Points.of(**{name: named[name] for name in known if name in names})


def _column_names(table: Any) -> list[str] | None:
    if isinstance(table, Mapping):
        return list(table)
    for holder, attribute in ((table, "column_names"), (table, "columns"), (getattr(table, "dtype", None), "names")):
        names = getattr(holder, attribute, None)
        if names is not None:
            return [str(name) for name in names]
    return None


def first_fault(delta: Floats, width: Floats, exposure: Floats, fills: Floats) -> tuple[int, str] | None:
    """The first invalid row, counted from 0, and its fault; None if all are valid."""
    faults = (
        ("delta_ticks", delta, ~(np.abs(delta) <= LARGEST), "a distance is a number of ticks"),
        ("width_ticks", width, ~(width > 0), "a cell has a width (inf for a resting order)"),
        ("exposure_s", exposure, ~((exposure >= 0) & (exposure <= LARGEST)), "an exposure is 0 s or more"),
        ("fills", fills, ~((fills >= 0) & (fills <= LARGEST)), "a count is 0 or more"),
        ("exposure_s", exposure, (exposure == 0) & (fills > 0), "fills require an exposure above 0"),
    )
    first_rows = [(int(np.argmax(bad)), name, column, why) for name, column, bad, why in faults if bad.any()]
    if not first_rows:
        return None
    row, name, column, why = min(first_rows, key=lambda fault: fault[0])
    return row, f"{name} is {column[row]:g}; {why}; correct the row or leave it out"


def group(*keys: NDArray[np.generic]) -> tuple[Ints, Ints]:
    """Group rows of equal keys, in ascending order of the first key, then the second, …

    Returns:
        One row index per group, and the group index of each row.
    """
    if (coded := _coded(keys)) is not None:
        code, size = coded
        first = np.full(size, len(code))
        first[code[::-1]] = np.arange(len(code))[::-1]  # the first row of a group is written last
        seen = first < len(code)
        return first[seen], (np.cumsum(seen) - 1)[code]
    order = np.lexsort(keys[::-1])
    starts = np.zeros(len(order), bool)
    starts[:1] = True
    for key in keys:
        ordered = key[order]
        starts[1:] |= ordered[1:] != ordered[:-1]
    groups = np.empty(len(order), np.int64)
    groups[order] = np.cumsum(starts) - 1
    return order[starts], groups


PER_TICK = 8  # the finest distances are eighths of a tick
TABLE_PER_ROW = 4  # a table of groups is used up to this size, as a sort takes longer


def _coded(keys: Sequence[NDArray[np.generic]]) -> tuple[Ints, int] | None:
    code, size = np.zeros(len(keys[0]), np.int64), 1
    for key in keys if len(code) else ():
        low, high = key.min(), key.max()
        if low == high:
            continue
        whole = key.astype(np.int64) if key.dtype.kind in "iu" else _eighths(key)
        if whole is None:
            return None
        first = int(whole.min())
        count = int(whole.max()) - first + 1
        size *= count
        if size > TABLE_PER_ROW * len(code):
            return None
        code = code * count + (whole - first)
    return code, size


def _eighths(key: NDArray[np.generic]) -> Ints | None:
    scaled = PER_TICK * key.astype(np.float64)
    finite = np.isfinite(scaled)
    if not finite.all():
        if np.isnan(scaled).any() or not finite.any() or (scaled == -np.inf).any():
            return None
        scaled = np.where(finite, scaled, scaled[finite].max() + 1)
    if np.abs(scaled).max() > LARGEST:
        return None
    whole: Ints = scaled.astype(np.int64)
    return whole if (whole == scaled).all() else None


def sum_by(groups: Ints, values: Floats | Ints, count: int) -> Floats:
    return np.bincount(groups, values, count).astype(np.float64, copy=False)


def read_points(path: Path | str) -> Points:
    """Read a CSV with ``delta_ticks``, ``exposure_s``, ``fills`` and optionally ``side`` and ``block``.

    ``side`` is ``bid``, ``ask`` or empty; ``block`` is any label or empty.

    Raises:
        BrokenFile: If the file is malformed, with line and value.
    """
    path = Path(path)
    try:
        reader = csv.reader(read_text(path).splitlines(), skipinitialspace=True)
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        lines = [(reader.line_num, row) for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:
        raise BrokenFile(f"{path}: cannot be read as a CSV of points ({error}); check the path and the file") from error
    return _table(path, header, lines)


def write_points(path: Path, points: Points) -> None:
    """Write ``calibration_points.csv``: rows summed over blocks, by distance, then bid before ask."""
    first, groups = group(points.delta_ticks, -points.side)
    exposure = sum_by(groups, points.exposure_s, len(first))
    fills = sum_by(groups, points.fills, len(first))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["delta_ticks", "side", "exposure_s", "fills", "lambda_per_s"])
        for row, seconds, count in zip(first, exposure.tolist(), fills.tolist(), strict=True):
            rate = _number_text(count / seconds) if seconds else ""
            side = SIDE_NAMES[int(points.side[row])]
            writer.writerow(
                [_number_text(float(points.delta_ticks[row])), side, _number_text(seconds), _number_text(count), rate]
            )


def dependent_rows(points: Path) -> str | None:
    """A note if a file's rows share fills, which only the fit in its run folder tells."""
    beside = "poisson_fit.json"
    try:
        fit = json.loads((points.parent / beside).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    method = fit.get("method") if isinstance(fit, dict) else None
    if method == "marks":
        rows = "count an order at every distance up to its depth"
    elif method == "ladder" and isinstance(fit.get("permutations"), dict):
        rows = "sum several ladders run on the same tape"
    else:
        return None
    return (
        f"these points {rows} ({beside} in the same folder: method {method}), so their errors are too small and "
        f"their tests are invalid; use A and k of that file"
    )


def _check_header(path: Path, header: list[str]) -> None:
    for name in COLUMNS:
        if header.count(name) != 1:
            raise BrokenFile(
                f"{path.name}:1: {'no' if name not in header else 'more than one'} column {name} in "
                f"{','.join(header)[:80]!r}; a table of points has {','.join(COLUMNS)} and optionally side, block, "
                f"separated by commas"
            )


def _table(path: Path, header: list[str], lines: list[tuple[int, list[str]]]) -> Points:
    for line, row in lines:
        if len(row) != len(header):
            raise BrokenFile(f"{path.name}:{line}: {len(row)} fields under {len(header)} columns; correct the line")
    columns = {name: [(line, row[at].strip()) for line, row in lines] for at, name in enumerate(header)}
    delta, exposure, fills = (_numbers(path, name, columns[name]) for name in COLUMNS)
    for line, name in columns.get("side", ()):
        if name not in SIDES:
            raise BrokenFile(f"{path.name}:{line}: side is {name!r}; write bid or ask, or leave it empty")
    fault = first_fault(delta, np.full(len(lines), np.inf), exposure, fills)
    if fault:
        raise BrokenFile(f"{path.name}:{lines[fault[0]][0]}: {fault[1]}")
    labels = [label for _, label in columns.get("block", ())]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(filter(None, labels)))}
    return Points.of(
        delta,
        exposure,
        fills,
        side=[name for _, name in columns["side"]] if "side" in columns else None,
        block=[numbers.get(label, NO_BLOCK) for label in labels] if "block" in columns else None,
    )


def _numbers(path: Path, name: str, texts: Iterable[tuple[int, str]]) -> Floats:
    numbers = []
    for line, text in texts:
        try:
            numbers.append(float(text.replace("_", "?")))
        except ValueError as error:
            raise BrokenFile(f"{path.name}:{line}: {name} is {text!r}, not a number; correct the line") from error
    return np.array(numbers, np.float64)


def _floats(column: ArrayLike, name: str) -> Floats:
    try:
        return np.array(column, np.float64, ndmin=1)
    except (TypeError, ValueError) as error:
        raise DataError(f"points: column {name} is not all numbers ({error}); correct it") from error


def _sides(column: Sequence[str | int] | ArrayLike) -> NDArray[np.int8]:
    if isinstance(column, np.ndarray) and column.dtype.kind == "i" and not ((column < -1) | (column > 1)).any():
        return column.ravel().astype(np.int8)
    values = np.array(column, dtype=object).ravel().tolist()
    missing: dict[Any, int] = {None: 0, **SIDES}  # data frames have null or NaN for an empty cell
    signs = [0 if value != value else missing.get(value, value) for value in values]  # noqa: PLR0124 - NaN
    for row, (value, sign) in enumerate(zip(values, signs, strict=True), 1):
        if sign not in SIDE_NAMES:
            raise DataError(f"points row {row}: side is {value!r}; give bid or 1, ask or -1, '' or 0 for unknown")
    return np.array(signs, np.int8)


def _blocks(column: ArrayLike) -> Ints:
    blocks = _floats(column, "block")
    bad = (blocks != np.round(blocks)) | ~((blocks >= NO_BLOCK) & (blocks <= EXACT))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"points row {row + 1}: block is {blocks[row]:g}; give a whole number from 0, or -1 for none")
    return blocks.astype(np.int64)


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < EXACT else repr(value)
