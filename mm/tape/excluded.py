"""Spans excluded from a day's tape: the book ends at a span's start and is complete again at its end."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_S, iso
from mm.dayfolder.ledger import excused_trades, explained_ids, halts, is_hole
from mm.ids import ConsecutiveIds, IdRanges, IdSequence, missing_trades, went_back
from mm.tape._book import TapeReplay
from mm.tape.build import PER_EVENT, EventColumns, RecordedRows
from mm.tape.columns import DEPTH, GAP, SNAPSHOT, TRADE, EventName, Ints, bounds, windows
from mm.tape.doubts import MAX_STILL_S, MIN_STILL_TRADES, STANDING, silent_books
from mm.tape.files import FEW
from mm.tape.recorded import RecordedDay
from mm.tape.sync import PER_RUN


class Span(NamedTuple):
    """An excluded span (µs); None is the start or end of the day."""

    from_us: int | None
    to_us: int | None
    why: str

    def sentence(self, end_us: int) -> str:
        begin = "the start of the day" if self.from_us is None else iso(self.from_us)
        to_us = end_us if self.to_us is None else self.to_us
        lasting = "" if self.from_us is None else f" ({(to_us - self.from_us) / US_PER_S:,.1f} s)"
        return f"{self.why}: excluded from {begin} to {iso(to_us)}{lasting}"


class Losses(NamedTuple):
    """The losses of a damaged day; *lines* note losses without a span."""

    spans: Sequence[Span] = ()
    lines: Sequence[str] = ()


def sentences(spans: Sequence[Span], end_us: int) -> list[str]:
    lines = []
    for prefix in dict.fromkeys(span.why.partition(":")[0] for span in spans):
        group = [span for span in spans if span.why.partition(":")[0] == prefix]
        lines += [span.sentence(end_us) for span in group[:FEW]]
        if len(group) > FEW:
            rest = sum((end_us if to is None else to) - (begin or 0) for begin, to, _ in group[FEW:]) / US_PER_S
            lines.append(f"{prefix}: {len(group) - FEW:,} more spans excluded, {rest:,.1f} s in total")
    return lines


def trade_runs(events: EventColumns) -> Iterator[ConsecutiveIds]:
    trades = np.flatnonzero(events.kind == TRADE)
    if not len(trades):
        return
    ids, us = events.event_id[trades], events.event_us[trades]
    breaks = np.flatnonzero(ids[1:] != ids[:-1] + 1) + 1
    firsts, lasts = np.concatenate(([0], breaks)), np.concatenate((breaks, [len(ids)])) - 1
    columns = (ids[firsts], ids[lasts], us[firsts], us[lasts])
    yield from map(ConsecutiveIds, *(column.tolist() for column in columns))


def trade_spans(day: RecordedDay, events: EventColumns, last_us: int, *, as_received: bool) -> list[Span]:
    """Spans, until *last_us*, in which trades are missing, between their neighbours."""
    out = IdRanges((n, n) for n in day.trades.ids_out.tolist())
    declared = explained_ids(day.ledger, "trade_gap") | out
    excused = declared if as_received else excused_trades(day.ledger) | out
    missing = missing_trades(trade_runs(events), declared, excused, last_us)
    newest = events.event_id[events.kind == TRADE].max(initial=0)
    name, known = day.sources.trades.name, "are missing (trade_gap)"
    unknown = "are missing, and the ledger has no trade_gap for them"
    return [
        Span(
            ids.from_us,
            None if ids.first_id > newest else ids.to_us,
            f"{name}: trade ids {ids.first_id} to {ids.last_id} {known if declared.covers(*ids.ids) else unknown}",
        )
        for ids in missing
    ]


def halted_spans(day: RecordedDay, ranks: Mapping[str, int], events: EventColumns, keys: Ints) -> list[Span]:
    """Halts, each from its place among the *events*, which have *keys*: a report may be stamped before messages that
    were read, and acted on, before it.
    """
    name = day.sources.ledger.name
    key = {
        row.at.recv_us: ranks[row.at.run_id] * PER_RUN + row.at.seq
        for row in day.ledger
        if row.kind == "exchange_info" and row.at.run_id in ranks
    }

    def placed(us: int) -> int:
        at = int(np.searchsorted(keys, key[us])) if us in key else 0
        return max(us, int(events.event_us[at - 1])) if at else us

    said = f"{name}: the exchange reports the status"
    return [
        Span(placed(from_us), to_us and placed(to_us), f"{said} {status} (exchange_info)")
        for from_us, to_us, status in halts(day.ledger)
    ]


def standing_spans(day: RecordedDay, events: EventColumns, rows: RecordedRows, last_us: int) -> list[Span]:
    """Spans, until *last_us*, whose book is not the market's: trades print through it."""
    silent = list(silent_books(events.kind, events.event_us, last_us)) if len(events) else []
    if not silent:
        return []
    replay, _ = _replay(events, rows, np.array([event + 1 for event, _ in silent]))
    books, spans = dict(replay.frames), []
    for event, end_us in silent:
        if event not in books:
            continue  # it is crossed
        begin_us = int(events.event_us[event])
        first, stop = np.searchsorted(events.event_us, (begin_us + MAX_STILL_S * US_PER_S, end_us), "right")
        part = slice(int(first), int(stop))
        trades = (events.kind[part] == TRADE) & ~np.isin(events.recv_seq[part], day.trades.fetched)
        _, prices, _ = rows.ordered(events.start[part][trades], events.size[part][trades])
        side, ticks, _ = books[event]
        best_bid, best_ask = ticks[side > 0].max(initial=0), ticks[side < 0].min(initial=np.iinfo(np.int64).max)
        through = int(np.count_nonzero((prices < best_bid) | (prices > best_ask)))
        if through >= MIN_STILL_TRADES:
            why = f"{day.sources.book.name}: {STANDING} {through:,} trades print through it"
            spans.append(Span(begin_us, end_us if end_us < last_us else None, why))
    return spans


