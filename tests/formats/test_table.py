"""Tables of one's own: other layouts of the same market give the same tape, and errors name file and row."""

import json
import random
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
from mm.tape.columns import GAP

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


def narrow_rows(base, count=60):
    """A book around *base* cents and its changes, one a second."""
    first = [(START_US // 1000, side, base + d, 4.0) for side, d in (("bid", 0), ("bid", -1), ("ask", 1), ("ask", 2))]
    return first + [(START_US // 1000 + n * 1000, "bid", base - n % 2, 1.0 + n % 5) for n in range(1, count)]


def narrow(path, base, **types):
    frame = pl.DataFrame(narrow_rows(base), schema=["time", "side", "price", "size"], orient="row")
    frame = frame.with_columns(pl.col("price") / 100, id=pl.int_range(pl.len()))
    frame.with_columns(pl.col(name).cast(kind) for name, kind in types.items()).write_parquet(path)
    return path


def test_single_precision_is_read_where_it_holds_the_tick(tmp_path):
    """24 binary digits tell 43,123.45 from 43,123.46."""
    day = table([narrow(tmp_path / "a.parquet", 4312345, price=pl.Float32)], tmp_path / "d", time="time").days[0].path
    frame = load_day(day).best_prices_frame()
    assert (frame["bid_price"][-1], frame["ask_price"][-1]) == (43123.45, 43123.46)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"price": pl.Float32}, "price is a float of seven digits, so prices of about 303123.47 lie 0.0312 apart"),
        ({"price": pl.Float32, "time": pl.Float32}, "time is a float of seven digits, so its times lie minutes apart"),
        ({"time": pl.Float32}, "time is a float of seven digits"),
    ],
)
def test_types_that_cannot_hold_their_numbers_are_refused_by_column(tmp_path, types, message):
    """303,123.45 has no single of its own within half a tick."""
    path = narrow(tmp_path / "a.parquet", 30312345, **types)
    with pytest.raises(BrokenFile, match=f"a.parquet:1: {message}.*write the column again"):
        table([path], tmp_path / "d", time="time")


def test_overflown_milliseconds_and_ids_beyond_a_float_are_refused(tmp_path):
    """32 bits hold 24 days of ms, a double the whole numbers below 2^53."""
    frame = pl.read_parquet(narrow(tmp_path / "a.parquet", 100))
    short = frame.with_columns(time=(pl.col("time") % 2**31).cast(pl.Int32))
    short.write_parquet(tmp_path / "b.parquet")
    frame.with_columns(id=(pl.col("id") + 2**53).cast(pl.Float64)).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(BrokenFile, match="a whole number of 32 bits, which holds no Unix time but of seconds"):
        table([tmp_path / "b.parquet"], tmp_path / "d", time="time", time_unit="ms")
    with pytest.raises(BrokenFile, match="id is a float, which cannot tell ids from 9,007,199,254,740,992 on apart"):
        table([tmp_path / "c.parquet"], tmp_path / "e", time="time", id="id")


def test_quantities_of_single_precision_are_warned_of(tmp_path):
    """They lose less than a millionth of themselves."""
    frame = pl.read_parquet(narrow(tmp_path / "a.parquet", 100))
    frame = frame.with_columns(size=(pl.col("size") + 20_000_000.123).cast(pl.Float32))
    frame.write_parquet(tmp_path / "b.parquet")
    warnings = table([tmp_path / "b.parquet"], tmp_path / "d", time="time").warnings
    assert any("b.parquet: size is a float of seven digits, so quantities of" in warning for warning in warnings)


def test_lists_of_single_precision_have_their_shortest_decimals(tmp_path):
    """As cells of one number have."""
    books = [(START_US + n * 1000, [[43123.45, 1.0]], [[43123.46, 2.0 + n]]) for n in range(5)]
    kind = pl.List(pl.List(pl.Float32))
    pl.DataFrame(books, {"time": pl.Int64, "bids": kind, "asks": kind}, orient="row").write_parquet(
        tmp_path / "w.parquet"
    )
    day = table([tmp_path / "w.parquet"], tmp_path / "d", time="time").days[0].path
    frame = load_day(day).best_prices_frame()
    assert (frame["bid_price"][-1], frame["ask_price"][-1]) == (43123.45, 43123.46)


def stamped(path, form, count=200, levels=5):
    """Changes of few levels, one a second, with times as *form* writes their µs."""
    rows = [(form(START_US), side, f"{100 + d:.1f}", 4) for side in ("bid", "ask") for d in (0, 1)]
    rows = [(t, side, p if side == "ask" else f"{float(p) - 2:.1f}", q) for t, side, p, q in rows]
    rows += [(form(START_US + n * 1_000_000), "bid", f"{99 - n % levels / 10:.1f}", 1 + n % 4) for n in range(1, count)]
    return write_csv(path, ("time", "side", "price", "size"), rows)


