# Generated from mm/signals/signal_set.pyx by `make stubs`; edit that file instead.

"""A set of signals of one market, with its own book; calls the signals in the order of receipt.

Backtests, live markets and columns over a tape all use ``SignalSet.take``, one event at a time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mm.signals.base import Signal
from mm.tape.tape import Tape

class SignalSet:
    """Signals by name, with the state of their market.

    A row has the values after a diff (a DEPTH event); a snapshot begins a book without a row, and a gap ends it. A
    snapshot of a book that has not ended replaces it, without resetting the signals.

    Args:
        named: Pairs of a name and a signal.

    Attributes:
        names: Names of the signals, in the given order.
        signals: The signals, in the given order.
        row_us: Timestamp of the last row, µs.
        row_seq: ``recv_seq`` of the last row; -1 before the first.
        rows: Number of rows so far.
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
        """Process one event: kind, timestamp in µs, recv_seq, id, and its rows of side, ticks and lots.

        Returns:
            For a diff the row: the value of each signal, None if undefined; for other events None.
        """
    def last(self) -> dict[str, float | None]:
        """Return the last row, in the format of `feed`."""
    def run(self, tape: Tape, first: int, when: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[int, int]:
        """Process events of a tape, until its end or until there is no room for another row.

        Args:
            tape: The tape, which has passed ``Tape.check``.
            first: Index of the first event.
            when: Receives timestamp and recv_seq of each row, int64[room, 2].
            values: Receives the values of each row, float64[signals, room].

        Returns:
            The index of the next event, and the number of rows.
        """
