"""Single orders of every source: what the simulator wrote comes back as the same order log and the same books."""

import gzip
import random
import sys
from contextlib import suppress

import numpy as np
import pytest
from foreign_days import START_US, imported, write_csv
from test_databento import BAD_TIME, HEAD, LAST, SNAPSHOT, es, record

from day_files import defects_of
from mm import Quotes, backtest, load_day
from mm.backtest.models import queue_orders
from mm.dayfolder.check import check_day
from mm.dayfolder.layout import (
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_NEW,
    ROW_REDUCE,
    ROW_REFUSE,
    ROW_REST,
    ROW_TRADE,
    DayFolder,
)
from mm.dayfolder.order_log import OrderLog, OrderLogWriter
from mm.dayfolder.repair import repair_day
from mm.errors import BrokenFile, MMError, UsageError
from mm.formats import tables
from mm.formats.order_export import export_orders, order_rows
from simulation import simulate_day

BOOK = [("B", 9_990), ("A", 10_010), ("B", 9_980), ("A", 10_020)]
MADE = {"day": "20260105", "symbol": "SIMUSDT", "seed": 3}


class Flicker:
    """Quote beside the best prices and behind them in turn."""

    def __init__(self):
        self.away = 0

    def quote(self, view):
        self.away ^= 1
        return Quotes(bids=[view.bid_ticks - self.away], asks=[view.ask_ticks + self.away])


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """Return a day with partial fills, cancellations and long queues."""
    return simulate_day(
        tmp_path_factory.mktemp("busy"), scenario="zero_intelligence", hours=0.02, limit_reach_ticks=30, **MADE
    )


def displayed(path):
    """Return the rows of displayed orders, which are numbered by their first row."""
    column = OrderLog.open(path).columns
    rows, numbers = [], {}
    cells = [column[name].tolist() for name in ("us", "kind", "order_id", "other_id", "side", "ticks", "lots")]
    for us, kind, order, other, side, ticks, lots in zip(*cells, strict=True):
        if kind in (ROW_NEW, ROW_REFUSE, ROW_EXPIRE):
            continue
        if kind == ROW_REST:
            numbers[order] = len(numbers) + 1
        named = other if kind == ROW_TRADE else order
        rows.append((us, kind, numbers.get(named, 0), side, ticks, lots))
    return rows


def log_of(report):
    return DayFolder.at(report.days[0].path).order_log


def came_back(day, form, tmp_path, **options):
    """Return the day that its own export makes."""
    files = export_orders(day, form, tmp_path / f"x.{'dbn' if form == 'dbn' else 'csv'}").files
    steps = {"tick_size": "0.01", "qty_step": "0.001", "units": {"contract_size": "0.001"}} | options
    report = imported("databento", files, tmp_path / "data", **steps)
    assert check_day(DayFolder.at(report.days[0].path)).defects == []
    return report


@pytest.mark.parametrize("form", ["databento", "dbn"])
def test_simulated_orders_come_back_from_databento(busy, tmp_path, form):
    """Ranks, times, partial fills and levels; the fills of the box are all of the first in the queue."""
    if form == "dbn":
        pytest.importorskip("databento_dbn")
    report = came_back(busy, form, tmp_path)
    assert displayed(log_of(report)) == displayed(busy.order_log)
    kinds = {row[1] for row in displayed(busy.order_log)}
    assert {ROW_REST, ROW_LEVEL, ROW_TRADE, ROW_CANCEL} <= kinds
    assert any("100.00 %" in how for how in report.read_as)


def test_simulated_orders_come_back_from_lobster(busy, tmp_path):
    """With all levels in the window no order is unknown; its sizes are numbers of lots."""
    files = export_orders(busy, "lobster", tmp_path, levels=80).files
    report = imported("lobster", files, tmp_path / "data", qty_step="1")
    assert check_day(DayFolder.at(report.days[0].path)).defects == []
    assert displayed(log_of(report)) == displayed(busy.order_log)


def test_window_of_levels_has_the_orders_that_it_shows(busy, tmp_path):
    """Orders that were there before, or beyond the window, are of unknown id; the levels are those of the window."""
    files = export_orders(busy, "lobster", tmp_path, levels=3).files
    for path in files:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[500:]))
    report = imported("lobster", files, tmp_path / "data", qty_step="1")
    found = check_day(DayFolder.at(report.days[0].path))
    assert found.defects == []
    assert found.fifo_consistency > 0.99


