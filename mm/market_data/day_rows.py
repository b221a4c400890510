"""Rows of a day's files as text, and what they have in common."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from mm.clock import exchange_ms

if TYPE_CHECKING:
    from mm.market_data.day_writer import Trade

Levels = Sequence[Sequence[str]]
"""Book levels, best first: pairs of price and quantity, the exchange's own text."""


class DiffRow(msgspec.Struct, frozen=True, gc=False):
    """A line of the diffs file."""

    recv_ms: int
    recv_us: int
    recv_seq: int
    run_id: str
    E: int
    U: int
    u: int
    b: Levels
    a: Levels


def level_cells(bids: Levels, asks: Levels, top_n: int) -> str:
    """Return the cells of the best *top_n* levels, bid and ask by turns; a missing level is empty."""
    levels = zip(_padded(bids, top_n), _padded(asks, top_n), strict=True)
    return ",".join(chain.from_iterable(chain.from_iterable(levels)))


def json_of(levels: Any) -> Any:
    """Return the JSON of levels that a kernel has read: as they came."""
    return levels.json


def trade_row(recv_us: int, seq: int, run_id: str, trade: "Trade") -> str:
    """Return the line of a trade in the trades file."""
    event_ms = "" if trade.event_time is None else exchange_ms(trade.event_time)
    maker = "true" if trade.is_buyer_maker else "false"
    return (
        f"{event_ms},{recv_us // 1000},{seq},{run_id},{trade.trade_id},{exchange_ms(trade.trade_time)},"
        f"{trade.price},{trade.qty},{maker},{recv_us},{trade.first_id},{trade.last_id},{trade.source}\n"
    )


def _padded(levels: Levels, top_n: int) -> Levels:
    """Return exactly *top_n* levels."""
    if len(levels) == top_n:
        return levels
    return [*levels[:top_n], *[("", "")] * (top_n - len(levels))]
