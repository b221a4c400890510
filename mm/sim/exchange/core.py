"""What the exchange needs of a matching engine."""

from typing import Any, Protocol

from mm.sim.matching.order_log import LIMIT, STP_NONE, Row


class Core(Protocol):
    """The part of a matching engine that the exchange uses; the compiled one and its plain twin both have it."""

    @property
    def update_id(self) -> int:
        """Return the id of the last change of the book."""

    def submit(  # noqa: PLR0913, PLR0917 - what an order is made of
        self, us: int, account: int, side: int, ticks: int, lots: int, kind: int = LIMIT, stp: int = STP_NONE
    ) -> int:
        """Send an order; returns its id, or WOULD_CROSS."""

    def cancel(self, us: int, order_id: int) -> int:
        """Take an order from the book; returns the lots that were left."""

    def reduce(self, us: int, order_id: int, lots: int) -> int:
        """Leave an order with *lots*, its place kept; returns them, 0 if it does not rest."""

    def best(self) -> tuple[int, int, int, int]:
        """Return bid ticks, bid lots, ask ticks, ask lots; 0 where a side is empty."""

    def depth(self, side: int, limit: int) -> list[tuple[int, int]]:
        """Return price and quantity of the best levels of a side."""

    def orders(self, side: int, limit: int | None = None) -> list[tuple[int, int, int, int]]:
        """Return order id, account, ticks and lots of a side's orders, in priority."""

    def take_log(self) -> Any:
        """Return the rows of the log since the last call: an array, or a list of rows."""


def rows_of(log: Any) -> list[Row]:
    """Return the rows of a drained log, whichever engine it comes from, as tuples of plain ints."""
    return log if isinstance(log, list) else [tuple(row) for row in log.tolist()]
