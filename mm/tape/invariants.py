"""What every tape promises, and what lets the kernels go without bounds checks (``Tape.check``)."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm.tape import tape as kinds
from mm.tape.mapped import in_pieces

if TYPE_CHECKING:
    from mm.tape.tape import Tape


def faults(tape: "Tape") -> Iterator[str]:
    """Yield a sentence for each invariant that *tape* breaks; later ones are looked at only where shapes are right."""
    wrong = list(_shapes(tape))
    yield from wrong
    if not wrong:
        yield from chain(_events(tape), _rows(tape), _book_life(tape), _tops(tape))


def sound(tape: "Tape") -> bool:
    """Tell whether the bounds of a kept *tape* hold; its rows were checked before they were written."""
    first_row, rows = tape.first_row, len(tape.row_side)
    return bool(
        len(first_row) == len(tape.kind) + 1 == len(tape.event_us) + 1
        and len(tape.row_ticks) == len(tape.row_lots) == rows
        and first_row[0] >= 0
        and first_row[-1] <= rows
        and not (first_row[1:] < first_row[:-1]).any()
    )


def _shapes(tape: "Tape") -> Iterator[str]:
    events, rows, tops = len(tape.kind), len(tape.row_side), len(tape.top_event)
    sizes = dict.fromkeys(kinds.EVENT_COLUMNS, events) | {"first_row": events + 1}
    sizes |= dict.fromkeys(kinds.ROW_COLUMNS, rows) | dict.fromkeys(kinds.TOP_COLUMNS, tops)
    for name, size in sizes.items():
        column = getattr(tape, name)
        if column.shape != (size,):
            yield f"{name} has the shape {column.shape}, not ({size},)"
    if tape.step_lots < 1:
        yield f"the quantity step is {tape.step_lots} lots"


def _events(tape: "Tape") -> Iterator[str]:
    yield from _where(np.diff(tape.event_us) < 0, "event_us falls behind event")
    yield from _where(np.diff(tape.first_row) < 0, "first_row falls behind event")
    if tape.first_row[0] < 0 or tape.first_row[-1] > len(tape.row_side):
        yield f"rows {tape.first_row[0]} to {tape.first_row[-1]} of {len(tape.row_side)} are spoken of"
    if len(tape) and tape.event_us[-1] > tape.end_us:
        yield f"the last event, at {tape.event_us[-1]} µs, is later than the end, {tape.end_us} µs"
    if tape.start_us > tape.end_us:
        yield f"it begins at {tape.start_us} µs, after its end at {tape.end_us} µs"
    yield from _where((tape.kind < kinds.SNAPSHOT) | (tape.kind > kinds.KEYFRAME), "no kind has the number of event")
    sizes = np.diff(tape.first_row)
    yield from _where((tape.kind == kinds.TRADE) & (sizes != 1), "one row is not what belongs to trade")
    yield from _where((tape.kind == kinds.GAP) & (sizes != 0), "rows belong to gap")


def _rows(tape: "Tape") -> Iterator[str]:
    for first, side in in_pieces(tape.row_side):
        if side.min() < -1 or side.max() > 1 or not side.all():
            yield from _where(abs(side) != 1, "the side is not +1 or -1 in row", first)
    for first, ticks in in_pieces(tape.row_ticks):
        if ticks.min() <= 0:
            yield from _where(ticks <= 0, "the price is not above 0 in row", first)
    for first, lots in in_pieces(tape.row_lots):
        if lots.min() < 0:
            yield from _where(lots < 0, "the lots are negative in row", first)


def _book_life(tape: "Tape") -> Iterator[str]:
    """Look for changes of a book that does not exist: before the first snapshot, or behind a gap."""
    kind = tape.kind
    turns = np.flatnonzero((kind == kinds.SNAPSHOT) | (kind == kinds.GAP))
    if len(kind) and kind[0] == kinds.KEYFRAME:
        turns = np.concatenate(([0], turns))
    changes = np.flatnonzero((kind == kinds.DEPTH) | (kind == kinds.KEYFRAME))
    last = np.searchsorted(turns, changes, "right") - 1
    valid = (last >= 0) & (kind[turns[last]] != kinds.GAP) if len(turns) else np.zeros(len(changes), bool)
    if not valid.all():
        event = int(changes[np.argmin(valid)])
        yield f"event {event} is a {kinds.KIND_NAMES[int(kind[event])]} of a book that is not valid there"


def _tops(tape: "Tape") -> Iterator[str]:
    yield from _where(np.diff(tape.top_event) <= 0, "top_event does not rise behind top")
    if len(tape.top_event) and not 0 <= tape.top_event[0] <= tape.top_event[-1] < len(tape):
        yield f"tops speak of events {tape.top_event[0]} to {tape.top_event[-1]} of {len(tape)}"
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    yield from _where((bid > 0) & (ask > 0) & (bid >= ask), "best bid and ask cross at top")
    yield from _where((bid < 0) | (ask < 0) | (tape.top_bid_lots < 0) | (tape.top_ask_lots < 0), "negative is top")


def _where(wrong: NDArray[np.bool_], sentence: str, first: int = 0) -> Iterator[str]:
    if wrong.any():
        yield f"{sentence} {first + int(np.argmax(wrong))}"