def test_simulated_orders_come_back_from_hftbacktest(busy, tmp_path):
    """Its events of single orders have their own sizes and prices."""
    files = export_orders(busy, "hftbacktest_l3", tmp_path / "x.npz").files
    report = imported("hftbacktest", files, tmp_path / "data")
    assert check_day(DayFolder.at(report.days[0].path)).defects == []
    assert displayed(log_of(report)) == displayed(busy.order_log)


def as_table(day, path):
    """Write the orders of *day* as a table, an execution by its maker's side."""
    rows = order_rows(OrderLog.open(day.order_log))
    kinds = {ROW_REST: "add", ROW_REDUCE: "modify", ROW_CANCEL: "delete", ROW_TRADE: "trade"}
    cells = []
    for us, kind, number, side, ticks, lots in zip(*(column.tolist() for column in rows[:6]), strict=True):
        of = -side if kind == ROW_TRADE and number else side
        cells.append((us, kinds[kind], f"x{number}", "bid" if of > 0 else "ask", ticks / 100, lots / 1000))
    return write_csv(path, ("time", "action", "name", "side", "price", "qty"), cells)


def test_simulated_orders_come_back_from_a_table(busy, tmp_path):
    """Ids may be any text."""
    path = as_table(busy, tmp_path / "x.csv")
    report = imported("table", [path], tmp_path / "data", columns={"order_id": "name"})
    assert check_day(DayFolder.at(report.days[0].path)).defects == []
    assert displayed(log_of(report)) == displayed(busy.order_log)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("add,,bid,99.9,1", "x.csv:3: add has no order id"),
        ("add,7,bid,99.9,0", "x.csv:3: add has no quantity"),
        ("modify,7,bid,,1", "x.csv:3: modify has no price"),
        ("trade,7,,99.9,1", "x.csv:3: trade has no side"),
        ("borrow,7,bid,99.9,1", "x.csv:3: action is 'borrow'"),
    ],
)
def test_row_of_a_table_of_orders_that_lacks_something_is_refused(tmp_path, row, said):
    (tmp_path / "x.csv").write_text(
        f"time,action,name,side,price,qty\n{START_US},add,1,bid,99.8,1\n{START_US + 5},{row}\n"
    )
    with pytest.raises(BrokenFile, match=said):
        imported("table", [tmp_path / "x.csv"], tmp_path / "data", columns={"order_id": "name"})


def test_dbn_without_its_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    (tmp_path / "x.dbn").write_bytes(b"DBN\x02 and more")
    with pytest.raises(UsageError, match=r"x\.dbn.*mm-research\[databento\]"):
        es([tmp_path / "x.dbn"], tmp_path / "data")


@pytest.mark.parametrize("seed", range(30))
def test_damaged_dbn_is_read_or_refused_by_name(busy, tmp_path, seed):
    """Cut anywhere, or with other bytes in its head: never anything but an error of ours."""
    pytest.importorskip("databento_dbn")
    rng, (path,) = random.Random(seed), export_orders(busy, "dbn", tmp_path / "x.dbn").files
    data = bytearray(path.read_bytes()[: rng.randint(0, 4_000)])
    for _ in range(rng.randint(0, 3)):
        if data:
            data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
    path.write_bytes(data)
    with suppress(MMError):
        imported("databento", [path], tmp_path / "data")


def opened(*records):
    """Return records after a book of 5 at 99.99 (order 1), 4 behind it (order 2), and 6 at 100.01 (order 3)."""
    us, flags = START_US, SNAPSHOT | BAD_TIME
    return [
        record(us, "R", "N", None, 0, 0, flags),
        record(us, "A", "B", 9_999, 5, 1, flags),
        record(us, "A", "B", 9_999, 4, 2, flags),
        record(us, "A", "A", 10_001, 6, 3, flags | LAST),
        *(record(us + 1_000 * n, *cells) for n, cells in enumerate(records, 1)),
        record(us + 900_000, "A", "A", 10_002, 1, 99),
    ]


