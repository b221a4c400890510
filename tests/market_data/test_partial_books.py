"""Streams of the best 5, 10 or 20 levels, of either market: whole books, left out beside changes, or refused."""

import random

import pytest

from captured import NOON_US, SYMBOL, exchange_info, folder, imported, lines, snapshot, trade, write
from day_files import defects_of
from mm import load_day
from mm.errors import BrokenFile
from support import run_mm

N, STEP_US = 120, 100_000


def rows(side, levels=None):
    return [[f"{price / 10:.1f}", f"{qty}.0"] for price, qty in list(side.items())[:levels]]


def told(old, new):
    """Return the changes between two sides."""
    return [
        [f"{price / 10:.1f}", f"{new.get(price, 0)}.0"] for price in {**old, **new} if old.get(price) != new.get(price)
    ]


class Market:
    """A market whose best prices move, as messages of partial books and of changes."""

    def __init__(self, venue, levels):
        self.venue, self.levels = venue, levels
        draw, bid, ask = random.Random(levels), 1000, 1001
        self.books, self.best = [], []
        for _ in range(N):
            bid += draw.choice((-2, -1, 0, 0, 1, 2))
            ask = bid + draw.choice((1, 2, 3))
            self.books.append([{bid - n: 5 + bid % 7 for n in range(40)}, {ask + n: 5 + ask % 5 for n in range(40)}])
            self.best.append((bid / 10, ask / 10))

    def rest(self):
        bids, asks = self.books[0]
        return snapshot(999, rows(bids), rows(asks)) | ({"E": NOON_US // 1000, "T": 1} if self.venue == "usdm" else {})

    def update(self, at, bids, asks):
        ms = (NOON_US + at * STEP_US) // 1000
        ids = {"U": 1000 + 10 * at, "u": 1009 + 10 * at} | (
            {"pu": 999 + 10 * at, "T": ms} if self.venue == "usdm" else {}
        )
        return {"e": "depthUpdate", "E": ms, "s": SYMBOL, "b": bids, "a": asks} | ids

    def partial(self):
        for at, (bids, asks) in enumerate(self.books):
            sides = rows(bids, self.levels), rows(asks, self.levels)
            yield self.update(at, *sides) if self.venue == "usdm" else snapshot(1009 + 10 * at, *sides)

    def changes(self):
        before = self.books[0]
        for at, now in enumerate(self.books):
            yield self.update(at, *(told(old, new) for old, new in zip(before, now, strict=True)))
            before = now

    def named(self, kind, messages):
        return [{"stream": f"{SYMBOL.lower()}@{kind}@100ms", "data": message} for message in messages]

    def prints(self):
        printed = trade(1)
        if self.venue == "usdm":
            printed["data"] |= {"X": "MARKET"}
        return printed


def address(venue, *streams):
    host = "wss://fstream.binance.com/public" if venue == "usdm" else "wss://stream.binance.com:9443"
    return f"{host}/ws/{'/'.join(f'{SYMBOL.lower()}@{one}@100ms' for one in streams)} <-> {NOON_US - 500}\n".encode()


def assert_best(tmp_path, market):
    """Assert that every book of the day has the best prices of the market at its time."""
    day = folder(tmp_path)
    assert defects_of(day) == []
    frame = load_day(day).best_prices_frame()
    found = dict(zip(frame["time"].dt.epoch("us"), frame.select("bid_price", "ask_price").rows(), strict=True))
    times = sorted(found)
    assert len(times) > N // 2
    seen = [found[max(us for us in times if us <= at)] for at in times]
    assert set(seen) - {(None, None)} <= {seen[0]} | set(market.best)
    assert seen[-1] == market.best[-1]


@pytest.mark.parametrize("venue", ["spot", "usdm"])
@pytest.mark.parametrize("levels", [5, 10, 20])
@pytest.mark.parametrize("form", ["combined", "bare", "connection"])
@pytest.mark.parametrize("rest", ["first", "none", "between"])
def test_partial_books_are_used_as_whole_books(tmp_path, venue, levels, form, rest):
    """However they are named, and with a snapshot by REST or without, no level stays that has left the top."""
    market = Market(venue, levels)
    messages = list(market.partial())
    if form == "combined":
        messages = market.named(f"depth{levels}", messages)
    if rest != "none":
        messages.insert(0 if rest == "first" else 50, market.rest())
    head = [address(venue, f"depth{levels}")] if form == "connection" else []
    report = imported(tmp_path, [*head, *messages, market.prints()])
    assert (report.days[0].book.diffs, report.days[0].book.gaps) == (N, 0)
    assert f"whole books of the best {levels} levels (depth{levels})" in report.read_as[0]
    assert_best(tmp_path, market)


@pytest.mark.parametrize("venue", ["spot", "usdm"])
def test_changes_of_many_levels_stay_changes(tmp_path, venue):
    market = Market(venue, 20)
    report = imported(tmp_path, [market.rest(), *market.changes(), market.prints()])
    assert report.read_as == []
    assert_best(tmp_path, market)


@pytest.mark.parametrize("venue", ["spot", "usdm"])
@pytest.mark.parametrize("form", ["combined", "bare", "connection"])
def test_both_streams_are_told_apart_or_refused(tmp_path, venue, form):
    """Beside changes, partial books are left out and counted; of one form without names, they are refused."""
    market = Market(venue, 20)
    changes, partial = list(market.changes()), list(market.partial())
    if form == "combined":
        changes, partial = market.named("depth", changes), market.named("depth20", partial)
    head = [address(venue, "depth", "depth20")] if form == "connection" else []
    both = [message for pair in zip(partial, changes, strict=True) for message in pair]
    messages = [*head, market.rest(), *both, market.prints()]
    if venue == "usdm" and form != "combined":
        with pytest.raises(BrokenFile, match="cannot be told apart"):
            imported(tmp_path, messages)
        return
    report = imported(tmp_path, messages)
    assert report.days[0].book.diffs == N
    assert any(f"{N} messages of a depthN stream" in warning for warning in report.warnings)
    assert_best(tmp_path, market)


def test_reconnect_between_partial_books_ends_the_epoch(tmp_path):
    """What happened in between is unknown."""
    market = Market("usdm", 5)
    partial = list(market.partial())
    first = write(tmp_path / "a", [address("usdm", "depth5"), *partial[:60]])
    late_us = NOON_US + 20_000_000
    second = address("usdm", "depth5").replace(str(NOON_US - 500).encode(), str(late_us - 500).encode())
    report = imported(tmp_path, first, write(tmp_path / "b", second + lines(partial[60:], from_us=late_us)))
    assert report.days[0].book.epochs == 2
    assert_best(tmp_path, market)


def test_capture_whose_book_never_changes_exits_with_3(tmp_path):
    """One snapshot and a hundred messages of other kinds are no market."""
    others = [{"stream": "simusdt@kline_1m", "data": {"e": "kline", "s": SYMBOL}}] * 100
    path = write(tmp_path / "c.txt", [exchange_info(SYMBOL), snapshot(10), trade(1), *others])
    ended = run_mm("data", "import", str(path), "--symbol", SYMBOL, "--data-root", "data", cwd=tmp_path)
    assert (ended.returncode, "the book stands still" in ended.stderr) == (3, True)
