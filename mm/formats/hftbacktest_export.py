"""Export as hftbacktest's events, version 2, readable by hftbacktest and the import."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm.base.atomic_file import atomic_file
from mm.errors import RunExists, UsageError
from mm.formats.hftbacktest import (
    BUY,
    CLEAR_EVENT,
    DEPTH_EVENT,
    EVENT,
    EXCH,
    LOCAL,
    SELL,
    SNAPSHOT_EVENT,
    TRADE_EVENT,
)
from mm.instrument import E8
from mm.tape.columns import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE, Ints
from mm.tape.feed import strays
from mm.tape.tape import Tape

_EVENTS_AT_ONCE = 1 << 16
_NS_PER_US = 1_000
_CODES = np.zeros(6, np.uint64)
_CODES[[SNAPSHOT, DEPTH, TRADE, GAP]] = SNAPSHOT_EVENT, DEPTH_EVENT, TRADE_EVENT, CLEAR_EVENT


@dataclass(frozen=True)
class HftbacktestExport:
    path: Path
    rows: int
    events: int
    split: int
    shift_us: int
    stray: int
    bytes: int


@dataclass(frozen=True)
class _WrittenOrder:
    """The events of a tape in the written order, in blocks within which they are reordered."""

    at: Ints
    local_us: Ints
    exch_us: Ints
    block: Ints
    alone: NDArray[np.bool_]


def export_hftbacktest(tape: Tape, target: Path, step: Callable[[int], None] = lambda _: None) -> HftbacktestExport:
    """An ``.npz`` with the array ``data``, in parts."""
    if target.suffix != ".npz":
        raise UsageError(f"--out {target} must end in .npz, as the files of hftbacktest do")
    if target.exists():
        raise RunExists(f"{target} exists already; remove it, or give another --out")
    order, shift_us, stray = _ordered(tape)
    sizes = np.diff(tape.first_row)[order.at] + np.isin(tape.kind[order.at], (SNAPSHOT, GAP))
    rows = int(sizes.sum() + sizes[~order.alone].sum())
    target.parent.mkdir(parents=True, exist_ok=True)
    member = zipfile.ZipInfo("data.npy", (1980, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    with (
        atomic_file(target) as unfinished,
        zipfile.ZipFile(unfinished, "w", compresslevel=1) as packed,
        packed.open(member, "w", force_zip64=True) as stream,
    ):
        head = {"descr": np.lib.format.dtype_to_descr(EVENT), "fortran_order": False, "shape": (rows,)}
        np.lib.format.write_array_header_1_0(stream, head)
        begin = 0
        while begin < len(order.at):
            stop = min(begin + _EVENTS_AT_ONCE, len(order.at))
            while stop < len(order.at) and order.block[stop] == order.block[stop - 1]:
                stop += 1
            stream.write(_rows(tape, order, begin, stop).tobytes())
            step(stop - begin)
            begin = stop
    split = int((~order.alone).sum())
    return HftbacktestExport(target, rows, len(order.at), split, shift_us, stray, target.stat().st_size)


def _ordered(tape: Tape) -> tuple[_WrittenOrder, int, int]:
    at = np.flatnonzero(tape.kind != KEYFRAME)
    local_us = np.maximum(tape.event_us[at], tape.start_us)
    stray = strays(tape)[at]
    stated = (tape.event_exch_us[at] > 0) & ~stray
    exch_us = np.where(stated, tape.event_exch_us[at], local_us)
    shift_us = max(0, int((exch_us - local_us).max(initial=0)))
    exch_us = np.where(stated, exch_us - shift_us, local_us)
    # A snapshot or a gap has no exchange time: it takes the previous event's, so that it is not split.
    exch_us = np.where(stated, exch_us, np.minimum(local_us, _latest_exchange_us(exch_us, stated, local_us)))
    earlier = np.maximum.accumulate(exch_us)
    later = np.minimum.accumulate(exch_us[::-1])[::-1]
    first = np.ones(len(at), bool)
    first[1:] = earlier[:-1] <= later[1:]
    block = np.cumsum(first)
    alone = np.bincount(block)[block] == 1
    return _WrittenOrder(at, local_us, exch_us, block, alone), shift_us, int(stray.sum())


def _latest_exchange_us(exch_us: Ints, stated: NDArray[np.bool_], local_us: Ints) -> Ints:
    earliest = int(exch_us[stated].min()) if stated.any() else 0
    return np.maximum.accumulate(np.where(stated, exch_us, earliest)) if earliest else local_us


def _rows(tape: Tape, order: _WrittenOrder, begin: int, stop: int) -> NDArray[np.void]:
    part = slice(begin, stop)
    alone, local_us = order.alone[part], order.local_us[part]
    places = np.arange(begin, stop)
    by_exch = np.lexsort((places, order.exch_us[part], order.block[part])) + begin
    turns = np.concatenate((places, by_exch[~order.alone[by_exch]]))
    flags = np.concatenate((np.where(alone, EXCH | LOCAL, LOCAL), np.full(int((~alone).sum()), EXCH))).astype(np.uint64)
    number = np.concatenate((places, np.arange(begin, stop)[~alone]))
    last = np.argsort(flags & LOCAL != 0, kind="stable")  # within a block, the exchange's events come first
    in_order = last[np.argsort(order.block[number[last]], kind="stable")]
    turns, flags = turns[in_order], flags[in_order]
    events = order.at[turns]
    kind = tape.kind[events]
    clears = np.isin(kind, (SNAPSHOT, GAP))
    own = tape.first_row[events + 1] - tape.first_row[events]
    size = own + clears
    of_event = np.repeat(np.arange(len(events)), size)
    inside = np.arange(len(of_event)) - np.repeat(np.cumsum(size) - size, size)
    clearing = np.repeat(clears, size) & (inside == 0)
    row = np.where(clearing, 0, np.repeat(tape.first_row[events], size) + inside - np.repeat(clears, size))
    row = np.minimum(row, max(len(tape.row_ticks) - 1, 0))
    rows = np.zeros(len(of_event), EVENT)
    side = np.where(tape.row_side[row] > 0, BUY, SELL).astype(np.uint64)
    code = np.where(clearing, np.uint64(CLEAR_EVENT), _CODES[kind][of_event] | side)
    rows["ev"] = code | flags[of_event]
    rows["exch_ts"] = order.exch_us[turns][of_event] * _NS_PER_US
    rows["local_ts"] = local_us[turns - begin][of_event] * _NS_PER_US
    grid = tape.instrument
    rows["px"] = np.where(clearing, 0.0, tape.row_ticks[row] * grid.tick_e8 / E8)
    rows["qty"] = np.where(clearing, 0.0, tape.row_lots[row] * grid.lot_e8 / E8)
    return rows