def orders_after(tmp_path, *records):
    """Return the report, and (kind, number, side, ticks, lots) of the log after the opening book, without levels."""
    tmp_path.mkdir(exist_ok=True)
    report = es([write_csv(tmp_path / "x.csv", HEAD, opened(*records))], tmp_path / "data", tick_size="0.01")
    assert defects_of(report.days[0].path) == []
    return report, [row[1:] for row in displayed(log_of(report)) if row[1] != ROW_LEVEL][3:-1]


def test_order_keeps_its_place_only_while_it_shrinks(tmp_path):
    """A larger one and one of another price join again, with a new number."""
    _, rows = orders_after(
        tmp_path,
        ("M", "B", 9_999, 3, 1),
        ("M", "B", 9_999, 4, 1),
        ("M", "B", 9_998, 4, 2),
        ("C", "B", 9_999, 1, 1),
        ("C", "B", 9_999, 3, 1),
    )
    assert rows == [
        (ROW_REDUCE, 1, 1, 9_999, 3),
        (ROW_CANCEL, 1, 1, 9_999, 3),
        (ROW_REST, 4, 1, 9_999, 4),
        (ROW_CANCEL, 2, 1, 9_999, 4),
        (ROW_REST, 5, 1, 9_998, 4),
        (ROW_REDUCE, 4, 1, 9_999, 3),
        (ROW_CANCEL, 4, 1, 9_999, 3),
    ]


@pytest.mark.parametrize("late", ["nothing", "tick", "lot", "day"])
def test_log_is_the_same_in_whatever_blocks_its_file_is_read(tmp_path, monkeypatch, late):
    """Steps are taken from the first rows; later ones on a finer grid, or of another day, do not change the file."""
    us, begins = START_US, SNAPSHOT | BAD_TIME
    records = [
        record(us, "R", "N", None, 0, 0, begins),
        record(us, "A", "B", 9_999, 4, 1, begins),
        record(us, "A", "A", 10_001, 6, 2, begins | LAST),
        *(record(us + 1_000 * n, "A", "B", 9_980 - n % 7, 2 * n, 10 + n) for n in range(1, 40)),
    ]
    us += 1_000_000 + (86_400_000_000 if late == "day" else 0)
    records.append(record(us, "A", "B", 9_970, 7 if late == "lot" else 8, 200))
    records[-1][7] += 5_000_000 * (late == "tick")
    records.append(record(us + 1_000, "C", "A", 10_001, 6, 2))
    path = write_csv(tmp_path / "x.csv", HEAD, records)
    logs = []
    for size in (1 << 22, 400):
        monkeypatch.setattr(tables, "BLOCK_BYTES", size)
        report = imported("databento", [path], tmp_path / str(size), "ESM4", tick_size=None, qty_step="2")
        assert all(defects_of(day.path) == [] for day in report.days)
        logs.append([DayFolder.at(day.path).order_log.read_bytes() for day in report.days])
    assert logs[0] == logs[1]


def test_fill_and_its_cancellation_are_one_change(tmp_path):
    """What a print executes beyond its fills was not displayed; a fill has its own price."""
    report, rows = orders_after(
        tmp_path,
        ("T", "A", 9_999, 8, 0, 0),
        ("F", "B", 9_999, 5, 1, 0),
        ("F", "B", 9_998, 2, 2, 0),
        ("C", "B", 9_999, 5, 1, 0),
        ("C", "B", 9_999, 2, 2),
        ("M", "B", 9_999, 1, 2),
    )
    assert rows == [
        (ROW_TRADE, 1, -1, 9_999, 5),
        (ROW_TRADE, 2, -1, 9_998, 2),
        (ROW_TRADE, 0, -1, 9_999, 1),
        (ROW_REDUCE, 2, 1, 9_999, 1),
    ]
    assert "1 records execute at another price than their order's" in " ".join(report.warnings)
    assert any("1 executions are of nothing displayed" in how for how in report.read_as)


