"""Days as hftbacktest's arrays: the requirements of its reader, and the same book after a reimport."""

import numpy as np
import pytest
from foreign_days import PlainMarket, books_of, imported, write_hftbacktest, write_tardis

from mm import Tape, load_day
from mm.errors import RunExists, UsageError
from mm.formats.hftbacktest_export import export_hftbacktest
from mm.instrument import Instrument

EXCH, LOCAL = 1 << 31, 1 << 30
GRID = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=100_000)


def check_valid(data):
    """Check the rows as hftbacktest's validate_event_order does, and that no latency is negative."""
    for flag, name in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        visible = data[(data["ev"] & flag) != 0]
        assert (np.diff(visible[name]) >= 0).all()
    assert (data["local_ts"] >= data["exch_ts"]).all()
    return data


@pytest.mark.parametrize("seed", range(4))
def test_reimported_day_has_the_same_book_at_every_time(tmp_path, seed):
    """Exchange times out of order do not change the local side."""
    market = PlainMarket(seed, gap_us=15_000)
    first = imported("tardis", write_tardis(tmp_path, market), tmp_path / "data")
    done = export_hftbacktest(load_day(first.days[0].path), tmp_path / "x.npz")
    data = check_valid(np.load(done.path)["data"])
    assert (done.rows, done.split > 0) == (len(data), True)
    reimported = imported("hftbacktest", [done.path], tmp_path / "back")
    assert books_of(reimported.days[0].path) == books_of(first.days[0].path) == (market.books, market.trades)


def test_both_sides_have_every_event_once(tmp_path):
    market = PlainMarket(1, gap_us=15_000)
    first = imported("tardis", write_tardis(tmp_path, market), tmp_path / "data")
    export_hftbacktest(load_day(first.days[0].path), tmp_path / "x.npz")
    data = np.load(tmp_path / "x.npz")["data"]
    sides = [data[(data["ev"] & flag) != 0] for flag in (EXCH, LOCAL)]
    rows = [sorted(zip(*(events[name] for name in ("local_ts", "px", "qty")), strict=True)) for events in sides]
    assert rows[0] == rows[1]
    assert len(rows[0]) == len(list(market.rows())) + 1  # and one clearing


def test_gaps_are_reimported_as_gaps(tmp_path):
    us = 1_767_600_000_000_000
    tape = Tape.of(
        GRID,
        [
            (us, "snapshot", [(99, 5)], [(101, 6)]),
            (us + 10, "depth", [(100, 2)], []),
            (us + 20, "gap"),
            (us + 30, "trade", 1, 101, 3),
            (us + 40, "snapshot", [(98, 1)], [(102, 1)]),
        ],
    )
    export_hftbacktest(tape, tmp_path / "x.npz")
    report = imported("hftbacktest", [tmp_path / "x.npz"], tmp_path / "data")
    books, trades = books_of(report.days[0].path)
    assert [book is None for book in books.values()] == [False, True, False]  # it ends with its last message
    assert books[us + 10] is None
    assert [at for at, *_ in trades] == [us + 30]
    sides = [{float(price): float(qty) for price, qty in side.items()} for side in books[us + 40]]
    assert sides == [{0.98: 0.001}, {1.02: 0.001}]


def test_clock_behind_the_exchange_shifts_exchange_times(tmp_path):
    """Receive times stay, and no event is received before it happens."""
    us = 1_767_600_000_000_000
    tape = Tape.of(
        GRID,
        [
            (us, "snapshot", [(99, 5)], [(101, 6)]),
            (us + 50, "trade", 1, 101, 3, us + 250),
            (us + 60, "trade", 1, 101, 3, us + 255),
        ],
    )
    done = export_hftbacktest(tape, tmp_path / "x.npz")
    data = check_valid(np.load(tmp_path / "x.npz")["data"])
    assert done.shift_us == 200
    assert sorted(set(data["local_ts"])) == [us * 1000, (us + 50) * 1000, (us + 60) * 1000]
    assert data["exch_ts"][-2:].tolist() == [(us + 50) * 1000, (us + 55) * 1000]


def test_existing_file_is_not_overwritten(tmp_path):
    write_hftbacktest(tmp_path / "x.npz", PlainMarket(1))
    tape = Tape.of(GRID, [(1_767_600_000_000_000, "snapshot", [(99, 5)], [(101, 6)])])
    with pytest.raises(RunExists, match=r"x\.npz exists already"):
        export_hftbacktest(tape, tmp_path / "x.npz")
    with pytest.raises(UsageError, match=r"must end in \.npz"):
        export_hftbacktest(tape, tmp_path / "x.csv")


def test_a_single_far_exchange_time_moves_no_other(tmp_path):
    """It is left out: that trade happens with the message before it."""
    us = 1_767_600_000_000_000
    events = [(us, "snapshot", [(99, 5)], [(101, 6)])]
    for n in range(1, 60):
        at = us + n * 1_000_000
        events.append((at, "depth", [(99, 5 + n % 2)], []))
        ahead = 30_000_000 if n == 30 else -10_000
        events.append((at + 1, "trade", 1, 101, 1, at + ahead))
    tape = Tape.of(GRID, events)
    done = export_hftbacktest(tape, tmp_path / "x.npz")
    data = np.load(tmp_path / "x.npz")["data"]
    assert (done.shift_us, done.stray) == (0, 1)
    assert (data["local_ts"] - data["exch_ts"]).max() <= 10_001_000
