"""A day recorded by the recorder through a cut connection: the outage has no book, and fetched trades fill nothing."""

import csv
from shutil import copytree

import numpy as np
import pytest
from simulated import simulate

import mm
from day_files import check
from mm import DayFolder, Rules
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.simple import FixedSpread
from mm.clock import US_PER_S
from mm.dayfolder.coverage import cover
from mm.dayfolder.manifest import unseal
from named import is_kind, kind_of


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a day of a minute with an outage of more than 20 s, which the oracle has compared with the true book."""
    day, _ = simulate("at time 20 do restart for_s=20", 60, tmp_path_factory.mktemp("outage"))
    return day


def outage_us(day):
    """Return the last depth message before the missing ids, and the snapshot after them, from the rows alone."""
    (hole,) = day.logged("gap")
    loaded = [int(row["recv_time_us"]) for row in day.events if row["type"] == "snapshot_loaded"]
    return max(diff["recv_us"] for diff in day.diffs if diff["u"] < hole["from_id"]), loaded[1]


def test_outage_is_excluded_alike_everywhere(recorded):
    """Check, coverage, tape and backtest agree with the rows of the day."""
    begin_us, end_us = outage_us(recorded)
    assert end_us - begin_us > 20 * US_PER_S
    first_us = next(int(row["recv_time_us"]) for row in recorded.events if row["type"] == "snapshot_loaded")
    folder, tape = DayFolder.at(recorded.path), mm.load_day(recorded.path)
    covered_s = (begin_us - first_us + recorded.diffs[-1]["recv_us"] - end_us) / US_PER_S
    assert tape.event_us[is_kind(tape, "gap")].tolist() == [begin_us]
    assert check(folder).covered_s == pytest.approx(covered_s, abs=0.2)
    coverage = cover(folder)
    assert coverage.covered_s == pytest.approx(covered_s, abs=0.2)
    assert (coverage.excluded[1].from_us, coverage.excluded[1].to_us) == (begin_us, end_us)
    result = played(tape)
    assert result.excluded().tolist() == [[begin_us, end_us]]
    assert result.summary["seconds_covered"] == pytest.approx(covered_s, abs=0.2)
    for us in (begin_us + 1, begin_us + 10 * US_PER_S, end_us - 1):
        assert len(tape.book_at(us)) == 0


def played(tape):
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, quote_lots=100, enforce_balances=False)
    return mm.backtest(tape, FixedSpread(delta_ticks=0.5), TradeCross(), rules)


def test_fetched_trades_lie_in_the_outage_and_fill_nothing(recorded, tmp_path):
    """They count for volume and ids; fills and fit are those of the day without them."""
    begin_us, end_us = outage_us(recorded)
    tape, rest = mm.load_day(recorded.path), {int(r["trade_id"]) for r in recorded.trades if r["source"] == "rest"}
    assert len(rest) > 20
    trades = is_kind(tape, "trade")
    assert tape.event_id[trades].tolist() == sorted(int(row["trade_id"]) for row in recorded.trades)
    fetched = trades & np.isin(tape.event_id, list(rest))
    assert tape.event_us[fetched].tolist() == tape.event_exch_us[fetched].tolist()
    assert begin_us < tape.event_us[fetched].min() <= tape.event_us[fetched].max() < end_us

    path = copytree(recorded.path, tmp_path / "SIMUSDT" / recorded.path.name)
    unseal(DayFolder.at(path))
    (file,) = path.glob("trades_*.csv")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if next(csv.reader([line]))[-1] != "rest"))
    without = mm.load_day(path)
    assert is_kind(without, "trade").sum() == trades.sum() - len(rest)
    ours, others = played(tape), played(without)
    assert len(ours.fills)
    assert ours.fills.equals(others.fills)
    assert not [ms for ms in ours.fills["recv_ms"].to_list() if begin_us < ms * 1000 < end_us]
    one, other = mm.calibrate(tape), mm.calibrate(without)
    assert one.points.fills.sum() > 20
    for name in ("delta_ticks", "exposure_s", "fills"):
        assert getattr(one.points, name).tolist() == getattr(other.points, name).tolist()
    assert (one.A, one.k, one.n_fills) == (other.A, other.k, other.n_fills)


def test_trades_fetched_on_a_valid_book_exclude_their_time(tmp_path):
    """Only trades were lost: the time between the neighbours is not counted, and the book is true afterwards."""
    day, _ = simulate("at time 10 do drop n=40 of=trade", 20, tmp_path)
    rest = [int(row["trade_id"]) for row in day.trades if row["source"] == "rest"]
    assert rest
    tape = mm.load_day(day.path)
    tape.check()
    fetched = is_kind(tape, "trade") & np.isin(tape.event_id, rest)
    marks = np.flatnonzero(is_kind(tape, "gap") | is_kind(tape, "snapshot"))
    before = marks[np.searchsorted(marks, np.flatnonzero(fetched)) - 1]
    assert set(map(kind_of, tape.kind[before])) == {"gap"}
    assert kind_of(tape.kind[marks[-1]]) == "snapshot"