def trades_revealed(day: RecordedDay, events: EventColumns) -> list[tuple[int, int]]:
    """Return the spans from the trade before missing ones to the last news of them."""
    sequence, last_us = IdSequence(), 0
    fetched = frozenset(events.event_id[np.isin(events.recv_seq, day.trades.fetched)].tolist())
    holes: list[tuple[int, ...]] = []  # first and last id, and the instants around them
    news = [
        (row.details["from_id"], row.details["to_id"], row.at.recv_us)
        for row in day.ledger
        if row.kind == "trade_gap" and is_hole(row.details)
    ]
    for run in trade_runs(events):
        hole, known_id = sequence.missing_before(run.first_id), sequence.last_id
        late = known_id is not None and run.last_id <= known_id
        if late and (run.first_id in fetched or not went_back(known_id or 0, run.last_id)):
            news.append((run.first_id, run.last_id, run.to_us))
            continue
        sequence.take(run.first_id, run.last_id)
        if hole:
            holes.append((*hole, last_us, run.from_us))
        last_us = run.to_us
    last_id = sequence.last_id or 0
    holes += [(first, last, last_us, last_us) for first, last, _ in news if first > last_id]
    first, last, us = np.array(news, np.int64).reshape(-1, 3).T
    return [
        (from_us, int(us[(first <= last_id) & (last >= first_id)].max(initial=to_us)))
        for first_id, last_id, from_us, to_us in holes
    ]


