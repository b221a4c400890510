"""What a day keeps of a market: levels and trades, in the exchange's own text."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A non-negative whole number of 64 bits."""
Levels = Sequence[tuple[str, str]]
"""Book levels, best first: pairs of price and quantity, as text of the exchange."""
SENT_LATE_MS = 1_800_000
"""Maximum time, in ms, between a trade and its message."""


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade; times as received (ms or µs), price and quantity as the exchange's text.

    `event_time` is None from REST; `first_id` and `last_id` bound an aggregate, and equal a single trade's id. The last
    four are as in `TradePrint`.
    """

    event_time: int | None
    trade_id: int
    trade_time: int
    price: str
    qty: str
    is_buyer_maker: bool
    first_id: int
    last_id: int
    source: str = "ws"
    name: str | None = None
    seq: int | None = None
    rpi: bool | None = None
    block: bool | None = None


STREAM, REST = "ws", "rest"
"""Sources of trades: the stream, with rows in the order of their ids, and REST."""


def level_cells(bids: Levels, asks: Levels, top_n: int) -> str:
    """Bid and ask alternate; a missing level is empty."""
    levels = zip(_padded(bids, top_n), _padded(asks, top_n), strict=True)
    return ",".join(chain.from_iterable(chain.from_iterable(levels)))


def _padded(levels: Levels, top_n: int) -> Levels:
    if len(levels) == top_n:
        return levels
    return [*levels[:top_n], *[("", "")] * (top_n - len(levels))]
