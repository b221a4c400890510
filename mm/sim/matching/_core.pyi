# Generated from mm/sim/matching/_core.pyx by `make stubs`; edit that file instead.

"""The compiled matching core: price-time priority in whole ticks and lots, and a log of every event.

docs/exchange.md specifies each command; ``tests/plain_matching.py`` is the same engine in plain Python. The data have
four parts, each in a separate file: prices (``_ladder.pxd``), orders with an index of their ids (``_index.pxd``),
owners (``_owners.pxd``), and rows of the log (``_log.pxd``). Memory grows with the number of orders that rest at the
same time, not with the number of orders over time.

Invariants (``Matching.check`` verifies them):
  - a level is in the tree if and only if an order rests at its price, and its lots are the sum of its queue
  - the best bid is below the best ask
  - an order is exactly once in its level's queue, in the index and in its owner's list
"""

from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

@final
class Matching:
    """One symbol's order book.

    Prices are ticks (1 to 2**40 - 1), quantities lots (1 to 2**48 - 1), ``side`` is +1 to buy and -1 to sell, and times
    are microseconds that never decrease. A method that raises changes nothing, except that `run` keeps the effect of
    the rows before the invalid one, and that a MemoryError loses the rest of the command. Several threads may use it,
    but not at the same time: while `run` works without the GIL, a call from another thread raises RuntimeError.

    Args:
        first_order_id, first_trade_id, first_update_id: The last ids in use (0 to 2**62); new ids start after them.
        log: False leaves the log empty.

    Attributes:
        last_order_id, last_trade_id, update_id: The last ids in use.
    """
    @property
    def last_order_id(self) -> int: ...
    @property
    def last_trade_id(self) -> int: ...
    @property
    def update_id(self) -> int: ...
    def __new__(
        cls, *, first_order_id: int = 0, first_trade_id: int = 0, first_update_id: int = 0, log: bool = True
    ) -> Self: ...
    def submit(self, us: int, account: int, side: int, ticks: int, lots: int, kind: int = ..., stp: int = ...) -> int:
        """Submit an order and match it.

        Args:
            us: Time in µs, not before that of the last command.
            account: Owner of the order, 0 or more.
            side: +1 to buy, -1 to sell.
            ticks: The worst acceptable price; 0 for a MARKET order.
            lots: Quantity.
            kind: LIMIT 0, MAKER 1, IOC 2, FOK 3, MARKET 4.
            stp: Self-trade prevention, if it would match an order of its account: 0 both trade, 1 it expires, 2 the
                resting order expires, 3 both expire, 4 both are reduced by the smaller quantity.

        Returns:
            The id of the order, or WOULD_CROSS (-1) if it is a MAKER order that would have matched.

        Raises:
            ValueError: If a value is out of range; the message names it.
            OverflowError: If its price level would have 2**63 lots or more.
        """
    def cancel(self, us: int, order_id: int) -> int:
        """Cancel an order; return its remaining lots, 0 if it does not rest."""
    def reduce(self, us: int, order_id: int, lots: int) -> int:
        """Reduce an order to *lots*; it keeps its priority.

        Returns:
            *lots*, or 0 if the order does not rest.

        Raises:
            ValueError: If *lots* is not below the remaining lots, or a value is out of range.
        """
    def replace(self, us: int, order_id: int, ticks: int, lots: int, kind: int = ..., stp: int = ...) -> int:
        """Cancel an order and submit another with its account and side in one step.

        Args:
            us, ticks, lots, kind, stp: As for `submit`.
            order_id: The order to cancel.

        Returns:
            The id of the new order; 0 if the old order does not rest, and then nothing changes; WOULD_CROSS (-1) if the
            new order is a MAKER order that would have matched; the old order is cancelled nevertheless.

        Raises:
            ValueError, OverflowError: As for `submit`; the old order keeps resting.
        """
    def run(self, commands: ArrayLike) -> None:
        """Execute many commands without the GIL.

        Args:
            commands: int64[n, 8], or rows that convert to it: columns us, op (SUBMIT 1, CANCEL 2, REDUCE 3, REPLACE 4),
                account, side, ticks, lots, kind, arg: id of the order, or for SUBMIT its stp. REPLACE has no stp. An op
                ignores the columns that it does not use. A command for an order that does not rest, and a REDUCE to the
                remaining lots or more, have no effect.

        Raises:
            ValueError, OverflowError: As for `submit`, with the row; the rows before it have been executed.
        """
    @property
    def resting(self) -> int:
        """Number of resting orders."""
    def best(self) -> tuple[int, int, int, int]:
        """Return best bid and its lots, best ask and its lots; 0 if a side is empty."""
    def depth(self, side: int, limit: int | None) -> list[tuple[int, int]]:
        """Return (ticks, lots) of the *limit* best levels of a side, best first; of all levels if it is None."""
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the displayed lots of a side at a price, 0 if there are none."""
    def orders(self, side: int, limit: int | None = None) -> list[tuple[int, int, int, int]]:
        """Return (order_id, account, ticks, lots) of the first *limit* orders of a side by priority; of all if None."""
    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Return (account, side, ticks, remaining lots) of an order, None if it does not rest."""
    def queue_ahead(self, order_id: int) -> int:
        """Return the lots ahead of an order in the queue at its price.

        Raises:
            ValueError: If the order does not rest.
        """
    def open_orders(self, account: int) -> list[int]:
        """Return the ids of an account's resting orders, oldest first."""
    def take_log(self) -> NDArray[np.int64]:
        """Return and remove the rows since the last call: int64[n, 10], named by ``order_log.COLUMNS``."""
    def check(self) -> None:
        """Raise AssertionError if an invariant is violated; for tests, as it walks the whole book."""
