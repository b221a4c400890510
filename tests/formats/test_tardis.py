"""Tardis files as day folders: trades and book by local_timestamp, snapshots, several files, and broken ones."""

import pytest
from foreign_days import START_US, PlainMarket, books_of, imported, write_csv, write_tardis

from captured import events, import_files
from day_files import defects_of
from mm import DayFolder
from mm.errors import BrokenFile, Mismatch
from mm.formats import tables
from mm.formats.tardis import TardisReader

HEAD = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"


def book_file(path, *rows):
    """Write rows of (seconds after the start, snapshot, side, price, amount)."""
    lines = [f"binance,SIMUSDT,{us(s) - 9},{us(s)},{snap},{side},{p},{q}\n" for s, snap, side, p, q in rows]
    path.write_text(HEAD + "".join(lines))
    return path


def us(seconds):
    return START_US + int(seconds * 1_000_000)


def import_rows(tmp_path, *rows, tick_size="0.1", **options):
    """Import rows of `book_file`; return the day's report and its books as numbers."""
    (day,) = imported(
        "tardis", [book_file(tmp_path / "b.csv", *rows)], tmp_path / "data", tick_size=tick_size, **options
    ).days
    books, _ = books_of(day.path)
    return day, {
        at: book and [{float(price): float(qty) for price, qty in side.items()} for side in book]
        for at, book in books.items()
    }


FIRST = (0, "true", "bid", "99.5", "1"), (0, "true", "ask", "100.5", "2")


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("seed", range(3))
def test_books_and_trades_match_the_files(tmp_path, seed, packed):
    market = PlainMarket(seed)
    report = imported("tardis", write_tardis(tmp_path, market, packed=packed), tmp_path / "data")
    assert books_of(report.days[0].path) == (market.books, market.trades)
    assert defects_of(report.days[0].path) == []


def test_files_of_two_days_may_be_given_in_any_order(tmp_path):
    """The second day begins with its own snapshot, which has the book: there is no gap."""
    market = PlainMarket(5, start_us=1_709_682_900_000_000, gap_us=30_000_000)  # 23:55
    midnight = 1_709_683_200_000_000
    book, trades = write_tardis(tmp_path, market)
    lines = book.read_text().splitlines(keepends=True)[1:]
    early = [line for line in lines if int(line.split(",")[3]) < midnight]
    late = [line for line in lines if int(line.split(",")[3]) >= midnight]
    last = market.books[max(us for us in market.books if us < midnight)]
    second_snapshot = [
        f"binance,SIMUSDT,{midnight},{midnight},true,{name},{price},{qty}\n"
        for name, side in zip(("bid", "ask"), last, strict=True)
        for price, qty in side.items()
    ]
    (tmp_path / "b2.csv").write_text(HEAD + "".join([*second_snapshot, *late]))
    (tmp_path / "b1.csv").write_text(HEAD + "".join(early))
    report = imported("tardis", [tmp_path / "b2.csv", trades, tmp_path / "b1.csv"], tmp_path / "data")
    assert [(day.day, day.book.gaps, day.book.epochs) for day in report.days] == [
        ("20240305", 0, 1),
        ("20240306", 0, 1),
    ]
    both = {}
    for day in report.days:
        both |= books_of(day.path)[0]
    assert {us: book for us, book in both.items() if us in market.books} == market.books


def test_differing_snapshot_within_a_day_ends_the_book(tmp_path):
    """Updates were lost when the connection was renewed, and the ledger reports it."""
    day, books = import_rows(
        tmp_path,
        *FIRST,
        (1, "false", "bid", "99.6", "3"),
        (9, "true", "bid", "99.7", "4"),
        (9, "true", "ask", "100.6", "5"),
    )
    folder = DayFolder.at(day.path)
    assert [details["cause"] for details in events(folder, "resync_start")] == ["other_snapshot"]
    assert day.book.epochs == 2
    assert books[us(9)][0] == {99.7: 4.0}
    assert defects_of(folder) == []


