"""How finely a recording tells instants apart: prints that share one, and the age of the book that a trade meets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mm.tape.tape import DEPTH, TRADE

if TYPE_CHECKING:
    from mm.tape.tape import Tape


def timing(tapes: "Sequence[Tape]") -> dict[str, float | None]:
    """Return what the exchange's stamps of *tapes* show; None where nothing was stamped.

    ``same_instant_share``: share of the prints whose side and trade time are those of the print of that side before,
    so that they count as its sweep. ``book_age_ms_p50``: median time from a trade to the stamp of the
    first depth message that can show it, in ms: so long the displayed book is older than the trade.
    """
    shared, ages = zip(*(_of(tape) for tape in tapes), strict=True)
    same, age = np.concatenate(shared), np.concatenate(ages)
    return {
        "same_instant_share": float(same.mean()) if same.size else None,
        "book_age_ms_p50": float(np.median(age)) / 1000 if age.size else None,
    }


def _of(tape: "Tape") -> "tuple[np.ndarray, np.ndarray]":
    """Return of each stamped print whether it shares its instant, and the age of the book in µs."""
    stamp = tape.event_exch_us
    trades = np.flatnonzero((tape.kind == TRADE) & (stamp > 0) & (tape.event_us >= tape.start_us))
    books = np.flatnonzero((tape.kind == DEPTH) & (stamp > 0))
    side = tape.row_side[tape.first_row[trades]]
    same = np.zeros(trades.size, bool)
    for way in (1, -1):
        mine = np.flatnonzero(side == way)
        same[mine[1:]] = np.diff(stamp[trades[mine]]) == 0
    shown = np.sort(stamp[books])
    after = np.searchsorted(shown, stamp[trades])
    met = after < shown.size
    return same, shown[after[met]] - stamp[trades[met]]
