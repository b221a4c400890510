import base64
import gzip
import json

import pytest

from captured import (
    DAY,
    NOON_US,
    SYMBOL,
    agg_trade,
    diff,
    events,
    folder,
    frames,
    imported,
    kinds,
    lines,
    rows,
    snapshot,
    tags,
    ticker,
    trade,
    write,
)
from day_files import defects_of
from mm.clock import US_PER_S, midnight_us
from mm.dayfolder.layout import days_of
from mm.errors import BrokenFile

NEXT = "20260106"
HOUR_US = 3_600 * US_PER_S


def stamped(*pairs):
    """Return capture lines of pairs (receive time, message)."""
    return b"".join(lines([message], us) for us, message in pairs)


def sound(tmp_path, day=DAY):
    """Return the day folder after a check without defects."""
    day_folder = folder(tmp_path, day)
    assert defects_of(day_folder) == []
    return day_folder


def test_days_split_at_midnight_in_berlin_and_the_book_continues(tmp_path):
    """Midnight is 23:00 UTC in winter, file names are irrelevant, and the second day can be read alone."""
    midnight = midnight_us(NEXT)
    capture = stamped(
        (midnight - 2, snapshot(10)),
        (midnight - 1, diff(11, 11, [["99.95", "4"]])),
        (midnight, trade(1)),
        (midnight + 1, diff(12, 12)),
    )
    report = imported(tmp_path, write(tmp_path / "19990101.gz", capture))
    assert [day.day for day in report.days] == [DAY, NEXT]
    assert [(day.lines, day.synced) for day in report.days] == [(2, True), (2, True)]
    first, second = sound(tmp_path), sound(tmp_path, NEXT)
    assert (tags(first), tags(second)) == ([("initial", 10)], [("carried", 11)])
    (loaded,) = [row for row in rows(second.events) if row["type"] == "snapshot_loaded"]
    assert (int(loaded["recv_time_us"]), int(rows(second.trades)[0]["recv_seq"])) == (midnight, 4)
    assert frames(second) == [(1, 12, ("99.95", "4"), ("100.10", "1.5"))]
    assert [kind for kind, _, _ in events(first)][-2:] == ["window_end", "run_stop"]
    assert events(first, "run_stop") == [{"reason": "day_over"}]
    assert events(second, "run_stop") == [{"reason": "end_of_captures"}]


def test_summer_days_begin_two_hours_before_utc_midnight(tmp_path):
    """The split follows the local calendar, also on the day of 23 hours."""
    capture = stamped(
        (midnight_us("20260329") - 1, snapshot(10)),
        (midnight_us("20260329"), diff(11, 11)),
        (midnight_us("20260330") - 1, diff(12, 12)),
        (midnight_us("20260330"), diff(13, 13)),
    )
    report = imported(tmp_path, write(tmp_path / "capture", capture))
    assert [(day.day, day.book.diffs) for day in report.days] == [("20260328", 0), ("20260329", 2), ("20260330", 1)]
    assert midnight_us("20260330") - midnight_us("20260329") == 23 * HOUR_US


def test_missing_day_ends_the_book(tmp_path):
    """The time between two captures is unknown."""
    later = midnight_us("20260108")
    report = imported(tmp_path, [snapshot(10), diff(11, 11)], write(tmp_path / "b", stamped((later, diff(12, 12)))))
    assert [(day.day, day.synced) for day in report.days] == [(DAY, True), ("20260108", False)]
    assert events(sound(tmp_path, "20260108"), "resync_start") == [{"cause": "days_missing"}]


def test_clock_step_back_is_reported_and_rows_keep_their_stamps(tmp_path):
    """Also across midnight: the current day continues."""
    midnight = midnight_us(NEXT)
    capture = stamped(
        (midnight - 5, snapshot(10)),
        (midnight + 3, diff(11, 11)),
        (midnight - 2, diff(12, 12)),
        (midnight - 1, diff(13, 13)),
    )
    report = imported(tmp_path, write(tmp_path / "capture", capture))
    day = sound(tmp_path, NEXT)
    assert events(day, "clock_step") == [{"by_us": -5}]
    assert [int(row["recv_time_us"]) - midnight for row in rows(day.frames)] == [3, -2, -1]
    assert [day.clock_steps for day in report.days] == [0, 1]


def test_captures_may_be_given_in_any_order(tmp_path):
    """Their messages are read in the order of their arrival."""
    later = write(tmp_path / "later", stamped((midnight_us(NEXT), snapshot(10))))
    earlier = write(tmp_path / "earlier", [snapshot(5)])
    report = imported(tmp_path, later, earlier)
    assert [(day.day, day.clock_steps) for day in report.days] == [(DAY, 0), (NEXT, 0)]


def test_a_capture_that_steps_back_by_a_day_raises_broken_file(tmp_path):
    """That is not a clock step; nothing is written."""
    back = [(midnight_us(NEXT), snapshot(10))]
    back += [(midnight_us(NEXT) - (n > 60) * 7_200_000_000 + n, diff(10 + n, 10 + n)) for n in range(1, 120)]
    with pytest.raises(BrokenFile, match=rf"x:62: a message was received on {DAY}, when {NEXT} was open"):
        imported(tmp_path, write(tmp_path / "x", stamped(*back)))
    assert days_of(tmp_path / "data", SYMBOL) == ()


