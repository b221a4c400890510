# Generated from mm/backtest/_records.pyx by `make stubs`; edit that file instead.

"""The kernel's side of the journal; ``journal.py`` names the columns."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

class OrderLog:
    """What became of the orders of a run, as it was written down; called it gives the table."""
    def __call__(self) -> NDArray[np.int64]:
        """Return the orders table of the journal, int64[rows, 14]."""
    def pieces(self, most: int) -> Iterator[NDArray[np.int64]]:
        """Yield the orders table in pieces of *most* rows or fewer, one at least; memory holds one of them.

        A row may repeat what an earlier piece says of its order: the rows for that are kept in front of the next one.
        """
    def lives(self) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
        """Return what ``read_lives`` of `mm.backtest.metrics` returns of the table, without making it."""
