"""Binance's published files as day folders: trades, aggregates, best prices, with and without a header, ms and µs."""

import zipfile
from decimal import Decimal

import pytest
from foreign_days import START_US, books_of, imported, write_csv

from day_files import defects_of
from mm import DayFolder
from mm.errors import BrokenFile, Mismatch

NAME = "SIMUSDT-{}-2024-03-05.csv"
TICKER_HEAD = (
    *("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time"),
    "event_time",
)


def ms(seconds):
    return START_US // 1000 + int(seconds * 1000)


def spot_trades(path, *rows, unit=1):
    """Write spot trades of (seconds, id, price, quantity, maker), without a header."""
    cells = [(n, p, q, "0", ms(s) * unit, maker, "True") for s, n, p, q, maker in rows]
    return write_csv(path, None, cells)


TRADES = ((1, 50, "100.01", "0.5", "True"), (2, 51, "100.02", "1", "False"), (2, 52, "100.02", "2", "False"))


@pytest.mark.parametrize("unit", [1, 1000])
def test_trades_alone_make_a_day_without_a_book(tmp_path, unit):
    path = spot_trades(tmp_path / NAME.format("trades"), *TRADES, unit=unit)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as packed:
        packed.write(path, path.name)
    report = imported("binance_vision", [path.with_suffix(".zip")], tmp_path / "data")
    folder = DayFolder.at(report.days[0].path)
    cells = [line.split(",") for line in folder.trades.read_text().splitlines()[1:]]
    assert [(row[4], row[6], row[7], row[8], int(row[9])) for row in cells] == [
        (str(n), p, q, maker.lower(), ms(s) * 1000) for s, n, p, q, maker in TRADES
    ]
    assert (report.days[0].trades, report.days[0].synced) == (3, False)
    assert any("have no book" in warning for warning in report.warnings)
    assert defects_of(folder) == []


def test_missing_trade_ids_are_a_gap(tmp_path):
    rows = (*TRADES, (3, 60, "100.02", "1", "False"))
    report = imported("binance_vision", [spot_trades(tmp_path / NAME.format("trades"), *rows)], tmp_path / "data")
    assert report.days[0].trade_gaps == 1
    assert defects_of(report.days[0].path) == []


def test_rows_without_a_quantity_keep_only_their_ids(tmp_path):
    """They were no executions: neither a trade of 0 nor a gap of ids."""
    rows = (*TRADES, (3, 53, "0", "0", "False"), (3, 54, "100.02", "1", "False"))
    report = imported("binance_vision", [spot_trades(tmp_path / NAME.format("trades"), *rows)], tmp_path / "data")
    (day,) = report.days
    assert (day.trades, day.trade_gaps, day.book.anomalies) == (4, 0, {"no_execution": 1})
    assert defects_of(day.path) == []


def test_aggregates_keep_first_and_last_trade_ids(tmp_path):
    rows = [(7, "100.01", "0.5", 50, 52, ms(1), "true"), (8, "100.02", "0.5", 53, 53, ms(2), "false")]
    head = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")
    path = write_csv(tmp_path / NAME.format("aggTrades"), head, rows)
    report = imported("binance_vision", [path], tmp_path / "data")
    cells = [line.split(",") for line in DayFolder.at(report.days[0].path).trades.read_text().splitlines()[1:]]
    assert [(row[4], row[10], row[11]) for row in cells] == [("7", "50", "52"), ("8", "53", "53")]


def test_aggregates_without_a_quantity_are_left_out_and_counted(tmp_path):
    """They were no executions: neither a trade of 0, nor a gap of ids."""
    rows = [(n, "100.01", qty, 10 * n, 10 * n + 3, ms(n), "true") for n, qty in ((1, "1"), (2, "0"), (3, "2"))]
    report = imported("binance_vision", [write_csv(tmp_path / NAME.format("aggTrades"), None, rows)], tmp_path / "data")
    (day,) = report.days
    assert (day.trades, day.trade_gaps) == (2, 0)
    assert any("1 trades without a quantity" in warning for warning in report.warnings)
    folder = DayFolder.at(day.path)
    cells = [line.split(",") for line in folder.trades.read_text().splitlines()[1:]]
    assert [(row[4], row[7]) for row in cells] == [("1", "1"), ("3", "2")]
    assert defects_of(folder) == []


def test_best_prices_are_a_book_of_one_level(tmp_path):
    """Trades come before the best prices of the same time; an unchanged ticker is not a message."""
    tickers = [
        (1, "100.00", "1", "100.02", "2", ms(0), ms(0) + 3),
        (2, "100.01", "3", "100.02", "2", ms(2), ms(2) + 3),
        (3, "100.01", "3", "100.02", "2", ms(3), ms(3) + 3),
    ]
    path = write_csv(tmp_path / NAME.format("bookTicker"), TICKER_HEAD, tickers)
    trades = spot_trades(tmp_path / NAME.format("trades"), *TRADES)
    report = imported("binance_vision", [path, trades], tmp_path / "data")
    found, printed = books_of(report.days[0].path)
    assert found == {
        ms(0) * 1000: ({Decimal("100.00"): 1}, {Decimal("100.02"): 2}),
        ms(2) * 1000: ({Decimal("100.01"): 3}, {Decimal("100.02"): 2}),
    }
    assert [(us, side) for us, side, *_ in printed] == [(ms(1) * 1000, -1), (ms(2) * 1000, 1), (ms(2) * 1000, 1)]
    assert defects_of(report.days[0].path) == []


def test_foreign_and_malformed_files_are_rejected(tmp_path):
    trades = spot_trades(tmp_path / NAME.format("trades"), *TRADES)
    with pytest.raises(Mismatch, match=r"is of SIMUSDT; symbol is OTHER"):
        imported("binance_vision", [trades], tmp_path / "data", symbol="OTHER")
    aggregates = write_csv(tmp_path / NAME.format("aggTrades"), None, [(1, "1", "1", 1, 1, ms(0), "true")])
    with pytest.raises(BrokenFile, match="hold the same trades"):
        imported("binance_vision", [trades, aggregates], tmp_path / "data")
    with pytest.raises(BrokenFile, match=r"klines.*: the name is not SYMBOL-KIND-DATE"):
        imported("binance_vision", [write_csv(tmp_path / NAME.format("klines"), None, [(1, 2)])], tmp_path / "data")
    short = write_csv(tmp_path / NAME.format("trades"), None, [(1, "1", "1")])
    with pytest.raises(BrokenFile, match=r"csv:1: not trades of Binance: .* lack quote_qty"):
        imported("binance_vision", [short], tmp_path / "data")
    odd = spot_trades(tmp_path / NAME.format("trades"), *TRADES[:1], (2, 51, "100.02", "1", "maybe"))
    with pytest.raises(BrokenFile, match=r"csv:2: is_buyer_maker is 'maybe'"):
        imported("binance_vision", [odd], tmp_path / "data")