def test_trades_are_stored_once_with_the_exchange_texts(tmp_path):
    """Duplicates are dropped and reported; gaps and the trades that fill them are reported."""
    capture = [snapshot(10), trade(7, "100.10000000"), trade(7), trade(11), trade(9), trade(12)]
    report = imported(tmp_path, capture)
    day = sound(tmp_path)
    assert [row["trade_id"] for row in rows(day.trades)] == ["7", "11", "9", "12"]
    first = rows(day.trades)[0]
    assert (first["price"], first["is_buyer_maker"], first["source"]) == ("100.10000000", "false", "import")
    assert (first["first_trade_id"], first["last_trade_id"]) == ("7", "7")
    assert kinds(day) == ["snapshot_loaded", "duplicate", "trade_gap", "backfill"]
    (hole,) = events(day, "trade_gap")
    assert (hole["from_id"], hole["to_id"], hole["from_us"]) == (8, 10, NOON_US + 100_000)
    assert events(day, "backfill") == [{"from_id": 9, "to_id": 9, "rows": 1}]
    assert (report.days[0].trades, report.days[0].duplicate_trades, report.days[0].trade_gaps) == (4, 1, 1)


def test_aggregate_trades_keep_their_id_ranges(tmp_path):
    """`trade_id` is the id of the aggregate."""
    imported(tmp_path, [agg_trade(5, 70, 72), agg_trade(6, 73, 73)])
    spans = [(row["trade_id"], row["first_trade_id"], row["last_trade_id"]) for row in rows(sound(tmp_path).trades)]
    assert spans == [("5", "70", "72"), ("6", "73", "73")]


@pytest.mark.parametrize(("requested", "stored"), [(None, ["1", "2"]), ("aggTrade", ["5"])])
def test_trades_are_stored_from_one_stream_only(tmp_path, requested, stored):
    """The first stream is used unless one is requested, and the report warns."""
    report = imported(tmp_path, [trade(1), agg_trade(5, 1, 2), trade(2)], trade_stream=requested)
    assert [row["trade_id"] for row in rows(folder(tmp_path).trades)] == stored
    assert any("both trade streams" in warning for warning in report.warnings)


def test_trade_id_reset_is_accepted_and_reported(tmp_path):
    """Trades after a reset are not duplicates."""
    imported(tmp_path, [trade(9_000_000), trade(1), trade(2)])
    assert len(rows(sound(tmp_path).trades)) == 3
    assert [details["kind"] for details in events(folder(tmp_path), "anomaly")] == ["id_reset"]


def test_trade_off_the_tick_is_kept_and_reported(tmp_path):
    """Every trade is kept, whatever its price."""
    imported(tmp_path, [snapshot(10), diff(11, 12), trade(1, price="100.15")], tick_size="0.1")
    day = folder(tmp_path)
    assert events(day, "anomaly") == [{"kind": "grid", "tick_size": "0.05", "from_seq": 0}]
    assert len(rows(day.trades)) == 1
    assert not defects_of(day)


def test_tickers_are_compared_before_or_after_their_update(tmp_path):
    """A difference is reported with the values of the ticker."""
    capture = [
        snapshot(10),
        ticker(12),
        diff(11, 12),
        diff(13, 13),
        ticker(13),
        ticker(14, bid=["99.90", "8"]),
        diff(14, 14),
        ticker(99),
    ]
    report = imported(tmp_path, capture)
    assert (report.compared, report.agreed, report.days[0].tickers) == (3, 2, 4)
    (anomaly,) = events(sound(tmp_path), "anomaly")
    assert (anomaly["kind"], anomaly["book_id"]) == ("ticker_differs", 14)
    assert "('99.90', '8')" in anomaly["difference"]


def test_clock_offset_of_the_day_is_reported(tmp_path):
    """The offset is receive time less `E` of depth messages, negative if the clock is behind the exchange."""
    E = NOON_US // 1000 + 1_270
    report = imported(tmp_path, [diff(1, 1, E=E), diff(2, 2, E=E + 100), diff(3, 3, E=E + 150)])
    assert events(sound(tmp_path), "clock_offset") == [
        {"median_us": -1_270_000, "p99_us": -1_270_000, "stream": "depth"}
    ]
    assert report.days[0].clock_offset_us == -1_270_000


def test_broken_lines_go_to_the_quarantine_of_their_day(tmp_path):
    """Lines are kept raw with file and line; those before the first message go to its day."""
    broken = b'1767610800050000 {"stream":"simusdt@depth@100ms","data":{"e":"depthUp\n'
    report = imported(tmp_path, [b"garbage\n", snapshot(10), diff(11, 11), broken, diff(13, 13)])
    day = sound(tmp_path)
    kept = [json.loads(line) for line in gzip.decompress(day.quarantine.read_bytes()).splitlines()]
    assert [entry["reason"].split(": ")[0] for entry in kept] == ["capture_0.gz:1", "capture_0.gz:4"]
    assert base64.b64decode(kept[1]["raw_base64"]) == broken.rstrip(b"\n")
    assert report.days[0].quarantined == 2
    assert [details["from_id"] for details in events(day, "gap")] == [12]
