"""Loading of day folders: the content of the tape, optional files, and errors."""

import gzip
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from day_stories import PLAIN, START, at, check_keyframes, diff, rewrite, snapshot, tape_events, trade, write_day
from plain_day import plain_events, table, text_of

from captured import import_files
from mm import DayFolder, load_day
from mm.dayfolder.manifest import unseal
from mm.errors import BrokenFile, MissingDay, UsageError
from mm.instrument import Instrument
from mm.tape.tape import TOP_COLUMNS
from named import is_kind, kind_of
from strategies import DAY, SIM, START_US, Story, qty
from support import SHARED

shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")


def test_tape_contains_messages_of_day_in_order(tmp_path):
    """Snapshot, changes and trades have their time, recv_seq and id."""
    tape = load_day(write_day(tmp_path, PLAIN))
    assert tape_events(tape) == [
        (at(2), 0, 3, 10, "snapshot", [(1, 99, 5), (-1, 101, 7)]),
        (at(3), at(3), 4, 12, "depth", [(1, 100, 3)]),
        (at(4), at(4), 5, 1, "trade", [(-1, 100, 2)]),
        (at(5), at(5), 6, 13, "depth", [(1, 100, 0)]),
    ]
    assert np.stack([getattr(tape, name) for name in TOP_COLUMNS]).T.tolist() == [
        [0, 99, 101, 5, 7],
        [1, 100, 101, 3, 7],
        [3, 99, 101, 5, 7],
    ]
    assert (tape.symbol, tape.days, tape.instrument, tape.step_lots) == ("SIMUSDT", (DAY,), SIM, 1)
    assert (tape.start_us, tape.end_us, tape.meta.last_update_id) == (at(2), at(5), 13)
    assert [path for path, _, _ in tape.meta.inputs] == sorted(
        f"SIMUSDT/{DAY}/{name}"
        for name in (
            f"diffs/depth_diffs_SIMUSDT_{DAY}.ndjson.gz",
            f"events_SIMUSDT_{DAY}.csv",
            "instrument.json",
            "snapshots/snapshot_2_initial.csv",
            f"trades_ws_SIMUSDT_{DAY}.csv",
        )
    )


def test_day_with_carried_snapshot_continues_previous_day(tmp_path):
    """A carried snapshot continues the book, so a backtest keeps its orders over midnight."""
    first = load_day(write_day(tmp_path, PLAIN))
    second = load_day(write_day(tmp_path, [START, snapshot(0, 13, "carried"), diff(1, 14, 14)], day="20260106"))
    other = load_day(write_day(tmp_path, [START, snapshot(0, 13, "initial"), diff(1, 14, 14)], day="20260107"))
    assert (second.meta.carried_from, second.continues(first)) == (13, True)
    assert not second.continues(second)
    assert not other.continues(first)


@shared
def test_recorded_market_matches_plain_python_reader(tmp_path):
    """The best prices equal the frames written by the import."""
    capture = SHARED / "data/binance-spot-nexousdt-20240723-24/nexousdt_20240723.dat.gz"
    import_files([capture], tmp_path, "NEXOUSDT")
    folder = DayFolder(tmp_path, "NEXOUSDT", "20240723")
    tape = load_day(folder)
    events = plain_events(folder, tape.instrument)
    assert tape_events(tape) == events
    check_keyframes(tape)
    frames = [(int(row["recv_seq"]), row) for row in table(folder.frames)]
    assert [seq for seq, _ in frames] == tape.recv_seq[is_kind(tape, "depth")].tolist()
    last = np.searchsorted(tape.top_event, np.flatnonzero(is_kind(tape, "depth")), "right") - 1
    best = np.stack([getattr(tape, name)[last] for name in TOP_COLUMNS[1:]]).T.tolist()
    to_ticks, to_lots = tape.instrument.ticks, tape.instrument.lots
    assert best == [
        [to_ticks(row["bid1_price"]), to_ticks(row["ask1_price"]), to_lots(row["bid1_qty"]), to_lots(row["ask1_qty"])]
        for _, row in frames
    ]


