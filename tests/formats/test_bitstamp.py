"""Order-by-order captures of Bitstamp: the day, its order log, and rejected options."""

import csv
import gzip
import json
import random

import pytest

from captured import import_files
from day_files import defects_of
from log_book import Book, read_log
from mm import DayFolder
from mm.errors import BrokenFile
from mm.formats.bitstamp import _Events
from mm.sim.matching.order_log import ROW_TRADE

MS = 1_430_438_400_000  # 2015-05-01 00:00 UTC
BIDS, ASKS = [["99.90", "3.0"], ["99.80", "5.0"]], [["100.10", "2.0"], ["100.20", "4.0"]]
FIRST = (0, "order_book", {"bids": BIDS, "asks": ASKS})


def order(kind, number, side, price, amount, ms):
    body = {"price": price, "amount": amount, "datetime": "1430438404", "id": number, "order_type": int(side < 0)}
    return ms, f"order_{kind}", body


def trade(number, price, amount, ms):
    return ms, "trade", {"price": price, "amount": amount, "id": number}


def text_of(*messages):
    return "".join(f"{MS + ms} {kind} {json.dumps(body)}\n" for ms, kind, body in messages)


def import_text(tmp_path, text, **options):
    capture = tmp_path / "capture.log"
    capture.write_text(text)
    return import_bitstamp(capture, tmp_path / "data", **options)


def import_bitstamp(capture, root, **options):
    return import_files([capture], root, "BTCUSD", form="bitstamp", tick_size="0.01", qty_step="0.00000001", **options)


def rows_of(path, *columns):
    with path.open(newline="") as file:
        return [tuple(row[column] for column in columns) for row in csv.DictReader(file)]


def best(folder):
    return rows_of(folder.frames, "bid1_price", "bid1_qty", "ask1_price", "ask1_qty")


SWEEP = (
    FIRST,
    order("created", 11, 1, "99.90", "1.5", 4000),  # queued behind the 3.0 of unknown orders
    order("created", 12, -1, "99.90", "4.0", 5000),  # would trade at once: not in the book as long as it is marketable
    order("changed", 12, -1, "99.90", "1.0", 5001),
    trade(700, 99.9, 3.0, 5010),  # fills the unknown 3.0; the venue sends a float
    order("deleted", 11, 1, "99.90", "0.5", 5020),  # cancels what the next trade leaves
    order("changed", 12, -1, "99.90", "0.0", 5021),
    trade(702, 99.9, 1.0, 5030),
)


def test_orders_and_trades_become_a_day_and_its_order_log(tmp_path):
    report = import_text(tmp_path, text_of(*SWEEP))
    folder = DayFolder(tmp_path / "data", "BTCUSD", "20150501")
    assert not defects_of(folder)
    assert report.days[0].synced
    assert rows_of(folder.trades, "trade_id", "price", "qty", "is_buyer_maker", "recv_time_ms") == [
        ("700", "99.90000000", "3.00000000", "true", str(MS + 5010)),
        ("702", "99.90000000", "1.00000000", "true", str(MS + 5030)),
    ]
    assert best(folder) == [
        ("99.90000000", "4.50000000", "100.10000000", "2.00000000"),
        ("99.90000000", "1.50000000", "100.10000000", "2.00000000"),
        ("99.80000000", "5.00000000", "100.10000000", "2.00000000"),
    ]
    book, log = Book(), list(read_log(folder.order_log))
    book.play(log)  # raises if the log does not add up
    assert [row[1:8] for row in log if row[1] == ROW_TRADE] == [
        (ROW_TRADE, 6, 1, 0, -1, 9990, 300_000_000),
        (ROW_TRADE, 6, 5, 0, -1, 9990, 100_000_000),
    ]
    assert book.depth(1) == [(9980, 500_000_000)]


def test_venue_book_corrects_levels_not_changed_recently(tmp_path):
    stale = {"bids": [["99.90", "1.0"], ["99.80", "6.0"]], "asks": [["100.20", "4.0"]]}
    import_text(tmp_path, text_of(FIRST, order("created", 11, 1, "99.80", "1.0", 4000), (5000, "order_book", stale)))
    folder = DayFolder(tmp_path / "data", "BTCUSD", "20150501")
    # 99.80 changed a second before: the venue's figure may be older than that.
    assert best(folder)[-1] == ("99.90000000", "1.00000000", "100.20000000", "4.00000000")
    book = Book()
    book.play(read_log(folder.order_log))
    assert book.depth(1) == [(9990, 100_000_000), (9980, 600_000_000)]


