"""What earlier runs of a day left of trades: the last one of the stream, and the holes that REST did not fill."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from mm.ids import IdRanges, MissingIds

FROM_REST = b",rest"
_Rows = Iterable[Mapping[str, str]]


def last_streamed_id(rows: _Rows) -> int | None:
    """Return the id of the last trade that is not from REST: rows from REST stand where they arrived."""
    last = None
    for row in rows:
        if row["source"] != "rest":
            last = int(row["trade_id"])
    return last


def open_holes(events: _Rows, last_id: int | None, first_id: int | None = None) -> tuple[MissingIds, ...]:
    """Return the missing trades that a ledger declares and that were not filled.

    Those behind *last_id*, the last trade of the stream, were told before a crash took the rows behind them: they are
    part of the hole that the next trade will show, and once it is told, of that one alone. Where a crash took the rows
    on both sides of a hole, so that it does not reach up to *first_id*, the day's first trade, it is no part of the
    day: filled, it would leave a hole behind it that nobody tells of.
    """
    holes: list[MissingIds] = []
    least = 0 if first_id is None else first_id - 1
    for event in events:
        if event["type"] not in ("trade_gap", "backfill"):
            continue
        details = msgspec.json.decode(event["details_json"])
        first, last = details["from_id"], details["to_id"]
        filled = event["type"] == "backfill"
        if filled or (last_id is not None and first <= last < last_id and last >= least):
            came = IdRanges([(first, last)])
            holes = [left for hole in holes for left in hole.without(came)]
            holes += [] if filled else [MissingIds(first, last, details["from_us"], details["to_us"])]
    return tuple(sorted(holes))


def still_open(holes: Sequence[MissingIds], rows: _Rows, *, aggregates: bool) -> tuple[MissingIds, ...]:
    """Return what is left of *holes* without the rows from REST among those of the trades file.

    A run that was killed may not have told of the last of them. *aggregates* tells whether the ids of the holes are
    those of aggregates.
    """
    came = _from_rest(rows, aggregates) if holes else IdRanges()
    return tuple(left for hole in holes for left in hole.without(came))


def _from_rest(rows: _Rows, aggregates: bool) -> IdRanges:
    """Return the ids of all rows from REST."""
    first, last = ("trade_id", "trade_id") if aggregates else ("first_trade_id", "last_trade_id")
    return IdRanges((int(row[first]), int(row[last])) for row in rows if row["source"] == "rest")
