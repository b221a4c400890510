"""What a quote model answers."""

from dataclasses import dataclass


@dataclass(slots=True)
class Quotes:
    """The prices and lots a quote model wants in the book.

    Attributes:
        bid_ticks: Bid in ticks; a fraction is floored; None is no bid.
        ask_ticks: Ask in ticks; a fraction is ceiled; None is no ask.
        bid_lots: Lots of the bid; None is the quoted quantity (``QUOTE_QTY``).
        ask_lots: Lots of the ask; None is the quoted quantity.
        bid_kind: ``LIMIT_MAKER`` (rejected where it would cross), ``LIMIT``, ``IOC``, ``FOK``, or ``MARKET``, whose
            price is not looked at.
        ask_kind: Likewise.
    """

    bid_ticks: float | None
    ask_ticks: float | None
    bid_lots: int | None = None
    ask_lots: int | None = None
    bid_kind: str = "LIMIT_MAKER"
    ask_kind: str = "LIMIT_MAKER"