def test_day_begins_with_the_resting_orders(tmp_path):
    night = 22 * 3_600_000  # midnight in Berlin
    text = text_of(FIRST, order("created", 11, 1, "99.80", "1.0", 4000), (night + 5000, *FIRST[1:]))
    import_text(tmp_path, text)
    days = [DayFolder(tmp_path / "data", "BTCUSD", day) for day in ("20150501", "20150502")]
    assert all(not defects_of(folder) for folder in days)
    books = [Book(), Book()]
    for book, folder in zip(books, days, strict=True):
        book.play(read_log(folder.order_log))
    # The lot missing from the venue's book is taken from the order of unknown id; all orders keep their numbers.
    sizes = [{number: lots for number, _, _, lots in book.orders(1)} for book in books]
    assert sizes[0] == {1: 300_000_000, 2: 500_000_000, 5: 100_000_000}
    assert sizes[1] == {**sizes[0], 2: 400_000_000}
    assert books[1].depth(-1) == books[0].depth(-1)


def test_two_imports_of_a_packed_capture_write_the_same_bytes(tmp_path):
    packed = tmp_path / "capture.log.gz"
    packed.write_bytes(gzip.compress(text_of(*SWEEP).encode()))
    folders = []
    for root in ("a", "b"):
        import_bitstamp(packed, tmp_path / root)
        folders.append(DayFolder(tmp_path / root, "BTCUSD", "20150501"))
    assert folders[0].order_log.read_bytes() == folders[1].order_log.read_bytes()
    assert folders[0].manifest.read_bytes() == folders[1].manifest.read_bytes()


def day_of(tmp_path):
    return DayFolder(tmp_path / "data", "BTCUSD", "20150501")


QUIET = (
    order("created", 1, 1, "99.90", "3.0", 0),
    order("created", 2, -1, "100.10", "2.0", 100),
    order("created", 3, 1, "99.90", "1.0", 200),
)


def test_capture_without_the_book_of_the_venue_has_the_book_of_its_orders(tmp_path):
    """An order whose deletion is missing does not stay for ever in the way of one that meets it."""
    crossing = order("created", 4, -1, "99.90", "5.0", 1000)  # nothing of 4.0 bought there prints
    later = order("created", 5, 1, "99.70", "1.0", 5000)
    report = import_text(tmp_path, text_of(*QUIET, crossing, later))
    assert not defects_of(day_of(tmp_path))
    assert best(day_of(tmp_path)) == [
        ("99.90000000", "3.00000000", "100.10000000", "2.00000000"),
        ("99.90000000", "4.00000000", "100.10000000", "2.00000000"),
        ("99.70000000", "1.00000000", "99.90000000", "5.00000000"),
    ]
    assert any("2 orders were removed" in warning for warning in report.warnings)


def test_orders_alone_imply_their_trades(tmp_path):
    """orders.csv of ob-analytics, with either header: two orders reduced by the same quantity have traded."""
    rows = [
        (1, 0, "99.90", "3.0", "created", "bid"),
        (2, 100, "100.10", "2.0", "created", "ask"),
        (3, 200, "99.90", "1.0", "created", "bid"),
        (4, 1000, "99.90", "3.5", "created", "ask"),
        (1, 1010, "99.90", "0.0", "deleted", "bid"),
        (4, 1020, "99.90", "0.5", "changed", "ask"),
        (3, 1030, "99.90", "0.5", "changed", "bid"),
        (4, 1040, "99.90", "0.0", "deleted", "ask"),
    ]
    lines = [f"{n},{MS + ms},{MS},{price},{qty},{action},{side}" for n, ms, price, qty, action, side in rows]
    capture = tmp_path / "orders.csv"
    capture.write_text("\n".join(["id,timestamp,exchange.timestamp,price,volume,action,direction", *lines]) + "\n")
    import_bitstamp(capture, tmp_path / "data")
    assert not defects_of(day_of(tmp_path))
    trades = rows_of(day_of(tmp_path).trades, "price", "qty", "is_buyer_maker")
    assert trades == [("99.90000000", "3.00000000", "true"), ("99.90000000", "0.50000000", "true")]
    assert best(day_of(tmp_path))[-1] == ("99.90000000", "0.50000000", "100.10000000", "2.00000000")
    executed = [(row[3], row[7]) for row in read_log(day_of(tmp_path).order_log) if row[1] == ROW_TRADE]
    assert executed == [(1, 300_000_000), (3, 50_000_000)]
    codes = {"created": 0, "changed": 1, "deleted": 2, "bid": 0, "ask": 1}
    whole = [
        f"{n},{MS + ms},{MS},{price},{round(float(qty) * 10**8)},{codes[action]},{codes[side]}"
        for n, ms, price, qty, action, side in rows
    ]
    capture.write_text("\n".join(["id,local.ts,exchange.ts,price,volume,type,side", *whole]) + "\n")
    import_bitstamp(capture, tmp_path / "other")
    other = DayFolder(tmp_path / "other", "BTCUSD", "20150501")
    assert other.order_log.read_bytes() == day_of(tmp_path).order_log.read_bytes()


