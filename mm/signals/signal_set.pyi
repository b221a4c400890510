# Generated from mm/signals/signal_set.pyx by `make stubs`; edit that file instead.

"""A set of signals of one market, with its own book; calls the signals in the order of receipt.

A backtest, a live market and a column over a tape all go through ``SignalSet.take``, one event at a time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mm.signals.base import Signal
from mm.tape.tape import Tape

class SignalSet:
    """Signals by name, and the state of their market.

    A row has their values after a diff (a DEPTH event); a snapshot begins a book without a row, and a gap ends it. A
    snapshot of a book that has not ended replaces it, without resetting the signals.

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
        """Process one event: kind, instant in µs, recv_seq, id, and its rows of side, ticks and lots.

        Returns:
            The row of a diff: the value of each signal, None while undefined; None for other events.
        """
    def last(self) -> dict[str, float | None]:
        """Return the last row, as `feed` does."""
    def run(self, tape: Tape, first: int, when: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[int, int]:
        """Process events of a tape, until its end or until there is no room for another row.

        Args:
            tape: The tape, which has passed ``Tape.check``.
            first: The first event.
            when: Receives instant and recv_seq of each row, int64[room, 2].
            values: Receives the values of each row, float64[signals, room].

        Returns:
            The next event, and the number of rows.
        """
