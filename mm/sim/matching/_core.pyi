# Generated from mm/sim/matching/_core.pyx by `make stubs`; edit that file instead.

"""The compiled matching core: price-time priority over whole ticks and lots, and a log of all that happens.

docs/exchange.md says what each command does; ``tests/plain_matching.py`` is the plain twin. The memory is in four
pieces, each with a file of its own: the prices (``_ladder.pxd``), the orders with the index of their ids
(``_index.pxd``), whose they are (``_owners.pxd``), and the rows of the log (``_log.pxd``). All of it grows with
what rests at one time, never with what ever did.

Invariants (``Matching.check`` verifies them):
  - a level is in the tree as long as an order rests at its price, and its lots are those of its queue
  - the best bid is below the best ask
  - an order is once in its level's queue, once in the index and once among its owner's
"""

from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

@final
class Matching:
    """One symbol's order book.

    Prices are ticks (1 to 2**40 - 1), quantities lots (1 to 2**48 - 1), ``side`` is +1 to buy and -1 to sell, and
    instants are microseconds that never fall. A method that raises has changed nothing, save that a `run` keeps
    the rows before the bad one, and that MemoryError loses what was to come of the command. It may be used from several
    threads, but not by two at once: while `run` works without the interpreter's lock, the other thread's call raises
    RuntimeError.

    Args:
        first_order_id, first_trade_id, first_update_id: The ids that were given last (0 to 2**62); they count on.
        log: False leaves the log empty.

    Attributes:
        last_order_id, last_trade_id, update_id: The ids that were given last.
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
            us: Instant in µs, not before the last command's.
            account: Whose it is, 0 or more.
            side: +1 to buy, -1 to sell.
            ticks: The worst price that it takes; 0 of a MARKET order.
            lots: Quantity.
            kind: LIMIT 0, MAKER 1, IOC 2, FOK 3, MARKET 4.
            stp: What it does when it meets an order of its account: 0 trades, 1 expires itself, 2 expires the other,
                3 expires both, 4 takes the smaller quantity from both.

        Returns:
            The order's id, or WOULD_CROSS (-1) if it is a MAKER order that would have matched.

        Raises:
            ValueError: If a value is out of range, naming it.
            OverflowError: If its price would display 2**63 lots or more.
        """
    def cancel(self, us: int, order_id: int) -> int:
        """Cancel an order; return the lots that were left of it, 0 if it does not rest."""
    def reduce(self, us: int, order_id: int, lots: int) -> int:
        """Leave *lots* of an order, which keeps its priority.

        Returns:
            *lots*, or 0 if the order does not rest.

        Raises:
            ValueError: If *lots* is not below what is left, or a value is out of range.
        """
    def replace(self, us: int, order_id: int, ticks: int, lots: int, kind: int = ..., stp: int = ...) -> int:
        """Cancel an order and submit another of its account and side in one step.

        Args:
            us, ticks, lots, kind, stp: As for `submit`.
            order_id: The order to cancel.

        Returns:
            The new order's id; 0 if the old one does not rest, and then nothing happens; WOULD_CROSS (-1) if the new
            one is a MAKER order that would have matched, and then the old one is cancelled nevertheless.

        Raises:
            ValueError, OverflowError: As `submit`; the old order rests on.
        """
    def run(self, commands: ArrayLike) -> None:
        """Carry out many commands, without the interpreter's lock.

        Args:
            commands: int64[n, 8], or rows that make one: columns us, op (SUBMIT 1, CANCEL 2, REDUCE 3, REPLACE 4),
                account, side, ticks, lots, kind, arg: the order's id, or of SUBMIT its stp. REPLACE has no stp. A
                column that an op has no use for is not read. What is to be done to an order that does not rest is
                not done, nor a REDUCE to as much as is left or more.

        Raises:
            ValueError, OverflowError: As `submit`, naming the row; the rows before it are carried out.
        """
    @property
    def resting(self) -> int:
        """How many orders rest."""
    def best(self) -> tuple[int, int, int, int]:
        """Return best bid and its lots, best ask and its lots; 0 where a side is empty."""
    def depth(self, side: int, limit: int | None) -> list[tuple[int, int]]:
        """Return (ticks, lots) of the *limit* best prices of a side, best first; of all where it is None."""
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the lots that a price displays, 0 where nothing of that side rests."""
    def orders(self, side: int, limit: int | None = None) -> list[tuple[int, int, int, int]]:
        """Return (order_id, account, ticks, lots) of the first *limit* orders of a side by priority, or of all."""
    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Return (account, side, ticks, lots left) of an order, None if it does not rest."""
    def queue_ahead(self, order_id: int) -> int:
        """Return the lots that are before an order at its price.

        Raises:
            ValueError: If it does not rest.
        """
    def open_orders(self, account: int) -> list[int]:
        """Return the ids of an account's resting orders, oldest first."""
    def take_log(self) -> NDArray[np.int64]:
        """Return the rows since the last call as int64[n, 10], named by ``order_log.COLUMNS``, and let go of them."""
    def check(self) -> None:
        """Raise AssertionError where an invariant does not hold; for tests, as it walks all of the book."""