@pytest.mark.parametrize("tail", ["", ".0"])
def test_whole_volumes_of_ob_analytics_are_of_1e_8(tmp_path, tail):
    """Its own example has them under the header of decimals; what is read is told, whole coins remain decimals."""
    header = "id,timestamp,exchange.timestamp,price,volume,action,direction"

    def written(name, *volumes):
        rows = [
            f"{n},{MS + n},{MS},{price},{qty},created,{side}"
            for n, (price, qty, side) in enumerate(zip(("99.90", "100.10"), volumes, ("bid", "ask"), strict=True))
        ]
        (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
        report = import_bitstamp(tmp_path / name, tmp_path / f"of-{name}")
        return report, best(DayFolder(tmp_path / f"of-{name}", "BTCUSD", "20150501"))[-1]

    report, top = written("orders.csv", f"518983490{tail}", f"2{tail}")
    assert top == ("99.90000000", "5.18983490", "100.10000000", "0.00000002")
    assert report.lines()[0] == (
        "the volumes of orders.csv are whole numbers up to 518,983,490, read as 1e-8 of the coin: 5.18983490"
    )
    report, top = written("coins.csv", "3", "2")
    assert top == ("99.90000000", "3.00000000", "100.10000000", "2.00000000")
    assert "1e-8" not in report.lines()[0]
    with pytest.raises(BrokenFile, match=r"mixed.csv:\d+: this row cannot be read"):
        mixed(tmp_path, header)


def mixed(tmp_path, header):
    """Decimals after a first block of whole numbers."""
    rows = [f"{n},{MS + n},{MS},99.90,518983490,created,bid" for n in range(90_000)]
    (tmp_path / "mixed.csv").write_text("\n".join([header, *rows, f"90000,{MS},{MS},99.90,1.5,created,bid"]) + "\n")
    import_bitstamp(tmp_path / "mixed.csv", tmp_path / "mixed")


def drawn(seed):
    """A capture with ids used twice, changes of unknown orders, fills larger than an order, times that step back."""
    rng, ms, live, last, trade_id = random.Random(seed), 0, {}, 10, 700
    prices = {1: ("99.50", "99.70", "99.90", "100.00"), -1: ("100.00", "100.10", "100.30", "100.40")}
    messages = []
    for _ in range(400):
        ms += rng.choice((0, 1, 5, 20, 100, 900, 3000, 79_000_000 if rng.random() < 0.002 else -2000))
        what = rng.random()
        if what < 0.4:
            last += 1
            number, side = last if rng.random() < 0.95 else rng.randrange(10, last), rng.choice((1, -1))
            live[number] = side, rng.choice(prices[side]), rng.choice((50_000_000, 100_000_000, 100_000_001))
            messages.append(order("created", number, *live[number][:2], amount(live[number][2]), ms))
        elif what < 0.75 and live:
            known = rng.random() < 0.95
            number = rng.choice(list(live)) if known else last + 50
            side, price, left = live.get(number, (1, "99.90", 100_000_000))
            kept = max(0, left - rng.choice((50_000_000, left, -100_000_000)))
            kind = "deleted" if rng.random() < 0.5 else "changed"
            messages.append(order(kind, number, side, price, amount(kept if rng.random() < 0.6 else left), ms))
            if kind == "deleted":
                live.pop(number, None)
            elif known:
                live[number] = side, price, kept
            if rng.random() < 0.5:
                trade_id += rng.choice((0, 1, 1, 2, 30))
                size = rng.choice((left - kept if left > kept else 0, 500_000_000))
                messages.append(trade(trade_id, float(price), size / 10**8, ms + rng.randrange(30)))
        elif what > 0.9 and seed % 2:
            sides = ([[price, amount(rng.randrange(1, 4) * 10**8)] for price in prices[side][:3]] for side in (1, -1))
            messages.append((ms, "order_book", dict(zip(("bids", "asks"), sides, strict=True))))
    return messages


def amount(e8):
    return f"{e8 // 10**8}.{e8 % 10**8:08d}"


def content(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(("manifest", "events"))
    }


@pytest.mark.parametrize("seed", range(6))
def test_columns_give_the_files_of_single_messages(tmp_path, monkeypatch, seed):
    """Other spaces in the JSON are read line by line, and messages are written one by one; the log adds up."""
    text = text_of(*drawn(seed))
    import_text(tmp_path, text, top_n=5)
    days = sorted((tmp_path / "data" / "BTCUSD").iterdir())
    assert days
    assert not [defect for day in days for defect in defects_of(DayFolder.at(day)) if defect.kind == "order_log"]
    monkeypatch.setattr(_Events, "batch", lambda *_: None)
    alone = tmp_path / "alone"
    alone.mkdir()
    import_text(alone, text.replace('": ', '":'), top_n=5)
    assert content(alone / "data") == content(tmp_path / "data")
