"""Each kind of damage to a recorded day is reported with its file and row."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from day_files import check, defects_of
from mm import DayFolder
from mm.dayfolder.line_files import gzip_member
from mm.dayfolder.rows import MOST_OF_A_KIND
from mm.errors import MissingDay

FRAMES, TRADES, EVENTS, GAPS = "orderbook_ws_depth", "trades_ws", "events", "gaps"


def path_of(folder, name):
    return folder.path / f"{name}_{folder.symbol}_{folder.day}.csv"


def rewrite(path, change):
    """Apply *change* to the rows of a CSV, header first."""
    rows = list(csv.reader(io.StringIO(path.read_text())))
    change(rows)
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def cell(name, row, column, value):
    """Return damage that sets one cell to *value*; rows count from 1."""

    def damage(folder):
        rewrite(path_of(folder, name), lambda rows: rows[row].__setitem__(rows[0].index(column), value))

    return damage


def dropped(name, row):
    return lambda folder: rewrite(path_of(folder, name), lambda rows: rows.pop(row))


def doubled(name, row):
    return lambda folder: rewrite(path_of(folder, name), lambda rows: rows.insert(row, rows[row]))


def diffs(change):
    """Return damage that applies *change* to the list of depth messages."""

    def damage(folder):
        rows = [json.loads(line) for line in gzip.decompress(folder.diffs.read_bytes()).splitlines()]
        change(rows)
        lines = (json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        folder.diffs.write_bytes(gzip_member("".join(lines).encode()))

    return damage


def diff(row, **values):
    return diffs(lambda rows: rows[row - 1].update(values))


def details(row, **values):
    """Return damage to the details of one event."""

    def damage(folder):
        def change(rows):
            rows[row][6] = json.dumps({**json.loads(rows[row][6]), **values})

        rewrite(folder.events, change)

    return damage


def snapshot(row, column, value):
    def damage(folder):
        rewrite(folder.snapshot(11, "resync"), lambda rows: rows[row].__setitem__(rows[0].index(column), value))

    return damage


def torn(name, count):
    """Return damage that cuts the last *count* bytes."""

    def damage(folder):
        path = folder.path / name
        path.write_bytes(path.read_bytes()[:-count])

    return damage


def appended(name, data):
    def damage(folder):
        path = folder.path / name
        path.write_bytes(path.read_bytes() + data)

    return damage


def instrument(tick):
    def damage(folder):
        folder.instrument.write_text(folder.instrument.read_text().replace("0.01000000", tick))

    return damage


DIFFS = "diffs/depth_diffs_SIMUSDT_20260105.ndjson.gz"
SNAPSHOT = "snapshots/snapshot_11_resync.csv"
FRAMES_CSV, TRADES_CSV = "orderbook_ws_depth_SIMUSDT_20260105.csv", "trades_ws_SIMUSDT_20260105.csv"
EVENTS_CSV, GAPS_CSV = "events_SIMUSDT_20260105.csv", "gaps_SIMUSDT_20260105.csv"
MANIFEST, QUARANTINE = "manifest_SIMUSDT_20260105.json", "quarantine/frames_SIMUSDT_20260105.ndjson.gz"

DAMAGE = {
    "no ledger": (lambda folder: folder.events.unlink(), EVENTS_CSV, None, "missing_file"),
    "no trades": (lambda folder: folder.trades.unlink(), TRADES_CSV, None, "missing_file"),
    "no books": (lambda folder: (folder.diffs.unlink(), folder.frames.unlink()), DIFFS, None, "missing_file"),
    "header of frames": (cell(FRAMES, 0, "bid2_qty", "bid2_size"), FRAMES_CSV, 0, "columns"),
    "header of trades": (cell(TRADES, 0, "price", "px"), TRADES_CSV, 0, "columns"),
    "header of events": (cell(EVENTS, 0, "type", "kind"), EVENTS_CSV, 0, "columns"),
    "header of gaps": (cell(GAPS, 0, "event", "type"), GAPS_CSV, 0, "columns"),
    "repeated header": (doubled(TRADES, 0), TRADES_CSV, 1, "type"),
    "short row": (lambda f: rewrite(f.trades, lambda rows: rows[2].pop()), TRADES_CSV, 2, "columns"),
    "no number": (cell(TRADES, 2, "trade_id", "2x"), TRADES_CSV, 2, "type"),
    "no decimal": (cell(TRADES, 3, "qty", "1e3"), TRADES_CSV, 3, "type"),
    "no boolean": (cell(TRADES, 1, "is_buyer_maker", "True"), TRADES_CSV, 1, "type"),
    "no source": (cell(TRADES, 1, "source", "guess"), TRADES_CSV, 1, "type"),
    "no JSON": (cell(EVENTS, 3, "details_json", "{url"), EVENTS_CSV, 3, "type"),
    "not UTF-8": (lambda f: f.trades.write_bytes(f.trades.read_bytes() + b"\xff\n"), TRADES_CSV, 8, "encoding"),
    "torn CSV": (torn(FRAMES_CSV, 3), FRAMES_CSV, 9, "torn_tail"),
    "torn gzip": (torn(DIFFS, 3), DIFFS, 16, "torn_gzip"),
    "rubbish behind gzip": (appended(DIFFS, b"\x1f\x8b\x08 rubbish"), DIFFS, 16, "torn_gzip"),
    "number does not rise": (cell(TRADES, 2, "recv_seq", "9"), TRADES_CSV, 2, "order"),
    "number used twice": (cell(TRADES, 1, "recv_seq", "8"), TRADES_CSV, 1, "order"),
    "unknown run": (cell(TRADES, 1, "run_id", "R9"), TRADES_CSV, 1, "run"),
    "recv_ms is not recv_us": (cell(TRADES, 1, "recv_time_ms", "1767600001001"), TRADES_CSV, 1, "time"),
    "another day": (
        lambda f: (
            cell(TRADES, 1, "recv_time_ms", "1767000000000")(f),
            cell(TRADES, 1, "recv_time_us", "1767000000000000")(f),
        ),
        TRADES_CSV,
        1,
        "time",
    ),
    "µs in an ms column": (cell(TRADES, 2, "event_time_ms", "1767600000900000"), TRADES_CSV, 2, "type"),
    "s in an ms column": (cell(TRADES, 2, "trade_time_ms", "1767600000"), TRADES_CSV, 2, "type"),
    "ns in E": (diff(3, E=1767600000600000000), DIFFS, 3, "type"),
    "clock steps back": (
        lambda f: (
            cell(TRADES, 2, "recv_time_ms", "1767599990000")(f),
            cell(TRADES, 2, "recv_time_us", "1767599990000000")(f),
        ),
        TRADES_CSV,
        2,
        "clock",
    ),
    "event id lost": (dropped(EVENTS, 9), EVENTS_CSV, 9, "event_id"),
    "event id again": (cell(EVENTS, 5, "event_id", "4"), EVENTS_CSV, 5, "event_id"),
    "unknown event": (cell(EVENTS, 3, "type", "ws_open"), EVENTS_CSV, 3, "event"),
    "event without its keys": (cell(EVENTS, 3, "details_json", "{}"), EVENTS_CSV, 3, "event"),
    "gap that is no range": (details(6, to_id=100), EVENTS_CSV, 6, "event"),
    "epoch skipped": (cell(EVENTS, 11, "epoch_id", "3"), EVENTS_CSV, 11, "epoch"),
    "epoch before its snapshot": (cell(EVENTS, 4, "epoch_id", "1"), EVENTS_CSV, 4, "epoch"),
    "run does not start": (cell(EVENTS, 1, "type", "window_end"), EVENTS_CSV, 1, "state"),
    "run starts twice": (cell(EVENTS, 20, "type", "run_start"), EVENTS_CSV, 20, "state"),
    "events after run_stop": (cell(EVENTS, 15, "type", "run_stop"), EVENTS_CSV, 16, "state"),
    "run never ended": (details(19, previous_run_id="R0"), EVENTS_CSV, 17, "state"),
    "window ends unopened": (cell(EVENTS, 20, "type", "stall"), EVENTS_CSV, 32, "state"),
    "request not answered": (cell(EVENTS, 9, "type", "stall"), EVENTS_CSV, 10, "state"),
    "answer not requested": (cell(EVENTS, 10, "type", "stall"), EVENTS_CSV, 11, "state"),
    "resync done unstarted": (cell(EVENTS, 7, "type", "stall"), EVENTS_CSV, 12, "state"),
    "gap row of no event": (cell(GAPS, 1, "recv_seq", "12"), GAPS_CSV, 1, "event"),
    "gap row of another event": (cell(GAPS, 1, "event", "trade_gap"), GAPS_CSV, 1, "event"),
    "gap row without number": (cell(GAPS, 2, "recv_seq", "-"), GAPS_CSV, 2, "type"),
    "snapshot lost": (lambda f: f.snapshot(11, "resync").unlink(), EVENTS_CSV, 11, "snapshot"),
    "snapshot of another event": (details(11, path="snapshots/snapshot_5_initial.csv"), EVENTS_CSV, 11, "snapshot"),
    "snapshot of an unknown tag": (
        lambda f: (
            f.snapshot(11, "resync").rename(f.snapshot(11, "late")),
            details(11, path="snapshots/snapshot_11_late.csv")(f),
        ),
        EVENTS_CSV,
        11,
        "snapshot",
    ),
    "snapshot orphaned": (
        lambda f: f.snapshot(99, "resync").write_text(""),
        "snapshots/snapshot_99_resync.csv",
        None,
        "orphan",
    ),
    "snapshot half written": (
        lambda f: (f.snapshots / "snapshot_40_resync.csv.tmp").write_text(""),
        "snapshots/snapshot_40_resync.csv.tmp",
        None,
        "orphan",
    ),
    "snapshot too old for its diffs": (
        lambda f: (
            details(11, last_update_id=105)(f),
            rewrite(f.snapshot(11, "resync"), lambda rows: [row.__setitem__(5, "105") for row in rows[1:]]),
        ),
        EVENTS_CSV,
        11,
        "snapshot",
    ),
    "snapshot header": (snapshot(0, "side", "sides"), SNAPSHOT, 0, "columns"),
    "snapshot of another id": (snapshot(2, "lastUpdateId", "111"), SNAPSHOT, 2, "type"),
    "snapshot side": (snapshot(2, "side", "buy"), SNAPSHOT, 2, "type"),
    "snapshot off the tick": (snapshot(1, "price", "99.975"), EVENTS_CSV, 11, "off_tick"),
    "snapshot crossed": (snapshot(1, "price", "101.00"), EVENTS_CSV, 11, "crossed"),
    "diff lost": (diffs(lambda rows: rows.pop(3)), DIFFS, 4, "hole"),
    "gap not in the ledger": (details(22, from_id=116), DIFFS, 10, "hole"),
    "diff of no id range": (diff(4, U=106), DIFFS, 4, "type"),
    "diff with another key": (diff(1, pu=89), DIFFS, 1, "type"),
    "diff quantity": (diff(1, b=[["50.00", "one"]]), DIFFS, 1, "type"),
    "diff price": (diff(2, b=[["-50.00", "1"]]), DIFFS, 2, "off_tick"),
    "diff off the tick": (diff(4, b=[["100.001", "4"]]), DIFFS, 4, "off_tick"),
    "diff crosses in silence": (diff(4, b=[["100.02", "4"]]), FRAMES_CSV, 3, "frame_unexpected"),
    "frame lost": (dropped(FRAMES, 4), FRAMES_CSV, 4, "frame_missing"),
    "frame of nothing": (cell(FRAMES, 3, "recv_seq", "12"), FRAMES_CSV, 3, "frame_unexpected"),
    "frame qty": (cell(FRAMES, 3, "bid1_qty", "4.0"), FRAMES_CSV, 3, "frame_differs"),
    "frame padded with zeros": (cell(FRAMES, 1, "bid3_qty", "0"), FRAMES_CSV, 1, "frame_differs"),
    "frame epoch": (cell(FRAMES, 4, "epoch_id", "1"), FRAMES_CSV, 4, "frame_differs"),
    "frame update id": (cell(FRAMES, 4, "last_update_id", "113"), FRAMES_CSV, 4, "frame_differs"),
    "frame event time": (cell(FRAMES, 4, "event_time_ms", "1767600001799"), FRAMES_CSV, 4, "frame_differs"),
    "trade twice": (cell(TRADES, 2, "trade_id", "1"), TRADES_CSV, 2, "trade_id"),
    "trade from REST twice": (cell(TRADES, 5, "trade_id", "3"), TRADES_CSV, 5, "trade_id"),
    "trade late in the stream": (cell(TRADES, 5, "source", "ws"), TRADES_CSV, 5, "type"),
    "trade lost": (dropped(TRADES, 2), TRADES_CSV, 2, "trade_hole"),
    "trades lost between runs": (details(23, from_id=10), TRADES_CSV, 7, "trade_hole"),
    "trade off the tick": (cell(TRADES, 2, "price", "100.015"), TRADES_CSV, 2, "off_tick"),
    "trade ids backwards": (cell(TRADES, 2, "first_trade_id", "3"), TRADES_CSV, 2, "type"),
    "instrument unreadable": (lambda f: f.instrument.write_text("{}"), "instrument.json", None, "instrument"),
    "instrument of another symbol": (
        lambda f: f.instrument.write_text(f.instrument.read_text().replace("SIMUSDT", "BTCUSDT")),
        "instrument.json",
        None,
        "instrument",
    ),
    "another tick": (instrument("0.03000000"), TRADES_CSV, 1, "off_tick"),
    "schema unreadable": (lambda f: f.schema.write_text("["), "schema.json", None, "schema"),
    "schema of the future": (lambda f: f.schema.write_text('{"schema_version": 4}'), "schema.json", None, "schema"),
    "manifest unreadable": (lambda f: f.manifest.write_text("{"), MANIFEST, None, "manifest"),
    "quarantine": (
        lambda f: f.quarantine.write_bytes(gzip_member(b'{"recv_us":1}\n')),
        QUARANTINE,
        1,
        "type",
    ),
    "quarantine order": (
        lambda f: f.quarantine.write_bytes(f.quarantine.read_bytes() * 2),
        QUARANTINE,
        2,
        "order",
    ),
}


def places(report):
    return [(defect.file, defect.row, defect.kind) for defect in report.defects]


def test_clean_day_has_no_defects(recorded_day):
    """Restarts, gaps, resyncs, refreshes, stale diffs and a crossed book are no defects if the ledger has them."""
    report = check(recorded_day)
    assert (report.ok, report.sealed, report.defects, report.gaps) == (True, True, [], 2)
    assert report.trades == len(recorded_day.trades.read_text().splitlines()) - 1 > 0
    # 0.2 s in epoch 1, 0.8 s in epoch 2 (in all of which trades are missing), single frames in the others.
    assert report.covered_s == pytest.approx(1.2)


def test_unsealed_day_is_checked_without_hashes(unsealed_day):
    """A day without a manifest is not sealed, and its rows are still checked."""
    report = check(unsealed_day)
    assert (report.ok, report.sealed, report.defects) == (True, False, [])


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported_with_file_and_row(unsealed_day, name):
    """Each kind of damage is reported with its file, row and kind."""
    damage, file, row, kind = DAMAGE[name]
    damage(unsealed_day)
    report = check(unsealed_day)
    assert not report.ok
    assert (file, row, kind) in places(report)
    assert all(defect.message for defect in report.defects)


def manifest(before, after):
    return lambda folder: folder.manifest.write_text(folder.manifest.read_text().replace(before, after, 1))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (TRADES_CSV, cell(TRADES, 2, "qty", "0.6")),
        (DIFFS, appended(DIFFS, gzip_member(b""))),
        ("schema.json", appended("schema.json", b"\n")),
        ("note.txt", lambda folder: (folder.path / "note.txt").write_text("mine")),
        ("schema.json", lambda folder: folder.schema.unlink()),
        (TRADES_CSV, manifest('"rows": 7', '"rows": 6')),
        (EVENTS_CSV, manifest('"last_id": 33', '"last_id": 32')),
        (MANIFEST, manifest('"day": "20260105"', '"day": "20260106"')),
    ],
)
def test_sealed_day_is_compared_with_its_manifest(recorded_day, name, damage):
    """Hashes reveal what the row checks cannot: a changed quantity, a lost or foreign file."""
    damage(recorded_day)
    report = check(recorded_day)
    assert report.sealed
    assert (name, None, "manifest") in places(report)


def test_frames_without_diffs_are_checked(unsealed_day):
    """Without diffs there is no book to compare with; order, depth, ticks and epochs are still checked."""
    unsealed_day.diffs.unlink()
    assert defects_of(unsealed_day) == []
    damage = [
        (1, "bid1_price", "100.02", "levels"),
        (2, "bid1_price", "", "levels"),
        (3, "ask2_price", "100.00", "levels"),
        (4, "ask2_price", "100.025", "levels"),
        (5, "epoch_id", "9", "epoch"),
        (6, "bid1_qty", "x", "levels"),
        (7, "bid2_price", "nan", "levels"),
    ]
    for row, column, value, _ in damage:
        cell(FRAMES, row, column, value)(unsealed_day)
    assert places(check(unsealed_day)) == [(FRAMES_CSV, row, kind) for row, _, _, kind in damage]


def test_missing_frames_file_is_no_defect(unsealed_day):
    """Frames can be derived from the diffs."""
    unsealed_day.frames.unlink()
    assert defects_of(unsealed_day) == []


def test_frames_lost_in_crash_are_no_defect(unsealed_day):
    """Diffs are written before their frames: a killed run may lack its last frames, a stopped run may not."""
    rewrite(unsealed_day.frames, lambda rows: rows.pop())
    assert places(check(unsealed_day)) == [(FRAMES_CSV, None, "frame_missing")]
    rewrite(unsealed_day.events, lambda rows: rows.pop())
    assert defects_of(unsealed_day) == []


def test_older_day_may_lack_late_columns(unsealed_day):
    """Columns added later are trailing, and readers work without them."""
    for name, late in ((FRAMES, 2), (TRADES, 4), (EVENTS, 1), (GAPS, 1)):
        rewrite(
            path_of(unsealed_day, name),
            lambda rows, late=late: rows.__setitem__(slice(None), [r[:-late] for r in rows]),
        )
    report = check(unsealed_day)
    # Without a source, trades filled in later cannot be distinguished from those of the stream.
    assert {(defect.file, defect.kind) for defect in report.defects} <= {
        (TRADES_CSV, "type"),
        (TRADES_CSV, "trade_hole"),
    }


def test_compressed_and_plain_files_are_both_read(unsealed_day):
    """Tables may be compressed, and diffs decompressed."""
    for path in (unsealed_day.frames, unsealed_day.trades, unsealed_day.events, unsealed_day.snapshot(5, "initial")):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    unsealed_day.diffs.with_suffix("").write_bytes(gzip.decompress(unsealed_day.diffs.read_bytes()))
    unsealed_day.diffs.unlink()
    assert defects_of(unsealed_day) == []


def test_excess_defects_of_one_kind_are_counted(unsealed_day):
    """A badly damaged file must not flood the terminal."""
    with unsealed_day.trades.open("a") as stream:
        stream.write("short\n" * (MOST_OF_A_KIND + 5))
    defects = defects_of(unsealed_day)
    assert len(defects) == MOST_OF_A_KIND + 1
    assert (defects[-1].row, defects[-1].message) == (None, "5 more of this kind")


def test_missing_folder_raises_missing_day(tmp_path):
    """A missing folder is not a clean day."""
    with pytest.raises(MissingDay, match="20260105"):
        check(DayFolder(tmp_path, "SIMUSDT", "20260105"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_flipped_bit_of_sealed_day_is_reported(pristine_day, data):
    """The check reports the file of any flipped bit, and does not raise."""
    files = [path for path in sorted(pristine_day.path.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    path = data.draw(st.sampled_from([path for path in files if path != pristine_day.manifest]))
    before = path.read_bytes()
    place, bit = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(0, 7))
    after = bytearray(before)
    after[place] ^= 1 << bit
    path.write_bytes(after)
    try:
        assert pristine_day.relative(path) in {defect.file for defect in defects_of(pristine_day)}
    finally:
        path.write_bytes(before)
