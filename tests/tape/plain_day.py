"""A plain reader of recorded days: standard library only, one message after the other."""

import csv
import gzip
import json
from dataclasses import dataclass, field
from fractions import Fraction

from mm.markets.sequence import SyncEngine, Verdict


@dataclass
class PlainBook:
    """A book of two dictionaries, ticks to lots."""

    bids: dict = field(default_factory=dict)
    asks: dict = field(default_factory=dict)

    def apply(self, rows):
        for side, ticks, lots in rows:
            levels = self.bids if side > 0 else self.asks
            levels.pop(ticks, None)
            if lots:
                levels[ticks] = lots

    def top(self):
        bid, ask = max(self.bids, default=0), min(self.asks, default=0)
        return bid, ask, self.bids.get(bid, 0), self.asks.get(ask, 0)

    def crossed(self):
        return bool(self.bids and self.asks) and max(self.bids) >= min(self.asks)


def text_of(path):
    """Return the text of *path*, or of its compressed or plain variant; empty if none exists."""
    for candidate in (path, path.with_name(path.name + ".gz"), path.with_suffix("")):
        if candidate.is_file():
            data = candidate.read_bytes()
            return (gzip.decompress(data) if candidate.suffix == ".gz" else data).decode()
    return ""


def table(path):
    """Return the rows of a CSV file as dictionaries."""
    return list(csv.DictReader(text_of(path).splitlines()))


def messages(folder):
    """Return (run, recv_seq, source, row) of all recorded rows, in order."""
    ledger = table(folder.events)
    found = [(row["run_id"], int(row["recv_seq"]), "ledger", row) for row in ledger]
    diffs = [json.loads(line) for line in text_of(folder.diffs).splitlines()]
    found += [(row["run_id"], row["recv_seq"], "diff", row) for row in diffs]
    found += [(row["run_id"], int(row["recv_seq"]), "trade", row) for row in table(folder.trades)]
    runs = list(dict.fromkeys(row["run_id"] for row in ledger))
    return sorted(found, key=lambda message: (runs.index(message[0]), message[1]))


def ticks(text, instrument):
    whole = Fraction(text) * 10**8 / instrument.tick_e8
    assert whole.denominator == 1
    return int(whole)


def lots(text, instrument):
    whole = Fraction(text) * 10**8 / instrument.lot_e8
    assert whole.denominator == 1
    return int(whole)


def plain_events(folder, instrument):
    """Return (us, exch_us, seq, id, kind, rows) of every event of the day's tape, without keyframes."""
    events, engine, run, seen_trades, book = [], SyncEngine(), None, set(), None
    now, last = 0, (0, 0)  # *last*: number of events after the last depth message or snapshot, and the instant then

    def emit(us, exch_us, seq, event_id, kind, rows):
        nonlocal now
        now = max(now, us)
        events.append((now, exch_us, seq, event_id, kind, rows))

    def change(us, exch_us, seq, event_id, kind, rows):
        nonlocal book, now
        now = max(now, us)
        if kind == "snapshot":
            book = PlainBook()
        if book is None:
            return
        book.apply(rows)
        if book.crossed():
            book = None
            emit(us, 0, seq, 0, "gap", [])
        else:
            emit(us, exch_us, seq, event_id, kind, rows)

    def invalidate(us, seq):
        nonlocal book, now
        now = max(now, us)
        if book is not None:
            emit(us, 0, seq, 0, "gap", [])
        book = None

    def end_after_last():
        nonlocal book, now
        place, us = last
        now = max(now, us)
        if book is not None:
            events.insert(place, (us, 0, -1, 0, "gap", []))
        events[place:] = [(max(us, event[0]), *event[1:]) for event in events[place:]]
        book = None

    for run_id, seq, source, row in messages(folder):
        us = int(row.get("recv_us") or row.get("recv_time_us"))
        if run_id != run:
            if run is not None and engine.synced:
                invalidate(-1, -1)
            engine, run = SyncEngine(), run_id
        if source == "trade":
            if row["trade_id"] not in seen_trades:
                seen_trades.add(row["trade_id"])
                side = -1 if row["is_buyer_maker"] == "true" else 1
                rows = [(side, ticks(row["price"], instrument), lots(row["qty"], instrument))]
                emit(us, int(row["trade_time_ms"]) * 1000, seq, int(row["trade_id"]), "trade", rows)
        elif source == "diff":
            synced = engine.synced
            verdict = engine.diff(row["U"], row["u"], (row, seq))
            if verdict is Verdict.APPLY:
                change(us, row["E"] * 1000, seq, row["u"], "depth", diff_rows(row, instrument))
            elif synced and not engine.synced:
                end_after_last()
            last = len(events), max(us, now)
        elif row["type"] == "snapshot_loaded":
            bridge, snapshot_id, levels = load(folder, row, engine, instrument)
            if bridge.verdict in (Verdict.APPLY, Verdict.RESET):
                change(us, 0, seq, snapshot_id, "snapshot", levels)
                for update, update_seq in bridge.updates:
                    change(us, update["E"] * 1000, update_seq, update["u"], "depth", diff_rows(update, instrument))
                last = len(events), now
        elif row["type"] in ("gap", "resync_start") and engine.synced:
            end_after_last() if row["type"] == "gap" else invalidate(us, seq)
            engine.lose()
    return events


