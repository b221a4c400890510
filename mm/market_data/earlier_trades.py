"""What earlier runs of a day left of trades: the last one of the stream, and the holes that REST did not fill."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

FROM_REST = b",rest"
_Hole = tuple[int, int, int, int]
_Rows = Iterable[Mapping[str, str]]


def last_streamed_id(rows: _Rows) -> int | None:
    """Return the id of the last trade that is not from REST: rows from REST stand where they arrived."""
    last = None
    for row in rows:
        if row["source"] != "rest":
            last = int(row["trade_id"])
    return last


def open_holes(events: _Rows, last_id: int | None, first_id: int | None = None) -> tuple[_Hole, ...]:
    """Return the holes of a ledger that are not filled: first and last id, received between which instants.

    Those behind *last_id*, the last trade of the stream, were told before a crash took the rows behind them: they are
    part of the hole that the next trade will show, and once it is told, of that one alone. Where a crash took the rows
    on both sides of a hole, so that it does not reach up to *first_id*, the day's first trade, it is no part of the
    day: filled, it would leave a hole behind it that nobody tells of.
    """
    holes: list[_Hole] = []
    least = 0 if first_id is None else first_id - 1
    for event in events:
        if event["type"] not in ("trade_gap", "backfill"):
            continue
        details = msgspec.json.decode(event["details_json"])
        first, last = details["from_id"], details["to_id"]
        filled = event["type"] == "backfill"
        if filled or (last_id is not None and first <= last < last_id and last >= least):
            holes = [left for hole in holes for left in _without(hole, first, last)]
            holes += [] if filled else [(first, last, details["from_us"], details["to_us"])]
    return tuple(sorted(holes))


def still_open(holes: Sequence[_Hole], rows: _Rows, *, aggregates: bool) -> tuple[_Hole, ...]:
    """Return what is left of *holes* without the rows from REST among those of the trades file.

    A run that was killed may not have told of the last of them. *aggregates* tells whether the ids of the holes are
    those of aggregates.
    """
    left = list(holes)
    for first, last in _from_rest(rows, aggregates) if holes else ():
        left = [part for hole in left for part in _without(hole, first, last)]
    return tuple(left)


def _from_rest(rows: _Rows, aggregates: bool) -> list[tuple[int, int]]:
    """Return the ids of all rows from REST, in order, as few stretches as they make."""
    names = ("trade_id", "trade_id") if aggregates else ("first_trade_id", "last_trade_id")
    spans: list[tuple[int, int]] = []
    fetched = (row for row in rows if row["source"] == "rest")
    for first, last in sorted((int(row[names[0]]), int(row[names[1]])) for row in fetched):
        if spans and spans[-1][1] + 1 == first:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


def _without(hole: _Hole, first: int, last: int) -> list[_Hole]:
    """Return what is left of *hole* without the ids *first* to *last*."""
    begin, end, *when = hole
    parts = ((begin, min(end, first - 1)), (max(begin, last + 1), end))
    return [(low, high, when[0], when[1]) for low, high in parts if low <= high]