def test_feed_of_whole_books_only_has_one_epoch(tmp_path):
    """Each snapshot replaces the last one, also where prices cross the old ones; no order is cancelled by it."""
    sides = [((99.5, 1), (100.5, 2)), ((100.6, 3), (100.7, 4)), ((98.0, 5), (98.1, 6)), ((98.0, 5), (98.1, 6))]
    rows = [
        (second, "true", side, price, qty)
        for second, book in enumerate(sides)
        for side, (price, qty) in zip(("bid", "ask"), book, strict=True)
    ]
    day, books = import_rows(tmp_path, *rows)
    assert books == {us(s): [{bid[0]: bid[1]}, {ask[0]: ask[1]}] for s, (bid, ask) in enumerate(sides)}
    assert (day.book.epochs, day.book.frames, day.book.anomalies) == (1, 4, {})
    folder = DayFolder.at(day.path)
    assert not events(folder, "resync_start")
    assert defects_of(folder) == []


def test_snapshot_in_several_messages_is_one_book(tmp_path):
    """Rows at another local time that only add levels, at the same exchange time, continue it."""
    rows = [(0, "bid", 99.5), (0, "ask", 100.5), (1, "bid", 99.4), (1, "ask", 100.6)]
    lines = [f"binance,SIMUSDT,{us(0)},{us(0) + s},true,{side},{price},1\n" for s, side, price in rows]
    (tmp_path / "b.csv").write_text(HEAD + "".join(lines))
    (day,) = imported("tardis", [tmp_path / "b.csv"], tmp_path / "data", tick_size="0.1").days
    books, _ = books_of(day.path)
    assert {at: [sorted(map(float, side)) for side in book] for at, book in books.items()} == {
        us(0) + 1: [[99.4, 99.5], [100.5, 100.6]]
    }


def test_updates_before_the_first_snapshot_are_ignored(tmp_path):
    later = [(2, *row[1:]) for row in FIRST]
    _, books = import_rows(tmp_path, (0, "false", "bid", "99.9", "7"), *later)
    assert [at for at, book in books.items() if book] == [us(2)]
    assert books[us(2)][0] == {99.5: 1.0}


def test_crossed_book_is_invalid_until_it_is_uncrossed(tmp_path):
    day, books = import_rows(
        tmp_path,
        *FIRST,
        (1, "false", "bid", "100.6", "3"),
        (2, "false", "bid", "99.4", "1"),
        (3, "false", "ask", "100.5", "0"),
        (3, "false", "ask", "100.7", "4"),
    )
    assert books[us(1)] is None
    assert books[us(3)] == [{99.5: 1.0, 100.6: 3.0, 99.4: 1.0}, {100.7: 4.0}]
    assert defects_of(day.path) == []


def test_amounts_may_have_an_exponent(tmp_path):
    rows = (0, "true", "bid", "99.5", "1.2e-7"), (0, "true", "ask", "1e2", "2")
    _, books = import_rows(tmp_path, *rows, tick_size=None, qty_step=None)
    assert books[us(0)] == [{99.5: 1.2e-7}, {100.0: 2.0}]


def test_other_symbols_of_a_file_are_left_out(tmp_path):
    market = PlainMarket(4)
    book, trades = write_tardis(tmp_path, market)
    lines = book.read_text().splitlines(keepends=True)
    book.write_text(
        "".join([lines[0], *(line for original in lines[1:] for line in (original, original.replace("SIM", "OTH")))])
    )
    report = imported("tardis", [book, trades], tmp_path / "data")
    assert books_of(report.days[0].path) == (market.books, market.trades)
    with pytest.raises(Mismatch, match=r"no message of NONE; symbol can be OTHUSDT, SIMUSDT"):
        imported("tardis", [book], tmp_path / "none", symbol="NONE")


