# Generated from mm/backtest/_records.pyx by `make stubs`; edit that file instead.

"""The kernel's side of the journal; ``journal.py`` names the columns."""

import numpy as np
from numpy.typing import NDArray

class OrderLog:
    """What became of the orders of a run, as it was written down; called it gives the table."""
    def __call__(self) -> NDArray[np.int64]:
        """Return the orders table of the journal, int64[rows, 14]."""
    def lives(self) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
        """Return what ``read_lives`` of `mm.backtest.metrics` returns of the table, without making it."""
