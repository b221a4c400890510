"""Tables of one's own: other layouts of the same market give the same tape, and errors name file and row."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from foreign_days import START_US, PlainMarket, books_of, imported, write_csv, write_tardis

from captured import import_files
from day_files import defects_of
from mm import load_day
from mm.errors import BrokenFile, UsageError
from mm.formats.registry import form_of
from mm.formats.table import TableColumns

SEEDS = range(2)


def table(paths, root, *, units=(), step="0.001", **columns):
    """Import tables; return the report."""
    steps = {"tick_size": "0.01", "qty_step": step}
    return import_files(paths, root, form="table", units=units, columns=columns, **steps)


def iso(us):
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def same_tape(left, right):
    """Assert that two day folders give the same events and rows."""
    one, other = load_day(left), load_day(right)
    for name in ("event_us", "event_exch_us", "kind", "first_row", "row_side", "row_ticks", "row_lots"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def one_csv(folder, market):
    """Everything in one file, with a column of the kind and times in words."""
    words = {"snapshot": "P", "depth": "U", "trade": "T"}
    sides = {1: "Buy", -1: "Sell"}
    rows = [(iso(us), iso(exch), words[k], sides[s], f"{p:f}", f"{q:f}") for us, exch, k, s, p, q in market.rows()]
    path = write_csv(folder / "all.csv", ("received", "sent", "what", "S", "P", "Q"), rows)
    columns = {"time": "received", "exchange_time": "sent", "kind": "what", "side": "S", "price": "P", "qty": "Q"}
    return [path], {**columns, "kind_words": "P=snapshot,U=change,T=trade"}


def two_csv(folder, market):
    """Changes and trades in ns, with other names, sides as numbers, and rows of another symbol."""
    book, trades = [], []
    for us, exch, kind, side, price, qty in market.rows():
        if kind == "trade":
            trades.append((us * 1_000 + 7, exch * 1_000, "SIM-USDT", side < 0, price, qty))
        else:
            book.append((us * 1_000 + 7, exch * 1_000, "SIM-USDT", kind == "snapshot", int(side < 0), price, qty))
            book.append((us * 1_000 + 7, exch * 1_000, "OTHER", "false", 0, "1", "1"))
    paths = [
        write_csv(folder / "l2.csv.gz", ("t", "te", "sym", "snap", "is_ask", "px", "amount"), book),
        write_csv(folder / "ticks.csv", ("t", "te", "sym", "is_buyer_maker", "px", "size"), trades),
    ]
    columns = {"time": "t", "exchange_time": "te", "symbol": "sym", "kind": "snap", "side": "is_ask"}
    return paths, {**columns, "side_words": "0=bid,1=ask", "change_files": "none", "trade_files": "tick*"}


def parquet(folder, market):
    """Floats, instants of Parquet, trades and changes in two files, the first rows a snapshot by its file."""
    start = datetime(1970, 1, 1, tzinfo=UTC)
    cells = {name: [] for name in ("recv_time", "event_time", "kind", "side", "price", "qty")}
    trades = {name: [] for name in cells if name != "kind"}
    for us, exch, kind, side, price, qty in market.rows():
        row = {
            "recv_time": start + timedelta(microseconds=us),
            "event_time": start + timedelta(microseconds=exch),
            "kind": {"depth": "update"}.get(kind, kind),
            "side": ("buy" if side > 0 else "sell") if kind == "trade" else "bid" if side > 0 else "ask",
            "price": float(price),
            "qty": float(qty),
        }
        for name, column in (trades if kind == "trade" else cells).items():
            column.append(row[name])
    pl.DataFrame(cells).write_parquet(folder / "b.parquet")
    pl.DataFrame(trades).write_parquet(folder / "t.parquet")
    return [folder / "t.parquet", folder / "b.parquet"], {"kind": "kind"}


@pytest.mark.parametrize("written", [one_csv, two_csv, parquet])
@pytest.mark.parametrize("seed", SEEDS)
def test_tables_of_any_layout_give_the_tape_of_the_same_market_in_another_format(tmp_path, seed, written):
    market = PlainMarket(seed)
    paths, columns = written(tmp_path, market)
    day = table(paths, tmp_path / "a", **columns).days[0].path
    other = imported("tardis", write_tardis(tmp_path, market), tmp_path / "b").days[0].path
    assert books_of(day) == (market.books, market.trades)
    same_tape(day, other)
    assert defects_of(day) == []


def wide(market, columns):
    """Return a row for each book of a market, and its trades."""
    books = []
    for us, (bids, asks) in market.books.items():
        books.append((us / 1e6, *columns(sorted(bids.items(), reverse=True), sorted(asks.items()))))
    return books, [(us / 1e6, "buy" if s > 0 else "sell", p, q) for us, s, p, q in market.trades]


def numbered(bids, asks):
    """Twelve levels a side in columns; missing ones are empty."""
    sides = [(*side, *[("", "")] * (12 - len(side))) for side in (bids, asks)]
    return [cell for bid, ask in zip(*(side[:12] for side in sides), strict=True) for cell in (*bid, *ask)]


def listed(bids, asks):
    return json.dumps([[str(p), str(q)] for p, q in bids]), json.dumps([[float(p), float(q)] for p, q in asks])


@pytest.mark.parametrize("form", ["numbered", "listed"])
def test_whole_books_in_rows_become_the_books_of_the_market(tmp_path, form):
    """Times in seconds with a fraction, as floats: the tape has the microseconds."""
    market = PlainMarket(4, length=60)
    market.books = {
        us: (dict(sorted(b.items())[-12:]), dict(sorted(a.items())[:12])) for us, (b, a) in market.books.items()
    }
    books, trades = wide(market, numbered if form == "numbered" else listed)
    head = [f"{s}_{n}_{w}" for n in range(1, 13) for s in ("bid", "ask") for w in ("p", "q")]
    if form == "listed":
        head = ["B", "A"]
        books = [[time, *(f"{cell}".replace(",", ";") for cell in cells)] for time, *cells in books]
        pl.DataFrame(
            {
                "ts": [row[0] for row in books],
                **{
                    n: [c.replace(";", ",") for c in cells]
                    for n, cells in zip(head, list(zip(*books, strict=True))[1:], strict=True)
                },
            }
        ).write_parquet(tmp_path / "books.parquet")
        paths = [tmp_path / "books.parquet"]
    else:
        paths = [write_csv(tmp_path / "books.csv", ("ts", *head), books)]
    paths.append(write_csv(tmp_path / "trades.csv", ("ts", "side", "price", "size"), trades))
    levels = "B,A" if form == "listed" else "bid_{n}_p,bid_{n}_q,ask_{n}_p,ask_{n}_q"
    report = table(paths, tmp_path / "data", time="ts", levels=levels)
    found, traded = books_of(report.days[0].path)
    assert found == market.books
    assert [row[1:] for row in traded] == [row[1:] for row in market.trades]
    assert "ts in s" in report.read_as[0]


def rows(path, *cells, head="time,side,price,size,id"):
    path.write_text(head + "\n" + "".join(f"{','.join(map(str, row))}\n" for row in cells))
    return path


BOOK = [(START_US, "bid", "99", "5", ""), (START_US, "ask", "101", "5", "")]


def trade(n, **more):
    cells = {"time": START_US + n * 1_000_000, "side": "buy", "price": "101", "size": "1", "id": 50 + n} | more
    return tuple(cells.values())


def test_ids_that_count_trades_show_missing_ones(tmp_path):
    paths = [rows(tmp_path / "b.csv", *BOOK), rows(tmp_path / "t.csv", *map(trade, (*range(1, 20), *range(23, 30))))]
    (day,) = table(paths, tmp_path / "data", id="id").days
    assert (day.trades, day.trade_gaps) == (26, 1)


def test_ids_that_do_not_count_only_tell_repetitions(tmp_path):
    odd = [trade(n, id=number) for n, number in enumerate((9_000, 17, 4_000, 17, 250), 1)]
    report = table([rows(tmp_path / "b.csv", *BOOK), rows(tmp_path / "t.csv", *odd)], tmp_path / "data", id="id")
    assert (report.days[0].trades, report.days[0].trade_gaps) == (4, 0)
    assert any("1 trades repeat the id" in warning for warning in report.warnings)


def test_quantities_of_contracts_are_multiplied(tmp_path):
    paths = [rows(tmp_path / "b.csv", *BOOK), rows(tmp_path / "t.csv", trade(1))]
    report = table(paths, tmp_path / "data", units={"contract_size": "0.01"}, step="0.01")
    books, trades = books_of(report.days[0].path)
    assert books[START_US][0] == {Decimal(99): Decimal("0.05")}
    assert trades[0][3] == Decimal("0.01")


@pytest.mark.parametrize("late", ["7", "7.12345678"])
@pytest.mark.parametrize("source", ["table", "tardis"])
def test_a_later_finer_quantity_changes_no_unit(tmp_path, source, late):
    """An unknown order step is that of the first book, which is said; the tape keeps finer quantities exactly."""
    books = [(0, "bid", "99", "0.5"), (0, "ask", "101", "0.2"), (600, "bid", "90", late)]
    if source == "table":
        cells = [(START_US + at * 1_000_000, side, price, qty, "") for at, side, price, qty in books]
        path = rows(tmp_path / "b.csv", *cells)
    else:
        cells = [("x", "S", *[START_US + at * 1_000_000] * 2, at == 0, *one) for at, *one in books]
        path = write_csv(
            tmp_path / "b.csv",
            ("exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"),
            [tuple(str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in row) for row in cells],
        )
    symbol = "SIMUSDT" if source == "table" else "S"
    report = import_files([path], tmp_path / "data", symbol, form=source, columns={} if source == "table" else None)
    assert report.instrument.lot_e8 == 10_000_000
    assert any("first book" in warning for warning in report.warnings)
    assert defects_of(report.days[0].path) == []
    tape = load_day(report.days[0].path)
    assert tape.step_lots * tape.instrument.lot_e8 == 10_000_000
    assert tape.row_lots[-1] * tape.instrument.lot_e8 == round(float(late) * 1e8)


BAD = {
    "a price": (trade(3, price="x"), {}, r"t\.csv:4: price or quantity: 'x' is not a plain decimal"),
    "a side": (trade(3, side="up"), {}, r"t\.csv:4: side is 'up', not one of"),
    "a time": (trade(3, time="soon"), {}, r"t\.csv:4: time is 'soon', not a time in us"),
    "a time before": (trade(3, time=START_US + 1), {}, r"t\.csv:4: .* comes after"),
    "another column": (trade(3), {"price": "prize"}, r"t\.csv:1: no column prize among time, .*price_column"),
    "no such id": (trade(3), {"id": "number"}, r"t\.csv:1: no file has a column number; .*id_column"),
    "another kind": (trade(3), {"kind": "side"}, r"t\.csv:2: side is 'buy', not one of .*kind_words"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_error_names_file_and_row(tmp_path, case):
    bad, columns, message = BAD[case]
    path = rows(tmp_path / "t.csv", trade(1), trade(2), bad, *(trade(n) for n in range(4, 60)))
    with pytest.raises(BrokenFile, match=message):
        table([path], tmp_path / "data", **columns)
    assert not (tmp_path / "data").exists()


def test_rows_of_an_unknown_kind_are_refused_with_the_way_out(tmp_path):
    path = rows(tmp_path / "x.csv", *(trade(n, side="b") for n in (1, 2)))
    with pytest.raises(BrokenFile, match=r"x\.csv:1: whether its rows are trades.*give trade_files"):
        table([path], tmp_path / "data")
    assert table([path], tmp_path / "data", trade_files="x*").days[0].trades == 2


def test_columns_belong_to_tables_only():
    with pytest.raises(UsageError, match="name columns only with --format table"):
        form_of("tardis", None, TableColumns(price="p"))
    with pytest.raises(UsageError, match="lobster has quantities of the base asset"):
        form_of("lobster", "0.1")
    with pytest.raises(UsageError, match=r"side_words '0=up'"):
        TableColumns(side_words="0=up").words("side_words", {}, {"bid": 1})


@pytest.mark.parametrize("written", ["array([99.0, 98.5])", "np.array([99.0 98.5])", "[np.float64(99.0), 98.5]"])
def test_lists_as_numpy_writes_them(tmp_path, written):
    path = tmp_path / "b.csv"
    rows_of = [f'{START_US + n * 1_000_000},"{written}","[5, 6]","[101]","[7]"' for n in range(2)]
    path.write_text("\n".join(["time,bp,bq,ap,aq", *rows_of, ""]))
    report = table([path], tmp_path / "data", levels="bp,bq,ap,aq")
    found, _ = books_of(report.days[0].path)
    assert found[START_US] == ({Decimal(99): Decimal(5), Decimal("98.5"): Decimal(6)}, {Decimal(101): Decimal(7)})


def test_a_column_that_one_of_the_files_lacks_is_named(tmp_path):
    paths = [rows(tmp_path / "b.csv", *BOOK), rows(tmp_path / "t.csv", trade(1), head="time,is_sell,price,size,id")]
    with pytest.raises(BrokenFile, match=r"b\.csv:1: no column is_sell among time, side"):
        table(paths, tmp_path / "data", side="is_sell")