@pytest.mark.parametrize(
    ("records", "said", "kept"),
    [
        ([("A", "B", 9_998, 2, 1)], "1 records add an order whose id is in use", [ROW_CANCEL, ROW_REST]),
        ([("C", "B", 9_998, 2, 77)], "1 records are of orders that were never added", []),
        ([("M", "B", 9_998, 2, 77)], "1 records change orders that were never added", [ROW_REST]),
        ([("C", "B", 9_999, 9, 1)], "1 records cancel more than their order had", [ROW_CANCEL]),
        (
            [("T", "A", 9_999, 9, 0, 0), ("F", "B", 9_999, 9, 1, 0), ("C", "B", 9_999, 9, 1)],
            "1 records fill more than their order had",
            [ROW_TRADE, ROW_TRADE],
        ),
        (
            [("T", "A", 9_999, 9, 0, 0), ("F", "B", 9_999, 9, 77)],
            "1 records execute orders that are not displayed",
            [ROW_TRADE],
        ),
        (
            [("T", "A", 9_999, 2, 0, 0), ("F", "A", 9_999, 2, 1, 0), ("C", "B", 9_999, 2, 1)],
            "1 records execute an order of the other side",
            [ROW_TRADE],
        ),
    ],
)
def test_record_that_contradicts_the_orders_is_named(tmp_path, records, said, kept):
    """The rule, what was done, and the first row; the day is whole."""
    report, rows = orders_after(tmp_path, *records)
    assert [row[0] for row in rows] == kept
    (found,) = [warning for warning in report.warnings if said in warning]
    assert "x.csv:" in found


def test_equal_whole_book_keeps_the_places_and_another_one_begins_anew(tmp_path):
    """A snapshot that repeats the book is no event of an order; a different one clears it."""
    flags = SNAPSHOT | BAD_TIME
    same = [
        ("N", "N", None, 0, 0),
        ("R", "N", None, 0, 0, flags),
        *(("A", "B", 9_999, lots, n, flags) for n, lots in ((1, 5), (2, 4))),
        ("A", "A", 10_001, 6, 3, flags | LAST),
    ]
    _, rows = orders_after(tmp_path / "same", *same)
    assert rows == []
    _, rows = orders_after(tmp_path / "other", *same[:2], ("A", "B", 9_999, 4, 2, flags), same[-1])
    assert [row[0] for row in rows] == [ROW_CANCEL] * 3 + [ROW_REST] * 2


def test_market_that_fills_others_first_is_warned_of(tmp_path):
    report, _ = orders_after(tmp_path, ("T", "A", 9_999, 2, 0, 0), ("F", "B", 9_999, 2, 2, 0), ("C", "B", 9_999, 2, 2))
    assert any("0.00 %" in warning and "no plain FIFO" in warning for warning in report.warnings)


def rewritten(day, change):
    """Write the log of *day* again, after *change* of its rows."""
    log = OrderLog.open(day.order_log)
    rows = np.column_stack(list(log.columns.values()))
    day.order_log.unlink()
    with OrderLogWriter(day.order_log, steps=log.steps) as out:
        out.add(change(rows))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows + np.outer(np.cumsum(rows[:, 1] == ROW_LEVEL) == 99, np.arange(10) == 7), "lots at"),
        (lambda rows: rows[: len(rows) // 2 - len(rows) // 2 % 2], "the log ends here"),
        (lambda rows: np.concatenate((rows[:2], rows[:2], rows[2:])), "an id is used once"),
        (lambda rows: np.delete(rows, np.flatnonzero(rows[:, 1] == ROW_REST)[:1], 0), "side"),
    ],
    ids=["lots", "half", "twice", "lacks"],
)
def test_log_that_contradicts_the_depth_is_found_with_its_row(tmp_path, busy, change, said):
    """The check names the row; an intact log has none."""
    day = simulate_day(tmp_path, scenario="poisson", hours=0.02, **MADE)
    assert check_day(day).fifo_consistency == 1.0
    rewritten(day, change)
    (found,) = [defect for defect in check_day(day).defects if defect.kind == "order_log"]
    assert found.row is not None
    assert said in found.message


