"""The quotes that a quote model returns, and the fills that its ``on_fill`` receives."""

from collections.abc import Iterable
from dataclasses import dataclass

Level = float | tuple[float, float | None]
"""A price in ticks, or a price and its lots; None is the quoted quantity (``QUOTE_QTY``)."""


@dataclass(slots=True)
class Quotes:
    """The prices and lots (order steps) that a quote model places: one price per side, or several.

    Attributes:
        bid_ticks: A fraction is floored; None is no bid.
        ask_ticks: A fraction is ceiled; None is no ask.
        bid_lots: Rounded down; None is the quoted quantity (``QUOTE_QTY``). So is *ask_lots*.
        bid_kind: ``LIMIT_MAKER`` (rejected if it would cross), ``LIMIT``, ``IOC``, ``FOK``, or ``MARKET``, whose price
            is ignored.
        bids: Several bids, instead of *bid_ticks* and *bid_lots*: prices, or pairs of price and lots; a ``range`` is
            fastest. If only one of *bids* and *asks* is given, the other side is empty. An order at a price that is
            quoted again keeps its queue position.
        again_us: Instant of an additional requote, besides the regular ones.
        on_best: Whether a requote follows the next change of a best price.
    """

    bid_ticks: float | None = None
    ask_ticks: float | None = None
    bid_lots: float | None = None
    ask_lots: float | None = None
    bid_kind: str = "LIMIT_MAKER"
    ask_kind: str = "LIMIT_MAKER"
    bids: Iterable[Level] | None = None
    asks: Iterable[Level] | None = None
    again_us: int | None = None
    on_best: bool = False

    @classmethod
    def grid(
        cls, bid_ticks: float, ask_ticks: float, levels: int, step_ticks: float, lots: float | None = None
    ) -> "Quotes":
        """Return quotes at evenly spaced prices on both sides, outwards from a bid and an ask.

        Args:
            levels: Prices per side.
            step_ticks: Distance from one price to the next.
            lots: Lots at each price; None is the quoted quantity (``QUOTE_QTY``).
        """
        if (
            lots is None
            and isinstance(bid_ticks, int)
            and isinstance(ask_ticks, int)
            and isinstance(step_ticks, int)
            and step_ticks > 0
        ):
            return cls(
                bids=range(bid_ticks, bid_ticks - step_ticks * levels, -step_ticks),
                asks=range(ask_ticks, ask_ticks + step_ticks * levels, step_ticks),
            )
        return cls(
            bids=[(bid_ticks - step_ticks * i, lots) for i in range(levels)],
            asks=[(ask_ticks + step_ticks * i, lots) for i in range(levels)],
        )


@dataclass(slots=True, frozen=True)
class OwnFill:
    """A fill of one of our orders, as passed to ``on_fill`` of a quote model.

    Attributes:
        side: +1 bought, -1 sold.
        left_lots: Remaining lots of the order.
        took: Whether the order took liquidity.
    """

    us: int
    order_id: int
    side: int
    ticks: int
    lots: float
    left_lots: float
    took: bool
