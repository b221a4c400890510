"""Faults of foreign sources: far times, lost connections, rows out of order, quantities and contracts that are none."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from foreign_days import START_US, PlainMarket, books_of, imported, write_csv, write_hftbacktest, write_tardis

from day_files import check, defects_of
from mm import DayFolder, load_day
from mm.dayfolder.coverage import cover
from mm.errors import BrokenFile
from mm.tape.tape import GAP

HOUR_US = 3_600_000_000
TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp")
TRADES = "SIMUSDT-aggTrades-2024-03-05.csv"
AGG = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")


def tardis_trades(path, stamps, qtys=None, exchange="binance", symbol="SIMUSDT"):
    """Write trades received at *stamps*, in s after the start."""
    qtys = qtys or ["1"] * len(stamps)
    rows = [
        (exchange, symbol, START_US + int(s * 1e6) - 9, START_US + int(s * 1e6), n, "buy", "101", qty)
        for n, (s, qty) in enumerate(zip(stamps, qtys, strict=True))
    ]
    return write_csv(path, (*TARDIS, "id", "side", "price", "amount"), rows)


def tardis_book(path, changes, exchange="binance", symbol="SIMUSDT"):
    """Write a book of rows (s after the start, snapshot, side, price, amount)."""
    rows = [(exchange, symbol, START_US + int(s * 1e6) - 9, START_US + int(s * 1e6), *row) for s, *row in changes]
    return write_csv(path, (*TARDIS, "is_snapshot", "side", "price", "amount"), rows)


FIRST = [(0, "true", "bid", "99", "1"), (0, "true", "ask", "101", "1")]


def quiet(until, side="bid", price="98"):
    """Return a change every second."""
    return [(s, "false", side, price, s) for s in range(1, until)]


def received(day):
    """Return the receive times of the trades of a day, in s after the start."""
    (path,) = Path(day).glob("trades*.csv")
    with path.open() as file:
        return [(int(row["recv_time_us"]) - START_US) / 1e6 for row in csv.DictReader(file)]


@pytest.mark.parametrize("far", [3_600, 86_400, 10**8, -1_000_000])
@pytest.mark.parametrize("at", [0, 7, 30])
def test_a_trade_with_a_far_time_is_left_out_and_moves_no_other(tmp_path, far, at):
    stamps = list(range(1, 61))
    stamps[at] += far
    book = tardis_book(tmp_path / "b.csv", FIRST + quiet(70))
    report = imported("tardis", [book, tardis_trades(tmp_path / "t.csv", stamps)], tmp_path / "d")
    assert received(report.days[0].path) == [s for s in range(1, 61) if s != at + 1]
    assert [day.day for day in report.days] == ["20240305"]
    assert any(re.search(rf"1 row has a time over 5 s .*t\.csv:{at + 2} with", text) for text in report.warnings)


def test_a_change_of_the_book_with_a_far_time_is_applied_where_it_stands(tmp_path):
    rows = FIRST + quiet(60)
    rows[20] = (rows[20][0] + 7_000, *rows[20][1:])
    report = imported("tardis", [tardis_book(tmp_path / "b.csv", rows)], tmp_path / "d")
    tape = load_day(report.days[0].path)
    assert tape.event_us[-1] == START_US + 59_000_000
    assert any("b.csv:22 with 2024-03-05T15:56:59" in text for text in report.warnings)


def test_a_message_of_the_book_from_an_earlier_time_of_the_file_is_refused(tmp_path):
    rows = FIRST + quiet(60)
    rows.insert(40, (10, "false", "bid", "97", 5))
    with pytest.raises(BrokenFile, match=r"b\.csv:42: .* comes after"):
        imported("tardis", [tardis_book(tmp_path / "b.csv", rows)], tmp_path / "d")


def published(path, times, order):
    """Write aggregates with these times, in s after the start, in an order of rows."""
    rows = [
        (700 + n, "101", "1", 5000 + n, 5000 + n, START_US // 1000 + int(s * 1000), "false")
        for n, s in enumerate(times)
    ]
    return write_csv(path / TRADES, AGG, [rows[n] for n in order])


@pytest.mark.parametrize("order", ["backwards", "shuffled", "alternately"])
def test_published_rows_are_sorted_by_their_ids(tmp_path, order):
    count = 300
    orders = {
        "backwards": range(count)[::-1],
        "shuffled": [n * 77 % count for n in range(count)],
        "alternately": [half + n for n in range(count // 2) for half in (0, count // 2)],
    }
    report = imported("binance_vision", [published(tmp_path, range(count), orders[order])], tmp_path / "d")
    assert received(report.days[0].path) == list(range(count))
    assert f"{TRADES} was not in the order of its ids; it was sorted" in report.warnings


def test_times_that_step_back_by_more_than_five_seconds_are_counted_and_named(tmp_path):
    times = [*range(100), *range(80, 200)]
    report = imported("binance_vision", [published(tmp_path, times, range(len(times)))], tmp_path / "d")
    assert received(report.days[0].path)[100:120] == [99] * 20
    (said,) = [text for text in report.warnings if "before earlier rows" in text]
    assert said.startswith(f"14 rows come up to 19.0 s before earlier rows, first {TRADES}:102 with ")


def silent(tmp_path, form):
    """Import a book that is silent from 10 to 70 s, and then another one, with a trade at 9 and one at 69.9 s."""
    changes = quiet(11)
    after = [
        (70, "true", "bid", "95", "1"),
        (70, "true", "ask", "97", "1"),
        *((s, "false", "bid", "94", s) for s in range(71, 81)),
    ]
    if form == "tardis":
        return imported(
            form,
            [tardis_book(tmp_path / "b.csv", FIRST + changes + after), tardis_trades(tmp_path / "t.csv", [9, 69.9])],
            tmp_path / "d",
        )
    market = PlainMarket(1, length=0)
    market.messages = []
    if form == "hftbacktest":
        both, codes = (1 << 31) | (1 << 30), {"bid": 1 << 29, "ask": 1 << 28}
        dtype = np.dtype([("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8")])
        rows = []
        for s, snapshot, side, price, qty in FIRST + changes + after:
            ns = (START_US + s * 1_000_000) * 1000
            if snapshot == "true" and side == "bid" and s:
                rows.append((3 | both, ns, ns, 0, 0))
            rows.append(((4 if snapshot == "true" else 1) | codes[side] | both, ns, ns, float(price), float(qty)))
        np.savez(tmp_path / "x.npz", data=np.array(rows, dtype))
        return imported(form, [tmp_path / "x.npz"], tmp_path / "d")
    number, records = 0, []
    for s, snapshot, side, price, qty in FIRST + changes + after:
        ns, number = (START_US + s * 1_000_000) * 1000, number + 1
        if snapshot == "true" and side == "bid" and s:
            records.append((ns, ns, "R", "N", "", 0, 0, 128))
        flags = (32 if snapshot == "true" else 0) | (128 if snapshot != "true" or side == "ask" else 0)
        records.append((ns, ns, "A", "B" if side == "bid" else "A", f"{float(price):.9f}", int(qty), number, flags))
    head = ("ts_recv", "ts_event", "action", "side", "price", "size", "order_id", "flags")
    return imported(form, [write_csv(tmp_path / "x.csv", head, records)], tmp_path / "d", qty_step="1")


@pytest.mark.parametrize("form", ["tardis", "hftbacktest", "databento"])
def test_a_book_that_was_lost_unseen_ends_with_its_last_message(tmp_path, form):
    """Check, coverage and tape mean the same: 10 s before, and 10 s after the new book."""
    report = silent(tmp_path, form)
    (day,) = report.days
    folder = DayFolder.at(day.path)
    tape = load_day(day.path)
    assert [(us - START_US) / 1e6 for us in tape.event_us[tape.kind == GAP]] == [10]
    assert (day.book.gaps, dict(day.book.anomalies)) == (1, {})
    checked, covered = check(folder), cover(folder)
    assert (checked.defects, checked.covered_s, covered.covered_s, covered.excluded_s) == ([], 20, 20, 60)
    assert not any("no initial snapshot" in text for text in report.warnings)


@pytest.mark.parametrize(
    ("exchange", "symbol", "said"),
    [
        ("binance-delivery", "BTCUSD", "inverse or quanto"),
        ("bitmex", "ETHUSD", "inverse or quanto"),
        ("deribit", "BTC-PERPETUAL", "inverse or quanto"),
        ("okex-swap", "BTC-USD-SWAP", "inverse or quanto"),
        ("okex-swap", "BTC-USDT-SWAP", "numbers of contracts"),
        ("bybit", "BTCUSDH26", "inverse or quanto"),
        ("gate-io-futures", "BTC_USDT", "numbers of contracts"),
        ("kucoin-futures", "XBTUSDM", "inverse or quanto"),
        ("kucoin-futures", "XBTUSDTM", "numbers of contracts"),
        ("cryptofacilities", "PI_XBTUSD", "inverse or quanto"),
        ("huobi-dm-swap", "BTC-USD", "inverse or quanto"),
    ],
)
def test_contracts_that_are_not_price_times_quantity_are_refused_by_name(tmp_path, exchange, symbol, said):
    book = tardis_book(tmp_path / "b.csv", FIRST + quiet(9), exchange=exchange, symbol=symbol)
    with pytest.raises(BrokenFile, match=rf"b\.csv:2: .*{symbol} of {exchange}.* {said}.*; "):
        imported("tardis", [book], tmp_path / "d", symbol=symbol)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("exchange", ["binance-futures", "bybit", "bybit-spot", "deribit", "coinbase"])
def test_linear_contracts_are_taken(tmp_path, exchange):
    symbol = "BTC_USDC-PERPETUAL" if exchange == "deribit" else "BTCUSDT"
    book = tardis_book(tmp_path / "b.csv", FIRST + quiet(9), exchange=exchange, symbol=symbol)
    assert imported("tardis", [book], tmp_path / "d", symbol=symbol).days[0].book.diffs


def test_quantities_of_zero_or_below_eight_places_are_counted(tmp_path):
    """A trade of nothing is left out; a level of less than 1e-8 is none; noise of binary fractions is rounded."""
    rows = [*FIRST, (1, "false", "bid", "98", "0.30000000000000004"), (2, "false", "bid", "97", "0.000000004")]
    book = tardis_book(tmp_path / "b.csv", rows)
    trades = tardis_trades(tmp_path / "t.csv", [1, 2, 3, 4], ["1", "0", "0.000000001", "1e-7"])
    report = imported("tardis", [book, trades], tmp_path / "d")
    books, traded = books_of(report.days[0].path)
    assert sorted(map(float, books[max(books)][0])) == [98, 99]
    assert [float(qty) for *_, qty in traded] == [1, 1e-7]
    assert [text for text in report.warnings if "2 trades without a quantity" in text]
    assert [text for text in report.warnings if "3 quantities have more than eight places" in text]


def test_hftbacktest_takes_floats_of_any_quantity(tmp_path):
    path = write_hftbacktest(tmp_path / "x.npz", PlainMarket(3))
    data = np.load(path)["data"].copy()
    trades = np.flatnonzero(data["ev"] & 0xFF == 2)
    data["qty"][trades[0]], data["qty"][trades[1]] = 0, 1e-12
    np.savez(path, data=data)
    report = imported("hftbacktest", [path], tmp_path / "d")
    assert report.days[0].trades == len(trades) - 2


def test_tickers_with_a_dot_are_read(tmp_path):
    """BRK.B is a file name, a column and a folder."""
    book, trades = write_tardis(tmp_path, PlainMarket(1), symbol="BRK.B")
    (day,) = imported("tardis", [book, trades], tmp_path / "d", symbol="BRK.B").days
    assert defects_of(day.path) == []
    assert load_day(day.path).instrument.symbol == "BRK.B"


@pytest.mark.parametrize("form", ["raw", "table", "hftbacktest"])
def test_inverse_contracts_of_binance_are_refused_in_any_format(tmp_path, form):
    path = tmp_path / "x.npz"
    path.write_bytes(b"")
    with pytest.raises(BrokenFile, match=r"BTCUSD_260327 is an inverse contract"):
        imported(form, [path], tmp_path / "d", symbol="btcusd_260327")


def test_files_of_single_streams_are_merged_by_receive_time(tmp_path):
    """Depth, trades and the snapshot in a file each, in any order, are the day of one file; so are doubled seconds."""
    book = {"lastUpdateId": 1, "bids": [["99", "1"]], "asks": [["101", "1"]]}
    lines = [(0, json.dumps(book))]
    for n in range(1, 600):
        data = {"e": "depthUpdate", "E": START_US // 1000 + n, "s": "SIMUSDT", "U": n + 1, "u": n + 1}
        lines.append((n * 1_000_000, json.dumps(data | {"b": [["98", str(n)]], "a": []})))
        if n % 7 == 0:
            data = {"e": "trade", "E": START_US // 1000 + n, "T": START_US // 1000 + n, "s": "SIMUSDT", "t": n // 7}
            lines.append((n * 1_000_000 + 5, json.dumps(data | {"p": "101", "q": "1", "m": False, "M": True})))

    def written(name, some):
        path = tmp_path / f"{name}.txt.gz"
        path.write_bytes(gzip.compress("".join(f"{START_US + us} {text}\n" for us, text in some).encode()))
        return path

    whole = imported("raw", [written("all", lines)], tmp_path / "one").days[0].path
    parts = [
        written(kind, [line for line in lines if kind in line[1]]) for kind in ("trade", "depthUpdate", "lastUpdateId")
    ]
    halves = [written("a", lines[:300]), written("b", lines[297:])]
    for number, files in enumerate((parts, parts[::-1], halves)):
        report = imported("raw", files, tmp_path / str(number))
        day = report.days[0]
        assert (day.clock_steps, day.book.gaps, day.trade_gaps) == (0, 0, 0)
        for name in ("event_us", "kind", "row_ticks", "row_lots"):
            np.testing.assert_array_equal(getattr(load_day(day.path), name), getattr(load_day(whole), name))
        assert defects_of(day.path) == []
