"""Tapes made by hand, for tests and notebooks."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mm.instrument import Instrument
from mm.tape.draft import Draft
from mm.tape.row_source import RowSource
from mm.tape.settle_books import settle_tops
from mm.tape.stack import Stack
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE, Tape

_KINDS = {"snapshot": SNAPSHOT, "depth": DEPTH, "trade": TRADE, "gap": GAP}


def tape_by_hand(instrument: Instrument, events: Sequence[tuple[Any, ...]], day: str) -> Tape:
    """Return a tape of *events*; what each may be stands at `Tape.of`.

    Raises:
        ValueError: If an event is none of these, or leaves the book crossed.
        BrokenFile: If the tape breaks an invariant.
    """
    wanted = [event for event in events if event[1] != "keyframe"]
    behind = [place - 1 - nth for nth, place in enumerate(_keyframes(events))]
    after = np.zeros(len(wanted), np.uint8)
    after[behind] = 1
    rows = [_rows(event) for event in wanted]
    flat = np.array([row for group in rows for row in group], np.int64).reshape(-1, 3)
    stamps = np.array([event[0] for event in wanted], np.int64)
    sizes = np.array([len(group) for group in rows], np.int64)
    source = RowSource((1, 1))
    source.add((flat[:, 0].astype(np.int8), flat[:, 1].copy(), flat[:, 2].copy(), 1, 1))
    stack = Stack(
        event_us=stamps,
        event_exch_us=np.array([event[5] if len(event) > 5 else event[0] for event in wanted], np.int64),
        recv_seq=np.arange(1, len(wanted) + 1),
        event_id=np.array([0 if event[1] == "gap" else place for place, event in enumerate(wanted, 1)], np.int64),
        kind=np.array([_KINDS[event[1]] for event in wanted], np.uint8),
        start=np.cumsum(sizes) - sizes,
        size=sizes,
        source=source,
        tops=[],
    )
    crossed = settle_tops(stack, after)
    if crossed:
        place = crossed[0].recv_seq - 1
        raise ValueError(f"event {place} leaves the book crossed or locked: {wanted[place]}")
    return Draft(stack, instrument, day).tape()


def _keyframes(events: Sequence[tuple[Any, ...]]) -> list[int]:
    return [place for place, event in enumerate(events) if event[1] == "keyframe"]


def _rows(event: tuple[Any, ...]) -> list[tuple[int, int, int]]:
    match event:
        case (_, "snapshot" | "depth", bids, asks):
            return [*_side(1, bids), *_side(-1, asks)]
        case (_, "trade", side, ticks, lots, *_):
            return [(side, ticks, lots)]
        case (_, "gap"):
            return []
    raise ValueError(f"{event!r} is no event; write (us, kind, …) as `Tape.of` shows")


def _side(side: int, levels: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    return [(side, ticks, lots) for ticks, lots in levels]
