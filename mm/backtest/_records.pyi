# Generated from mm/backtest/_records.pyx by `make stubs`; edit that file instead.

"""The compiled part of the journal; ``journal.py`` names the columns."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

def free_spares() -> None:
    """Free the memory that is kept for further journals."""

class OrderLog:
    """The order log of a run; calling it returns the table."""
    def __call__(self) -> NDArray[np.int64]:
        """Return the orders table of the journal, int64[rows, 14]."""
    def pieces(self, most: int) -> Iterator[NDArray[np.int64]]:
        """Yield the orders table in at least one piece of at most *most* rows; memory holds one piece at a time.

        A row may refer to an earlier row of its order: such rows of earlier pieces are kept in front of the next one.

        Raises:
            UsageError: If the backtest kept none.
        """
    def rows_of(self, actions: Iterable[int]) -> NDArray[np.int64]:
        """Return the rows of the orders table with one of *actions*, which are those of whole rows: REJECT and SKIP.

        Raises:
            UsageError: If the backtest kept none.
        """
    def lives(self) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
        """Return the result of ``read_lives`` of `mm.backtest.metrics` for the table, without building it."""
