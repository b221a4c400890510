"""Cells as databases, libraries and spreadsheets write them: quotes, lists, instants, and flags."""

import csv
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from foreign_days import START_US
from hypothesis import given
from hypothesis import strategies as st

from captured import import_files
from day_files import defects_of
from mm import load_day
from mm.errors import BrokenFile
from mm.formats.flags import side_of_true, true_is_whole_book
from mm.formats.instants import instants_us, unit_of
from mm.formats.tables import CsvTable

S = 1_000_000


def table(paths, root, **columns):
    return import_files(paths, root, form="table", columns=columns, tick_size="0.1", qty_step="1")


def book_of(report):
    """Return the last book as price and quantity by side."""
    tape = load_day(report.days[0].path)
    frame = tape.book_at(int(tape.end_us), levels=5)
    return [[row for row in frame.select(f"{side}_price", f"{side}_qty").rows() if row[0]] for side in ("bid", "ask")]


PAIRS = [
    '"[[100.0, 5], [99.9, 4]]","[[100.1, 2]]"',
    '"[[""100.0"", ""5""], [""99.9"", ""4""]]", "[[""100.1"",""2""]]"',
    "\"[('100.0', '5'), ('99.9', '4')]\",\"[('100.1', '2')]\"",
    "'[[100.0, 5], [99.9, 4]]','[[100.1, 2]]'",
    '"[[100.  5.] [99.9 4.]]","[[100.1 2.]]"',
    "\"{'100.0': 5, '99.9': 4}\",\"{'100.1': 2}\"",
    "\"[[Decimal('100.0'), Decimal('5')], [Decimal('99.9'), Decimal('4')]]\",\"[[Decimal('100.1'), Decimal('2')]]\"",
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("cells", PAIRS)
def test_lists_in_cells_are_read_as_they_are_written(tmp_path, cells, end):
    """Every CSV writer puts lists in quotes; JSON, Python and numpy write them differently."""
    path = tmp_path / "b.csv"
    quote = "" if cells.startswith("'") else '"'
    rows = ['"time","bids","asks"', *(f"{quote}{START_US + n * S}{quote},{cells}" for n in range(3))]
    path.write_bytes(end.join([*rows, ""]).encode())
    report = table([path], tmp_path / "data", levels="bids,asks")
    tape = load_day(report.days[0].path)
    frame = tape.book_at(START_US + 2 * S, levels=3)
    assert frame["bid_price"].drop_nulls().to_list() == [100.0, 99.9]
    assert frame["ask_qty"].drop_nulls().to_list() == [2.0]


def test_four_lists_and_a_missing_one(tmp_path):
    """An empty cell is an empty side."""
    path = tmp_path / "b.csv"
    path.write_text(
        f'time,bp,bq,ap,aq\n{START_US},"[100.0, 99.9]","[5,4]",[100.1],[2]\n{START_US + S},"[99.8]","[5]",[],\n'
    )
    report = table([path], tmp_path / "data", levels="bp,bq,ap,aq")
    assert book_of(report) == [[(99.8, 5.0)], []]


@pytest.mark.parametrize(
    "broken", ['5,"[[100.0, 5],[1', "5,[[100.0, 5]],[]", '5,"[[100.0, 5]]"', '5,"[[100.0"", 5]]",x,[]']
)
def test_broken_cell_is_refused_by_its_row(tmp_path, broken):
    """A quote that never closes, or a list without quotes."""
    path = tmp_path / "b.csv"
    path.write_text(f'time,bids,asks\n{START_US},"[[100.0, 5], [99.9, 4]]","[[100.1,2]]"\n{broken}\n')
    with pytest.raises(BrokenFile, match=r"b\.csv:3: \d cells for 3 columns; put cells with commas in quotes"):
        table([path], tmp_path / "data", levels="bids,asks")


@given(st.lists(st.tuples(*[st.text("ab,\" '[]", max_size=5).map(str.strip)] * 3), min_size=1))
def test_quoted_cells_are_what_python_wrote(rows):
    """The standard library writes any text in quotes; reading gives the text again."""
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([("x", "y", "z"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        path.write_text(written.getvalue(), newline="")
        found = [tuple(map(str.strip, row)) for block in CsvTable(path) for row in block.cells.rows()]
    assert found == [tuple((cell.replace('"', "") if simple(rows) else cell).strip() for cell in row) for row in rows]


def simple(rows):
    """Return whether no cell has a comma: then quotes are left out, as no number, word or list of one has any."""
    return not any("," in cell for row in rows for cell in row)


def test_blanks_around_cells_say_nothing(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text(f"time, side, price, size\n{START_US}, bid, 99, 5\n{START_US}, ask, 101, 5\n")
    assert book_of(table([path], tmp_path / "data")) == [[(99.0, 5.0)], [(101.0, 5.0)]]


MOMENT = datetime(2026, 1, 5, 8, 0, 0, 123_456, tzinfo=UTC)
INSTANTS = [
    "2026-01-05T08:00:00.123456Z",
    "2026-01-05 08:00:00.123456",
    "2026-01-05 10:00:00.123456+02",
    "2026-01-05 10:00:00.123456789+02:00",
    "2026-01-05T02:30:00.123456-0530",
    "2026-01-05 08:00:00.123456 UTC",
    "2026-01-05 08:00:00,123456",
    "2026/01/05 08:00:00.123456",
    "20260105T080000.123456Z",
    "1767600000.123456",
    "1767600000123.456",
    "1767600000123456",
    "1767600000123456789",
]


@pytest.mark.parametrize("text", INSTANTS)
def test_instant_of_any_spelling_is_the_same(text):
    """Databases write a space for the T, short offsets, and Unix times of four units."""
    (us,) = instants_us(pl.Series([text]), unit_of(text))
    assert us == round(MOMENT.timestamp() * S)


@pytest.mark.parametrize("text", ["2026-02-30 08:00:00", "2026-01-05 25:00:00", "2026-01-05 08:00:00 X", "2026-01-05"])
def test_no_instant_is_none(text):
    """A day that no month has, an hour of no day, a zone by name, and a day alone are refused, not guessed."""
    assert instants_us(pl.Series([text]), "iso").to_list() == [None]


@pytest.mark.parametrize(
    ("column", "is_maker", "side"),
    [
        ("is_buyer_maker", True, -1),
        ("isBuyerMaker", False, -1),
        ("m", True, -1),
        ("is_seller_maker", True, 1),
        ("taker_is_buyer", True, 1),
        ("is_buy", False, 1),
        ("isBid", False, 1),
        ("is_ask", False, -1),
        ("side", False, 0),
        ("is_taker", True, 0),
    ],
)
def test_side_of_a_flag_is_that_of_its_name(column, is_maker, side):
    assert side_of_true(column, is_maker=is_maker) == side


def test_kind_of_a_flag_is_that_of_its_name():
    names = ("is_snapshot", "delta", "isDelta", "update", "partial", "kind", "snapshot_or_update")
    assert [true_is_whole_book(name) for name in names] == [True, False, False, False, True, None, None]


FLAGS = [("true", "false"), ("True", "False"), ("1", "0"), ("t", "f"), ("yes", "no"), ("1.0", "0.0")]


@pytest.mark.parametrize(("yes", "no"), FLAGS)
@pytest.mark.parametrize("column", ["is_snapshot", "delta"])
def test_flag_of_whole_books_is_read_by_its_name(tmp_path, column, yes, no):
    """With and without --kind-column, and for sides as flags; what true means is said."""
    whole, change = (yes, no) if column == "is_snapshot" else (no, yes)
    rows = [(0, whole, yes, "99", 5), (0, whole, no, "101", 5), (1, change, yes, "99", 7), (2, change, no, "101", 0)]
    path = tmp_path / "b.csv"
    lines = [f"{START_US + at * S},{kind},{side},{price},{qty}\n" for at, kind, side, price, qty in rows]
    path.write_text(f"time,{column},is_bid,price,size\n" + "".join(lines))
    for at, more in enumerate(({}, {"kind": column, "side": "is_bid"})):
        report = table([path], tmp_path / f"data{at}", **more)
        assert book_of(report) == [[(99.0, 7.0)], []]
        assert report.days[0].book.gaps == 0
        assert f"true of {column} is a {'snapshot' if column == 'is_snapshot' else 'change'}" in report.read_as[0]
        assert not any("no initial snapshot" in warning for warning in report.warnings)
        assert defects_of(report.days[0].path) == []


def test_flag_whose_name_does_not_tell_asks_for_words(tmp_path):
    """Which of true and false is a whole book is not to be guessed, nor is the side of 1."""
    path = tmp_path / "b.csv"
    path.write_text(f"time,what,side,price,size\n{START_US},1,bid,99,5\n{START_US},1,ask,101,5\n")
    with pytest.raises(BrokenFile, match=r"what holds 1: its name does not tell.*kind_words"):
        table([path], tmp_path / "data", kind="what")
    table([path], tmp_path / "data", kind="what", kind_words="1=snapshot,0=change")
    path.write_text(f"time,side,price,size\n{START_US},1,99,5\n{START_US},0,101,5\n")
    with pytest.raises(BrokenFile, match=r"side holds 0, 1: its name does not tell.*side_words"):
        table([path], tmp_path / "data2")


@pytest.mark.parametrize(("column", "flag"), [("is_buyer_maker", "T"), ("is_seller_maker", "F"), ("is_sell", "1")])
def test_trade_with_a_flag_has_the_aggressor_of_its_name(tmp_path, column, flag):
    """An empty cell is a trade without a side."""
    path = tmp_path / "t.csv"
    path.write_text(f"time,price,size,{column}\n{START_US},100,1,{flag}\n{START_US + S},100,1,\n")
    report = table([path], tmp_path / "data", trade_files="t*")
    text = next((tmp_path / "data").rglob("trades_ws*")).read_text()
    assert next(csv.DictReader(io.StringIO(text)))["is_buyer_maker"] == "true"
    assert any("1 trades have no side" in warning for warning in report.warnings)