def test_plain_and_compressed_files_give_same_tape(tmp_path):
    """Every file may be plain, or gzip of one or many members."""
    folder = write_day(tmp_path, PLAIN)
    compressed = load_day(folder)
    folder.diffs.with_suffix("").write_text(text_of(folder.diffs))
    folder.diffs.unlink()
    for path in (folder.trades, folder.events, folder.snapshots / "snapshot_2_initial.csv"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.with_name(path.name + ".gz").write_bytes(b"".join(gzip.compress(line) for line in lines))
        path.unlink()
    assert tape_events(load_day(folder)) == tape_events(compressed)


def test_missing_day_message_lists_available_days(tmp_path):
    """The available days are a hint at the intended folder."""
    folder = write_day(tmp_path, PLAIN)
    with pytest.raises(MissingDay, match=rf"no day folder .*/SIMUSDT/20260106; available days: {DAY};"):
        load_day(folder.path.parent / "20260106")
    with pytest.raises(UsageError, match=f"is not a day folder: its name is not YYYYMMDD; it has {DAY}"):
        load_day(folder.path.parent)


def test_damage_within_gzip_file_raises_broken_file(tmp_path):
    """Data after the damage may not follow the data before it."""
    folder = write_day(tmp_path, [*PLAIN, *(diff(n, 8 + n, 8 + n, [(98, n)]) for n in range(6, 300))])
    data = bytearray(folder.diffs.read_bytes())
    data[len(data) // 2] ^= 0xFF
    folder.diffs.write_bytes(bytes(data))
    with pytest.raises(BrokenFile, match=r"ndjson\.gz: damaged gzip data before byte \d+"):
        load_day(folder)


def test_later_schema_version_raises_broken_file(tmp_path):
    """Its columns or units may differ; a kept tape does not hide the error."""
    folder = write_day(tmp_path, PLAIN)
    load_day(folder, cache=tmp_path / "tapes")
    folder.schema.write_text('{"schema_version": 4}')
    with pytest.raises(BrokenFile, match=r"schema\.json: schema_version is 4, and .* reads 1 to 3; install"):
        load_day(folder, cache=tmp_path / "tapes")


def test_loading_does_not_change_folder(tmp_path):
    """Loading never writes to the data."""
    folder = write_day(tmp_path, PLAIN)
    before = {path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob("*")}
    load_day(folder, cache=tmp_path / "tapes")
    after = {path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob("*") if "tapes" not in str(path)}
    assert {**after, tmp_path: 0} == {**before, tmp_path: 0}
    assert all(first <= second for first, second in pairwise(load_day(DayFolder.at(folder.path)).event_us.tolist()))


def test_too_large_price_message_contains_day_folder(tmp_path):
    """Its ticks would overflow in the book."""
    steps = [
        ("event", START_US, "run_start", 0, {"version": "1", "knobs": {}}),
        ("snapshot", START_US, "initial", 10, [["99.00000000", qty(5)]], [["92233720368.54775807", qty(7)]], 1),
        ("diff", START_US + 1, START_US // 1000, 11, 11, [["98.00000000", qty(5)]], []),
    ]
    folder = Story([steps]).write(tmp_path, instrument=Instrument("SIMUSDT", 1, 100_000))
    with pytest.raises(BrokenFile, match=rf"{folder.path}: a price of {2**63 - 1} ticks, but .* set tick_size_e8"):
        load_day(folder)


def _day_of_prints(tmp_path, swapped, count=100, between=50):
    """A day with *count* trades at the touch, of which *swapped* have the opposite aggressor, and some between."""
    at_touch = [trade(3, 1 + n, 99 + 2 * (n % 2), maker=(n % 2 == 0) != (n < swapped)) for n in range(count)]
    inside = [trade(4, 1 + count + n, 100) for n in range(between)]
    return write_day(tmp_path, [START, diff(1, 1, 5), snapshot(2, 5), *at_touch, *inside])


@pytest.mark.parametrize(
    ("swapped", "count", "found"), [(100, 100, 100), (76, 100, 76), (75, 100, 0), (0, 100, 0), (99, 99, 0)]
)
def test_swapped_aggressors_are_found_by_the_book_before_each_trade(tmp_path, swapped, count, found):
    """Trades between the best prices are not counted, nor is a day of fewer than 100 others judged."""
    folder = _day_of_prints(tmp_path, swapped, count)
    meta = load_day(folder).meta
    assert meta.counts.get("contrary_sides", 0) == found
    warnings = [line for line in meta.warnings if "swapped" in line]
    assert [line.startswith(f"{folder.trades}: {found} trades") for line in warnings] == [True] * bool(found)


@shared
def test_recorded_aggressors_agree_with_the_book(tmp_path):
    """With every side swapped, the trades that agreed with the book are contrary."""
    capture = SHARED / "data/binance-spot-nexousdt-20240723-24/nexousdt_20240723.dat.gz"
    import_files([capture], tmp_path, "NEXOUSDT")
    folder = DayFolder(tmp_path, "NEXOUSDT", "20240723")
    tape = load_day(folder)
    assert "contrary_sides" not in tape.meta.counts
    tops = dict(zip(tape.top_event.tolist(), zip(tape.top_bid_ticks, tape.top_ask_ticks, strict=True), strict=True))
    bid = ask = agree = 0
    for number, kind in enumerate(tape.kind.tolist()):
        if kind_of(kind) == "trade" and bid and ask:
            side, ticks, _ = tape.rows(number)[0]
            agree += ticks >= ask if side > 0 else ticks <= bid
        bid, ask = tops.get(number, (bid, ask))
    assert agree > 100
    unseal(folder)
    swap = {"true": "false", "false": "true"}
    rewrite(folder.trades, lambda text: re.sub(r"\b(true|false)\b", lambda found: swap[found[0]], text))
    assert load_day(folder).meta.counts["contrary_sides"] == agree
