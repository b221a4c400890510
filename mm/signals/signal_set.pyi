# Generated from mm/signals/signal_set.pyx by `make stubs`; edit that file instead.

"""Several signals of one market: it keeps a book of its own, and calls them in the order of receipt.

A backtest, a live market and a column over a tape all go through ``SignalSet.take``, one event at a time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mm.signals.base import Signal
from mm.tape.tape import Tape

class SignalSet:
    """Signals by name, and the market that they are of.

    A row is what they are after a diff (a DEPTH event); a snapshot begins a book and makes none, and a gap ends it. A
    snapshot of a book that has not ended replaces it, and what was seen before still counts.

    Args:
        named: Pairs of a name and a signal.

    Attributes:
        names: As given.
        signals: As given.
        row_us: Instant of the last row, µs.
        row_seq: Number of its message; -1 before the first.
        rows: How many rows there have been.
    """
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def signals(self) -> tuple[Signal, ...]: ...
    @property
    def interpreted(self) -> bool: ...
    @property
    def row_us(self) -> int: ...
    @property
    def row_seq(self) -> int: ...
    @property
    def rows(self) -> int: ...
    def __init__(self, named: Sequence[tuple[str, Signal]]) -> None: ...
    def feed(self, event: Sequence[object]) -> dict[str, float | None] | None:
        """Take one event: kind, instant in µs, number, id, and its rows of side, ticks and lots.

        Returns:
            The row that a diff leaves: the value of each signal, None where it is not defined; None for other events.
        """
    def last(self) -> dict[str, float | None]:
        """Return the last row, as `feed` does."""
    def run(self, tape: Tape, first: int, when: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[int, int]:
        """Take events of a tape, until its end or until there is no room for another row.

        Args:
            tape: The tape, which has passed ``Tape.check``.
            first: The event to begin with.
            when: Takes instant and number of each row, int64[room, 2].
            values: Takes the values of each row, float64[signals, room].

        Returns:
            The event that comes next, and the number of rows.
        """
