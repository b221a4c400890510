"""Events in columns make the bytes that the same events make one by one, also where they are disturbed."""

import random

import pytest
from foreign_days import START_US, imported, write_csv
from test_databento import BAD_TIME, HEAD, LAST, SNAPSHOT, market, record
from test_single_orders import as_table

from mm.clock import US_PER_S
from mm.dayfolder import buffered_writer
from mm.formats import feed
from mm.formats.order_export import export_orders
from mm.market_data import grid_stretches, import_session
from simulation import simulate_day

DAY_NS = 86_400 * 10**9


@pytest.fixture(autouse=True)
def often_written(monkeypatch):
    """Let every file be written in parts of a few rows, and a stretch of the grid be a few levels."""
    monkeypatch.setattr(buffered_writer, "FLUSH_BYTES", 1 << 14)
    monkeypatch.setattr(grid_stretches, "STRETCH", 40)


@pytest.fixture
def busy(tmp_path):
    return simulate_day(
        tmp_path / "busy",
        scenario="zero_intelligence",
        hours=0.01,
        limit_reach_ticks=30,
        day="20260105",
        symbol="SIMUSDT",
        seed=5,
    )


def files_of(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def both_ways(monkeypatch, tmp_path, form, paths, **options):
    """Return the report of an import in columns, and how many messages it took so, after a comparison of both ways."""
    taken = []
    take = import_session.ImportSession.take_columns

    def counted(session, batch):
        take(session, batch)
        taken.append(batch.columns.at)

    monkeypatch.setattr(import_session.ImportSession, "take_columns", counted)
    by_columns = imported(form, paths, tmp_path / "columns", **options)
    monkeypatch.setattr(feed, "numbers_of", lambda *_: None)
    one_by_one = imported(form, paths, tmp_path / "single", **options)
    assert by_columns.lines() == [line.replace("single", "columns") for line in one_by_one.lines()]
    assert files_of(tmp_path / "columns") == files_of(tmp_path / "single")
    return by_columns, sum(taken)


@pytest.mark.parametrize("form", ["databento", "hftbacktest_l3", "table"])
def test_simulated_orders(busy, tmp_path, monkeypatch, form):
    """Nearly all messages of a whole market are plain."""
    if form == "table":
        paths, options = [as_table(busy, tmp_path / "x.csv")], {"columns": {"order_id": "name"}}
    else:
        suffix = "npz" if form == "hftbacktest_l3" else "csv"
        paths, options = export_orders(busy, form, tmp_path / f"x.{suffix}").files, {}
    if form == "databento":
        options = {"tick_size": "0.01", "qty_step": "0.001", "units": {"contract_size": "0.001"}}
    name = "hftbacktest" if form == "hftbacktest_l3" else form
    report, taken = both_ways(monkeypatch, tmp_path, name, paths, **options)
    (day,) = report.days
    assert taken > 0.95 * (day.book.diffs + day.trades) > 1_000


def disturbed(rows, rng):  # noqa: PLR0912 - one branch for each disturbance
    """Return records of `market` with whole books, crossings, unknown sides, far and missing days, and finer prices."""
    made = []
    shift_ns, number, far_at = 0, 10_000, 0
    for at, row in enumerate(rows):
        row = list(row)  # noqa: PLW2901 - a copy
        row[0] += shift_ns
        row[1] += shift_ns
        us = row[0] // 1_000
        made.append(row)
        if at < 40 or row[11] != LAST:
            continue
        what = rng.random()
        number += 2
        if what < 0.02:  # crosses the book for a while
            made += [record(us, "A", "B", 10_050, 3, number), record(us + 200, "C", "B", 10_050, 3, number)]
        elif what < 0.04:
            made.append(record(us, "T", "N", 10_000, 2, 0))
        elif what < 0.05:
            made.append(record(us, "T", "B", 10_000, 0, 0))
        elif what < 0.06:
            made += [record(us, "R", "N", None, 0, 0), record(us + 1, "A", "B", 9_990, 5, number)]
            made += [record(us + 2, "A", "A", 10_010, 5, number + 1)]
        elif what < 0.07 and at < len(rows) - 40:  # enough rows of this day follow to tell
            made.append(record(us + 400 * US_PER_S, "A", "B", 9_980, 1, number))
            far_at = at
        elif what < 0.08:
            made.append(record(us, "A", "B", 9_980.5, 1, number))
        elif what < 0.09:  # the exchange's time is unknown
            made[-1][1] = 0
        elif what < 0.1 and at > far_at + 40:
            shift_ns += rng.choice((20 * 10**9, DAY_NS, 3 * DAY_NS))
        elif what < 0.11:  # one order's message changes many levels, and leaves the book as it was
            made += [record(us, "A", "B", 9_900 - n, 1, number * 100 + n, 0) for n in range(5)]
            made.append(record(us, "C", "B", 9_904, 1, number * 100 + 4))
        elif what < 0.12:
            begun = [record(us, "R", "N", None, 0, 0, SNAPSHOT | BAD_TIME)]
            begun += [record(us, "A", "B", 9_985, 7, number, SNAPSHOT | BAD_TIME)]
            made += [*begun, record(us, "A", "A", 10_015, 7, number + 1, SNAPSHOT | BAD_TIME | LAST)]
    for row in made:
        row[7] = int(row[7])
    return made


@pytest.mark.parametrize("units", [{}, {"contract_size": "0.001"}, {"contract_size": "0.3", "price_scale": "1000"}])
@pytest.mark.parametrize("seed", range(6))
def test_disturbed_orders(tmp_path, monkeypatch, seed, units):
    """Whole books, crossed ones, trades without side or quantity, clears, far times, further days and a finer grid."""
    rows, _, _ = market(seed, 1_200)
    path = write_csv(tmp_path / "x.csv", HEAD, disturbed(rows, random.Random(seed)))
    report, taken = both_ways(
        monkeypatch, tmp_path, "databento", [path], symbol="ESM4", qty_step="0.001", tick_size="0.01", units=units
    )
    messages = sum(day.book.diffs + day.trades for day in report.days)
    assert len(report.days) > 1
    assert 0.3 * messages < taken < messages


def test_first_times_are_known_before_columns_begin(tmp_path, monkeypatch):
    """A first time that is far from all others is not that of the day."""
    rows, _, _ = market(2, 300)
    rows[0][0] += 5 * DAY_NS
    path = write_csv(tmp_path / "x.csv", HEAD, rows)
    report, taken = both_ways(monkeypatch, tmp_path, "databento", [path], symbol="ESM4", qty_step="1")
    assert report.days[0].first_us >= START_US
    assert taken