def exclude(events: EventColumns, rows: RecordedRows, spans: Sequence[Span]) -> list[EventName]:
    """Remove the book in *spans*: a GAP starts each, a SNAPSHOT of the book ends it; trades stay.

    If the book is invalid at a span's end, it stays invalid until the next snapshot. Crossed books end first, in or out
    of *spans*; the events that left them crossed are returned.
    """
    merged = list(_joined(spans))
    firsts = np.searchsorted(events.event_us, [begin for begin, _ in merged], "right")
    stops = np.maximum(np.searchsorted(events.event_us, [end for _, end in merged], "left"), firsts)
    replay, kept = _replay(events, rows, np.concatenate((firsts, stops)))
    frames = dict(replay.frames)
    for first, stop in zip(firsts, stops, strict=True):
        kept[first:stop] = events.kind[first:stop] == TRADE
    of_book = np.flatnonzero((events.kind == SNAPSHOT) | (events.kind == DEPTH))
    made = []  # position, instant, kind, id, first row and number of rows
    for (begin, end), first, stop in zip(merged, firsts.tolist(), stops.tolist(), strict=True):
        if first - 1 in frames and (first < len(events) or begin < end):  # nothing follows a hole at the last instant
            made.append((first, begin, GAP, 0, 0, 0))
        book = frames.get(stop - 1)
        if book is not None and stop < len(events):
            last_id = int(events.event_id[of_book[np.searchsorted(of_book, stop) - 1]])
            made.append((stop, end, SNAPSHOT, last_id, rows.add_book(book), len(book[0])))
    at = np.cumsum(np.concatenate(([0], kept)))
    crossed = events.void(replay.crossed, kept)
    if made:
        places, *columns = zip(*made, strict=True)
        own: dict[str, Any] = dict(zip(("event_us", "kind", "event_id", "start", "size"), columns, strict=True))
        own |= {"recv_seq": -1, "event_exch_us": 0}
        events.change(lambda name, column: np.insert(column, at[list(places)], own[name]))
    return crossed


def place_fetched(events: EventColumns, rows: RecordedRows, fetched: Ints) -> set[tuple[int, int]]:
    """Move trades *fetched* by REST to their trade times, where there is no valid book."""
    if not len(fetched):
        return set()
    trades = events.kind == TRADE
    moved = trades & np.isin(events.recv_seq, fetched)
    others = np.flatnonzero(trades & ~moved)
    ids, rest = events.event_id[moved], {name: np.array(getattr(events, name)[moved]) for name in PER_EVENT}
    by_id = others[np.argsort(events.event_id[others], kind="stable")]
    stamps = np.concatenate((events.event_us[:1], events.event_us[by_id], events.event_us[-1:]))
    before = np.searchsorted(events.event_id[by_id], ids)
    earliest, latest = stamps[before], np.maximum(stamps[before], stamps[before + 1])
    known_us = np.maximum(latest, rest["event_us"])
    us = np.clip(rest["event_exch_us"], earliest, latest)
    events.change(lambda _, column: column[~moved])
    outside = np.flatnonzero(_places_without_book(events, us) < 0)
    if len(outside):
        exclude(events, rows, [Span(int(earliest[at]), int(latest[at]), "") for at in outside])
    places = _places_without_book(events, us)
    places[places < 0] = len(events)  # after the last instant of the day
    order = np.lexsort((ids, us, places))
    rest["event_us"] = us
    events.change(lambda name, column: np.insert(column, places[order], rest[name][order]))
    return set(zip(earliest.tolist(), known_us.tolist(), strict=True))


def _places_without_book(events: EventColumns, us: Ints) -> Ints:
    kind, stamps = events.kind, events.event_us
    books = np.flatnonzero(kind == SNAPSHOT)
    firsts = np.concatenate(([-1], np.flatnonzero(kind == GAP)))
    stops = np.append(books, len(events))[np.searchsorted(books, firsts)]
    begin_us = np.concatenate(([np.iinfo(np.int64).min], stamps[firsts[1:]]))
    end_us = np.append(stamps, np.iinfo(np.int64).max)[stops]
    within = np.searchsorted(begin_us, us, "right") - 1
    places: Ints = np.clip(np.searchsorted(stamps, us, "right"), firsts[within] + 1, stops[within])
    return np.where(us <= end_us[within], places, -1)


def _joined(spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for begin, end in sorted((begin or 0, 1 << 62 if to is None else to) for begin, to, _ in spans):
        if last is not None and begin <= last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = begin, end
    if last is not None:
        yield last


def _replay(events: EventColumns, rows: RecordedRows, places: Ints) -> tuple[TapeReplay, NDArray[np.bool_]]:
    requested, kept = np.zeros(len(events), np.uint8), np.ones(len(events), np.uint8)
    requested[places[places > 0] - 1] = 1
    replay = TapeReplay()
    for begin, stop in windows(bounds(events.size)):
        part, size = slice(begin, stop), events.size[begin:stop]
        ordered = rows.ordered(events.start[part], size)
        replay.play(events.kind[part], bounds(size), ordered, requested[part], kept[part])
    return replay, kept.astype(bool)