def test_log_has_the_exchange_s_times(busy, tmp_path):
    """Records received 5 ms late: the log keeps when they happened, and a tape plays them when its messages come."""
    (path,) = export_orders(busy, "databento", tmp_path / "x.csv").files
    head, *rows = path.read_text().splitlines()
    at = head.split(",").index("ts_recv")
    late = [row.split(",") for row in rows]
    for cells in late:
        cells[at] = str(int(cells[at]) + 5_000_000)
    path.write_text("\n".join([head, *map(",".join, late)]) + "\n")
    report = imported(
        "databento", [path], tmp_path / "data", tick_size="0.01", qty_step="0.001", units={"contract_size": "0.001"}
    )
    folder = DayFolder.at(report.days[0].path)
    assert check_day(folder).defects == []
    assert displayed(folder.order_log) == displayed(busy.order_log)
    tape = load_day(folder)
    late_us = tape.orders.at(tape, None)[0] - tape.orders.step_us
    assert (late_us[tape.orders.step_us > tape.orders.step_us[0]] == 5_000).all()  # the first book has no stamp


def test_log_without_some_of_its_time_says_so(tmp_path):
    """A whole book that differs shows that orders were lost before it."""
    two = [(1, "B", 9_999, 5), (2, "A", 10_001, 5)]
    rows = [record(START_US + n, "A", side, price, size, number) for n, (number, side, price, size) in enumerate(two)]
    again = START_US + 60_000_000
    rows += [record(START_US + 10_000_000, "A", "B", 9_998, 3, 3)]
    rows += [record(again, "R", "N", None, 0, 0, SNAPSHOT | BAD_TIME)]
    rows += [record(again, "A", side, price, size, number + 10, SNAPSHOT) for number, side, price, size in two]
    rows += [record(again + 10_000_000, "A", "B", 9_997, 4, 20), record(again + 20_000_000, "A", "B", 9_996, 4, 21)]
    folder = DayFolder.at(es([write_csv(tmp_path / "x.csv", HEAD, rows)], tmp_path / "data").days[0].path)
    tape = load_day(folder)
    ((begin, end),) = tape.orders.dark(tape, None)
    assert (begin // 1_000_000, end // 1_000_000) == ((START_US + 10_000_000) // 1_000_000, again // 1_000_000)
    assert check_day(folder).defects == []


def test_day_without_frames_is_the_same_market(busy, tmp_path):
    """It is checked and repaired without them, and gives the same tape."""
    days = {}
    for top_n in (0, 20):
        (tmp_path / str(top_n)).mkdir()
        days[top_n] = DayFolder.at(came_back(busy, "databento", tmp_path / str(top_n), top_n=top_n).days[0].path)
    bare, usual = days.values()
    assert usual.frames.exists()
    assert not bare.frames.exists()
    one, other = load_day(bare), load_day(usual)
    assert len(one) == len(other) > 1_000
    for name in ("event_us", "kind", "row_side", "row_ticks", "row_lots"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    with gzip.open(bare.diffs, "ab") as diffs:
        diffs.write(b'{"recv_ms":1')  # torn
    assert check_day(bare).defects
    repair_day(bare, "R2", one.end_us + 1_000)
    assert check_day(bare).defects == []
    assert not bare.frames.exists()


def test_orders_that_cross_before_an_auction_are_no_market(tmp_path):
    """They rest until its print, which is named; nothing is sent meanwhile."""
    auction, end = START_US + 60_000_000, START_US + 80_000_000
    rows = [record(START_US, "A", side, price, 5, number) for number, (side, price) in enumerate(BOOK, 1)]
    rows += [record(START_US + n * 1_000_000, "A", "B", 9_900 + n, 1, 100 + n) for n in range(1, 60)]
    rows += [record(auction, "A", "B", 10_050, 9, 7), record(auction, "A", "A", 9_950, 9, 8)]
    rows += [record(end, "T", "N", 10_000, 9, 0, 0), record(end, "C", "B", 10_050, 9, 7, 0)]
    rows += [record(end, "C", "A", 9_950, 9, 8)]
    rows += [record(end + n * 1_000_000, "C", "B", 9_900 + n, 1, 100 + n) for n in range(1, 60)]
    report = es([write_csv(tmp_path / "x.csv", HEAD, rows)], tmp_path / "data")
    assert any("1 executions are of nothing displayed" in how for how in report.read_as)
    tape = load_day(DayFolder.at(report.days[0].path))
    sent = backtest(tape, Flicker(), queue_orders(), initial_inventory=100, initial_cash=10**7).journal.orders
    us = sent[sent[:, 2] == 0][:, 0]
    assert len(us[us < auction]) > 5
    assert len(us[us > end]) > 5
    assert not len(us[(us > auction) & (us < end)])