def test_unknown_side_is_inferred_from_the_book(tmp_path):
    book = book_file(tmp_path / "b.csv", *FIRST)
    rows = [("binance", "SIMUSDT", us(s), us(s), "", "unknown", p, 1) for s, p in ((1, 100.5), (2, 99.5), (3, 99.9))]
    head = ("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
    report = imported(
        "tardis", [book, write_csv(tmp_path / "t.csv", head, rows)], tmp_path / "data", tick_size="0.1", qty_step="1"
    )
    assert [side for _, side, *_ in books_of(report.days[0].path)[1]] == [1, -1, -1]
    assert any(warning.startswith("3 trades have no side") for warning in report.warnings)


def replace_in_row(lines, row, old, new):
    lines[row - 1] = lines[row - 1].replace(old, new)
    return "".join(lines)


BAD = {
    "a price that is none": (lambda lines: replace_in_row(lines, 30, "9", "x"), r":30: "),
    "a side that is none": (
        lambda lines: replace_in_row(lines, 31, ",bid," if ",bid," in lines[30] else ",ask,", ",up,"),
        r":31: .*'up'",
    ),
    "a row that is cut": (
        lambda lines: "".join([*lines[:40], lines[40][:20] + "\n", *lines[41:]]),
        r":41: \d cells for 8",
    ),
    "a file that is cut": (lambda lines: "".join(lines)[:-4], r": the last row has no end of line"),
    "another exchange": (
        lambda lines: replace_in_row(lines, 50, "binance", "okex"),
        r":50: a row of the exchange 'okex'",
    ),
    "a time that goes back": (lambda lines: "".join([*lines[:60], *lines[20:21], *lines[60:]]), r":61: .* comes after"),
    "another table": (lambda _: "a,b,c\n1,2,3\n", r":1: the header is a,b,c; give Tardis"),
    "nothing": (lambda _: "", r":1: the file has no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_file_is_rejected_with_its_row(tmp_path, case):
    book, _ = write_tardis(tmp_path, PlainMarket(2))
    change, pattern = BAD[case]
    book.write_text(change(book.read_text().splitlines(keepends=True)))
    with pytest.raises(BrokenFile, match=pattern) as raised:
        imported("tardis", [book], tmp_path / "data")
    assert (raised.value.exit_code, "book.csv" in str(raised.value), ";" in str(raised.value)) == (3, True, True)
    assert not (tmp_path / "data").exists()


def test_truncated_compressed_file_is_rejected(tmp_path):
    book, _ = write_tardis(tmp_path, PlainMarket(2), packed=".gz")
    book.write_bytes(book.read_bytes()[:-40])
    with pytest.raises(BrokenFile, match=r"book\.csv\.gz:\d+: the compressed file is damaged or truncated"):
        imported("tardis", [book], tmp_path / "data")


def test_files_are_read_in_blocks(tmp_path, monkeypatch):
    """No event waits for the rest of the file, so memory does not depend on its length."""
    monkeypatch.setattr(tables, "BLOCK_BYTES", 4_000)
    path = book_file(
        tmp_path / "b.csv", *((n, "true" if n < 1 else "false", "bid", "99.5", n + 1) for n in range(2_000))
    )
    done = [0]
    size, rows = path.stat().st_size, 0
    for rows, _ in enumerate(TardisReader([path], "SIMUSDT", done.append), 1):
        assert abs(done[-1] - size * rows / 2_000) < 8_500
    assert rows == 2_000


def test_whole_books_a_row_say_how_a_table_reads_them(tmp_path):
    """`book_snapshot_25` has the columns that its error gives to `table`."""
    head = ["exchange", "symbol", "timestamp", "local_timestamp"]
    head += [f"{side}[{n}].{what}" for n in range(2) for side in ("asks", "bids") for what in ("price", "amount")]
    row = ["binance", "SIMUSDT", START_US, START_US + 1000, "100.1", 2, "100.0", 4, "100.2", 2, "99.9", 1]
    path = write_csv(tmp_path / "s.csv", head, [row, [*row[:2], START_US + 1_000_000, START_US + 1_001_000, *row[4:]]])
    with pytest.raises(BrokenFile, match="is a book_snapshot of Tardis, a whole book a row; give --format table"):
        imported("tardis", [path], tmp_path / "a")
    columns = {"time": "local_timestamp", "exchange_time": "timestamp"}
    levels = "bids[{n}].price,bids[{n}].amount,asks[{n}].price,asks[{n}].amount"
    read = {"form": "table", "columns": {**columns, "levels": levels}, "tick_size": "0.1", "qty_step": "1"}
    assert import_files([path], tmp_path / "b", **read).days[0].book.frames == 2