@pytest.mark.parametrize(
    "form",
    [lambda us: f"{us // 1000:.6E}", lambda us: f"{us / 1e6:.3e}", lambda us: f"{us:.5E}"],
)
def test_times_whose_digits_end_before_a_second_are_refused(tmp_path, form):
    """Spreadsheets save 1.7676E+12."""
    path = stamped(tmp_path / "a.csv", form)
    with pytest.raises(BrokenFile, match=r"a.csv:2: time is .*: these times were rounded; write the column again"):
        table([path], tmp_path / "d", time="time")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (lambda us: us // 10**12 * 10**9, "rows have one time"),
        (lambda us: us // 60_000_000 * 60_000, "all times are multiples of 60 s, and rows share them"),
        (lambda us: us // 128_000_000 * 128 + 1e-3, "rows change levels that other rows of the same time change"),
    ],
)
def test_rows_that_share_few_times_are_warned_of(tmp_path, form, said):
    """Of rows of one time the last one counts, so nearly all changes are lost."""
    path = stamped(tmp_path / "a.csv", form, 600)
    report = table([path], tmp_path / "d", time="time")
    assert any("the times in time look rounded" in warning and said in warning for warning in report.warnings)


@pytest.mark.parametrize("form", [lambda us: us // 1000, lambda us: f"{us / 1e6:.9e}", iso])
def test_exact_times_are_not_doubted(tmp_path, form):
    """Exponents with all digits are exact, and a snapshot is one burst."""
    report = table([stamped(tmp_path / "a.csv", form)], tmp_path / "d", time="time")
    assert not any("rounded" in text for text in report.warnings)


def test_whole_seconds_are_said_once_and_are_no_fault(tmp_path):
    """Some sources have no better ones."""
    path = stamped(tmp_path / "a.csv", lambda us: (us - START_US) // 7 // 1_000_000 + START_US // 1_000_000)
    report = table([path], tmp_path / "d", time="time")
    assert not any("rounded" in text for text in report.warnings)
    assert [text for text in report.read_as if "whole seconds" in text] == [
        "a.csv: time has whole seconds; changes of one second are read as one message"
    ]


def test_best_prices_beside_whole_books_of_the_same_time_are_refused(tmp_path):
    """A collector of Hyperliquid writes books, best prices and trades; a market has one book."""
    cells = ["timestamp", "bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0"]
    start_s = START_US // 1_000_000
    books = write_csv(tmp_path / "books.csv", cells, [(start_s + n, "100.0", 1, "100.1", 2) for n in range(3)])
    rows = [(start_s + 0.5, "100.0", 3, "bid"), (start_s + 1.5, "100.1", 1, "ask")]
    best = write_csv(tmp_path / "prices.csv", ("timestamp", "price", "size", "side"), rows)
    message = (
        r"prices.csv:1: its changes begin within the time of the books of books.csv, and a market has one book; leave "
        r"one of the two files out, or give best_files"
    )
    with pytest.raises(BrokenFile, match=message):
        table([books, best], tmp_path / "d")
    assert table([books], tmp_path / "e").days[0].book.frames == 3


def collected(folder, seed):
    """Write books and best prices as a collector does; return the files and the touch that is known after each stamp.

    The market's touch is drawn at instants of the exchange. Each is received as best prices; some are received as
    books of three levels as well, later than best prices that came after them.
    """
    rng, start_us = random.Random(seed), START_US
    bid, events = 1_000, []
    for n in range(300):
        exch_us = start_us + n * 100_000
        bid += rng.choice((-2, -1, 0, 1, 2))
        touch = (bid, rng.randint(1, 99)), (bid + rng.randint(1, 3), rng.randint(1, 99))
        events.append((exch_us + rng.choice((5_000, 90_000)), exch_us, "best", touch))
        if n % 5 == 0:
            events.append((exch_us + rng.choice((6_000, 250_000)), exch_us, "book", touch))
    events.sort(key=lambda event: event[0])
    books, best, known, newest_us = [], [], {}, 0
    for us, exch_us, kind, touch in events:
        (bid, bid_qty), (ask, ask_qty) = touch
        if kind == "best":
            best += [(us, exch_us, "bid", bid / 10, bid_qty), (us, exch_us, "ask", ask / 10, ask_qty)]
        else:
            cells = [(bid - n) / 10 if at == "b" else (ask + n) / 10 for n in range(3) for at in "ba"]
            sizes = [(bid_qty, ask_qty), (7, 8), (9, 10)]
            pairs = zip(cells[::2], cells[1::2], sizes, strict=True)
            books.append((us, exch_us, *(cell for b, a, (bq, aq) in pairs for cell in (b, bq, a, aq))))
        if exch_us >= newest_us:
            newest_us, known[us] = exch_us, (bid, bid_qty, ask, ask_qty)
    head = [f"{side}_{what}_{n}" for n in range(3) for side in ("bid", "ask") for what in ("price", "size")]
    return [
        write_csv(folder / "books.csv", ("timestamp", "exchange_timestamp", *head), books),
        write_csv(folder / "prices.csv", ("timestamp", "exchange_timestamp", "side", "price", "size"), best),
    ], known


@pytest.mark.parametrize("seed", SEEDS)
def test_best_prices_move_the_touch_between_books_of_the_same_time(tmp_path, seed):
    """The newer one by the exchange's time counts, whichever was received last."""
    paths, known = collected(tmp_path, seed)
    day = table(paths, tmp_path / "d", step="1", best_files="prices*").days[0].path
    assert defects_of(day) == []
    tape = load_day(day)
    assert not (tape.kind == GAP).any()
    for us, touch in known.items():
        row = tape.book_at(us, levels=1).row(0, named=True)
        found = row["bid_price"] * 10, row["bid_qty"], row["ask_price"] * 10, row["ask_qty"]
        assert found == pytest.approx(touch), us