def without_missing_trades(events):
    """Return *events* without the times between trades whose id gap is not filled later.

    A gap follows the last event of the first instant of such a time, and a whole book precedes the next event after
    it, also where both instants are one. For ledgers without a trade_gap.
    """
    trade_ids, spans, last, last_us = {event[3] for event in events if event[4] == "trade"}, [], None, 0
    for us, _, _, trade_id, kind, _ in events:
        if kind == "trade" and (last is None or trade_id > last):
            if last is not None and not set(range(last + 1, trade_id)) <= trade_ids:
                spans.append((last_us, us))
            last, last_us = trade_id, us
    return without_books(events, spans)


def without_books(events, spans):
    """Return *events* with a gap after the first instant of each span, and a whole book before the events after it."""
    merged = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    spans, result, book, book_id = merged, [], None, 0
    for number, event in enumerate(events):
        us, _, _, event_id, kind, rows = event
        for begin, end in spans:
            first = us > begin and (number == 0 or events[number - 1][0] <= begin)
            resumed = first if begin == end else us >= end and (number == 0 or events[number - 1][0] < end)
            if first and book is not None:
                result.append((begin, 0, -1, 0, "gap", []))
            if resumed and book is not None:
                levels = [(1, *level) for level in sorted(book.bids.items(), reverse=True)]
                levels += [(-1, *level) for level in sorted(book.asks.items())]
                result.append((end, 0, -1, book_id, "snapshot", levels))
        if kind == "gap":
            book = None
        elif kind != "trade":
            book, book_id = PlainBook() if kind == "snapshot" else book, event_id
            book.apply(rows)
        if kind == "trade" or not any(begin < us < end for begin, end in spans):
            result.append(event)
    for begin, end in spans:  # without an event after its begin
        if events[-1][0] <= begin < end and book is not None:
            result.append((begin, 0, -1, 0, "gap", []))
    return result


def with_fetched_placed(events, folder):
    """Return *events* with the trades fetched by REST at their own times, where there is no book.

    A time is limited to that between the neighbours by id. If there is a book then, the time between them has none.
    """
    rest = {int(row["recv_seq"]) for row in table(folder.trades) if row["source"] == "rest"}
    fetched = [event for event in events if event[4] == "trade" and event[2] in rest]
    others = [event for event in events if event not in fetched]
    known = sorted((event[3], event[0]) for event in others if event[4] == "trade")
    moved = []  # each fetched trade with the instants of its neighbours
    for trade in fetched:
        begin = max((pair for pair in known if pair[0] < trade[3]), default=(0, events[0][0]))[1]
        end = max(begin, min((pair for pair in known if pair[0] > trade[3]), default=(0, events[-1][0]))[1])
        moved.append((begin, end, (min(max(trade[1], begin), end), *trade[1:])))
    spans = [(begin, end) for begin, end, trade in moved if place_without_book(others, trade[0]) is None]
    others = without_books(others, spans) if spans else others
    placed = []
    for _, _, trade in moved:
        place = place_without_book(others, trade[0])
        placed.append((len(others) if place is None else place, trade[0], trade[3], trade))
    for place, _, _, trade in sorted(placed, reverse=True):
        others.insert(place, trade)
    return others


def place_without_book(events, us):
    """Return where an event of an instant belongs in the last time without a book that begins until then, if any."""
    begins = [0, *(place + 1 for place, event in enumerate(events) if event[4] == "gap" and event[0] <= us)]
    end = next((place for place in range(begins[-1], len(events)) if events[place][4] == "snapshot"), len(events))
    if end < len(events) and events[end][0] < us:
        return None
    return min(max(sum(event[0] <= us for event in events), begins[-1]), end)


def load(folder, row, engine, instrument):
    """Return the engine's result for a snapshot of the ledger, its id and its rows."""
    details = json.loads(row["details_json"])
    sides = {"bid": 1, "ask": -1}
    levels = table(folder.path / details["path"])
    rows = [
        (sides[level["side"]], ticks(level["price"], instrument), lots(level["qty"], instrument)) for level in levels
    ]
    return engine.snapshot(details["last_update_id"]), details["last_update_id"], rows


def diff_rows(row, instrument):
    """Return the rows of a depth message in the order of its text."""
    sides = {"b": 1, "a": -1}
    return [
        (sides[key], ticks(price, instrument), lots(qty, instrument))
        for key in row
        if key in sides
        for price, qty in row[key]
    ]


def plain_tops(events):
    """Return (event, bid, ask, bid lots, ask lots) at every change."""
    book, tops = PlainBook(), []
    for number, (_, _, _, _, kind, rows) in enumerate(events):
        if kind in ("gap", "snapshot"):
            book = PlainBook()
        if kind in ("depth", "snapshot"):
            book.apply(rows)
        if kind != "trade" and (not tops or tops[-1][1:] != book.top()):
            tops.append((number, *book.top()))
    return tops
