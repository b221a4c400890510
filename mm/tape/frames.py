"""Polars frames of a tape: its trades, the changes of its book, its best prices, and the book at an instant.

Types of all frames: an instant is ``Datetime("us", "UTC")``; price and amount are floats in the quote asset, quantity
in the base asset, each nearest to the exact decimal; a category is an ``Enum``; missing values are null.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import iso
from mm.errors import UsageError
from mm.instrument import E8
from mm.tape.columns import DEPTH, GAP, KEYFRAME, KIND_NAMES, SNAPSHOT, TRADE

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from mm.tape.columns import Column, Ints, Rows
    from mm.tape.events import TapeEvents

SIDES = ("BUY", "SELL")
BOOK_KINDS = (SNAPSHOT, DEPTH, GAP)
PLACES = np.array([-1, 0, 1, -1, 2, 3])  # by kind: position among the book kinds
EXACT = 2**53
"""Integers up to this one are exact as floats, so that the quotient of two of them is rounded once."""


def floats(units: "Column", step: int = 1, per: int = E8) -> "NDArray[np.float64]":
    common = math.gcd(step, per)
    step, per = step // common, per // common
    limit = EXACT // step
    quotients: NDArray[np.float64] = np.asarray(units, np.float64) * step
    quotients /= per
    if len(units) and not -limit <= units.min() <= units.max() <= limit:
        far = np.flatnonzero((units > limit) | (units < -limit))
        quotients[far] = [
            int(unit) * step / per for unit in units[far].tolist()
        ]  # Python rounds such a quotient once, too
    return quotients


def instants(us: "Column") -> "pl.Series":
    import polars as pl

    known = pl.Series(us, dtype=pl.Int64)
    return known.set(known < 0, None).cast(pl.Datetime("us", "UTC"))


def words(names: Sequence[str], codes: "Column") -> "pl.Series":
    import polars as pl

    places = pl.Series(codes, dtype=pl.Int64)
    return pl.Series(names, dtype=pl.Enum(list(dict.fromkeys(names)))).gather(places.set(places < 0, None))


def sides(side: "Column") -> "pl.Series":
    return words(SIDES, np.where(side == 0, -1, side < 0))


def numbers(values: "Column", there: "NDArray[np.bool_]") -> "pl.Series":
    import polars as pl

    return pl.Series(values, dtype=pl.Int64).set(pl.Series(~there), None)


def frame(columns: "Mapping[str, Any]") -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(dict(columns), nan_to_null=True)


def trades_frame(tape: "TapeEvents") -> "pl.DataFrame":
    at = tape.trades[np.searchsorted(tape.trades, _first(tape)) :]
    row, happened = tape.first_row[at], tape.event_exch_us[at]
    return frame(
        {
            "time": instants(tape.event_us[at]),
            "exchange_time": instants(np.where(happened > 0, happened, -1)),
            "trade_id": tape.event_id[at],
            "side": sides(tape.row_side[row]),
            "price": _price(tape, tape.row_ticks[row]),
            "qty": _qty(tape, tape.row_lots[row]),
        }
    )


def depth_frame(tape: "TapeEvents") -> "pl.DataFrame":
    first = _first(tape)
    book = _rows(tape, first + int(first < len(tape) and tape.kind[first] == KEYFRAME))
    event = np.flatnonzero(np.isin(tape.kind[first:], BOOK_KINDS)) + first
    begins = tape.first_row[event]
    size = tape.first_row[event + 1] - begins
    empty = (size == 0) & (tape.kind[event] != DEPTH)  # a gap, a book without levels: one row without a level
    size = np.maximum(size, empty)
    ends = np.cumsum(size)
    of = np.repeat(event, size)  # the event of each row
    present = ~np.repeat(empty, size)
    row = (np.arange(len(of)) + np.repeat(begins - ends + size, size))[present]
    side, ticks, lots = np.zeros(len(of), np.int8), np.zeros(len(of), np.int64), np.full(len(of), -1)
    side[present], ticks[present], lots[present] = tape.row_side[row], tape.row_ticks[row], tape.row_lots[row]
    begun = np.full(len(book[0]), tape.start_us)
    none = np.full(len(book[0]), -1)
    side, ticks, lots = (np.concatenate([book[0], side]), np.concatenate([book[1], ticks]), np.append(book[2], lots))
    update = np.append(none, np.where(tape.kind[of] == GAP, -1, tape.event_id[of]))
    number = np.append(none, of)
    kind = np.append(np.full(len(book[0]), KEYFRAME), tape.kind[of])
    return frame(
        {
            "time": instants(np.append(begun, tape.event_us[of])),
            "exchange_time": instants(
                np.append(none, np.where(tape.event_exch_us[of] > 0, tape.event_exch_us[of], -1))
            ),
            "event": numbers(number, number >= 0),
            "kind": words([KIND_NAMES[code] for code in (*BOOK_KINDS, KEYFRAME)], PLACES[kind]),
            "update_id": numbers(update, update >= 0),
            "side": sides(side),
            "price": _price(tape, ticks),
            "qty": np.where(lots < 0, np.nan, _qty(tape, lots)),
        }
    )


def best_prices_frame(tape: "TapeEvents") -> "pl.DataFrame":
    begin = int(np.searchsorted(tape.top_event, _first(tape)))
    us = tape.event_us[tape.top_event]
    if begin > 0 and (begin == len(us) or us[begin] > tape.start_us):
        begin -= 1  # the best prices at the start of the window
    bid, ask = tape.top_bid_ticks[begin:], tape.top_ask_ticks[begin:]
    both = (bid > 0) & (ask > 0)
    return frame(
        {
            "time": instants(np.maximum(us[begin:], tape.start_us)),
            "bid_price": _price(tape, bid),
            "bid_qty": np.where(bid > 0, _qty(tape, tape.top_bid_lots[begin:]), np.nan),
            "ask_price": _price(tape, ask),
            "ask_qty": np.where(ask > 0, _qty(tape, tape.top_ask_lots[begin:]), np.nan),
            "mid": np.where(both, floats(bid + ask, tape.instrument.tick_e8, 2 * E8), np.nan),
            "spread": np.where(both, floats(ask - bid, tape.instrument.tick_e8), np.nan),
        }
    )


def book_at(tape: "TapeEvents", us: int, levels: int | None) -> "pl.DataFrame":
    if not tape.start_us <= us <= tape.end_us:
        raise UsageError(
            f"{iso(us)} is outside the tape, which covers {iso(tape.start_us)} to {iso(tape.end_us)}; "
            f"give an instant within it"
        )
    if levels is not None and levels < 1:
        raise UsageError(f"levels is {levels}; give at least 1, or None for the whole book")
    side, ticks, lots = _rows(tape, int(np.searchsorted(tape.event_us, us, side="right")))
    bids, asks = np.flatnonzero(side > 0)[:levels], np.flatnonzero(side < 0)[:levels]
    depth = max(len(bids), len(asks))
    columns: dict[str, Any] = {"level": np.arange(1, depth + 1)}
    for name, at in (("bid", bids), ("ask", asks)):
        room = (0, depth - len(at))
        columns[f"{name}_price"] = np.pad(_price(tape, ticks[at]), room, constant_values=np.nan)
        columns[f"{name}_qty"] = np.pad(_qty(tape, lots[at]), room, constant_values=np.nan)
    return frame(columns)


def _first(tape: "TapeEvents") -> int:
    return int(np.searchsorted(tape.event_us, tape.start_us))


def _rows(tape: "TapeEvents", stop: int) -> "Rows":
    kind = tape.kind[:stop]
    turns = np.flatnonzero((kind == SNAPSHOT) | (kind == KEYFRAME) | (kind == GAP))
    begin = int(turns[-1]) if len(turns) and kind[turns[-1]] != GAP else stop
    first, last = int(tape.first_row[begin]), int(tape.first_row[stop])
    of_book = np.ones(last - first, bool)
    of_book[tape.first_row[begin:stop][kind[begin:] == TRADE] - first] = False
    rows = slice(first, last)
    side, ticks, lots = tape.row_side[rows][of_book], tape.row_ticks[rows][of_book], tape.row_lots[rows][of_book]
    side, ticks, lots = side[::-1], ticks[::-1], lots[::-1]
    _, latest = np.unique(-side * ticks, return_index=True)  # the last row of each level; bids are negative: best first
    latest = latest[lots[latest] > 0]
    return side[latest], ticks[latest], lots[latest]


def _price(tape: "TapeEvents", ticks: "Ints") -> "NDArray[np.float64]":
    return np.where(ticks == 0, np.nan, floats(ticks, tape.instrument.tick_e8))


def _qty(tape: "TapeEvents", lots: "Ints") -> "NDArray[np.float64]":
    return floats(lots, tape.instrument.lot_e8)
