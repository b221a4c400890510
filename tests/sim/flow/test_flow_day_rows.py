"""The fast writer of simulated days: its output equals that of the plain one, to the byte."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_recorder import PlainRecorder

from log_book import Book, read_log
from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import write_manifest
from mm.instrument import Instrument
from mm.sim.flow import recorder
from mm.sim.flow._day_rows import Lines
from mm.sim.flow.day import order_log
from mm.sim.flow.recorder import DayLog, LogFile, SessionMessages
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import LIMIT, MARKET, OP_CANCEL, OP_SUBMIT
from plain_matching import write_log

SESSION = Session("SIMUSDT", "20260105", 1.0, 7)
FINE = Instrument("SIMUSDT", tick_e8=1, lot_e8=1, min_notional_e8=500_000_000)
COARSE = Instrument("SIMUSDT", tick_e8=2_500_000_000, lot_e8=10_000_000_000)
PLAIN = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=100_000)
TOP_N = 3


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    """Write even a short day in many blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "FLUSH_BYTES", 1_500)
        yield


def to_end(us):
    """Return the time to the next depth message; 0 at its very instant."""
    return (SESSION.open_us - us) % STEP_US


@st.composite
def logs(draw):
    """An order log in pieces that end at a depth message; the first is the opening."""
    engine = Matching(first_order_id=10, first_trade_id=20, first_update_id=30)
    middle = draw(st.sampled_from((20, 2**39)))
    pieces, us = [], SESSION.open_us
    for _ in range(draw(st.integers(1, 4))):
        commands = []
        for _ in range(draw(st.integers(0, 25))):
            op, kind = draw(st.sampled_from(((OP_SUBMIT, LIMIT),) * 6 + ((OP_SUBMIT, MARKET), (OP_CANCEL, 0))))
            ticks = middle + draw(st.integers(-9, 9)) if kind == LIMIT else 0
            arg = 0 if op == OP_SUBMIT else engine.last_order_id + draw(st.integers(-5, 5))
            side, lots = draw(st.sampled_from((1, -1))), draw(st.sampled_from((1, 2, 3, 2**47)))
            commands.append((us, op, 1, side, ticks, lots, kind, arg))
            if pieces:
                us += draw(st.sampled_from((0, 0, 1, 30_000, 3 * STEP_US, to_end(us))))
        engine.run(np.array(commands, np.int64).reshape(-1, 8))
        pieces.append(engine.take_log())
        us += to_end(us) + draw(st.sampled_from((1, STEP_US)))
    return pieces


def record(root, pieces, instrument, recorder_class):
    """Record *pieces* into a folder under *root* and return it."""
    folder = DayFolder(root, "SIMUSDT", SESSION.day)
    with DayWriter(folder, "R\\1", top_n=TOP_N, instrument=instrument) as writer:
        writer.event(SESSION.open_us, "run_start", 0, {"version": "1", "knobs": {}})
        book = Book()
        book.play(map(tuple, pieces[0].tolist()))
        bids, asks = book.depth(1), book.depth(-1)
        texts = ([(instrument.price(ticks), instrument.qty(lots)) for ticks, lots in side] for side in (bids, asks))
        writer.snapshot(SESSION.open_us, "initial", max(book.update_id, 30), *texts, 1)
        recorder = recorder_class(writer, SESSION, instrument, TOP_N)
        recorder.load(1, bids, asks)
        for piece in pieces[1:]:
            recorder.take(piece.tolist() if recorder_class is PlainRecorder else piece)
        if recorder_class is DayLog:
            recorder.finish()
        writer.event(SESSION.close_us, "run_stop", 1, {"reason": "window_end"})
        writer.seal()
    return folder


def contents(folder):
    """Return the bytes of every file, uncompressed; of the manifest only what does not depend on the compression."""
    files = {}
    for path in sorted(path for path in folder.path.rglob("*") if path.is_file()):
        data = path.read_bytes()
        files[folder.relative(path)] = gzip.decompress(data) if path.suffix == ".gz" and data else data
    manifest = json.loads(files[folder.relative(folder.manifest)])
    for entry in manifest["files"]:
        if entry["path"].endswith(".gz"):
            del entry["bytes"], entry["sha256"]
    return files | {folder.relative(folder.manifest): manifest}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(pieces=logs(), instrument=st.sampled_from((FINE, PLAIN, COARSE)))
def test_day_matches_the_plain_writer(tmp_path_factory, pieces, instrument):
    """Diffs, frames, trades, schema, ledger and manifest, for any log and grid."""
    root = tmp_path_factory.mktemp("days")
    fast, plain = (record(root / kind.__name__, pieces, instrument, kind) for kind in (DayLog, PlainRecorder))
    assert contents(fast) == contents(plain)


@settings(max_examples=10, deadline=None)
@given(pieces=logs())
def test_manifest_of_seal_matches_manifest_from_files(tmp_path_factory, pieces):
    """Rows and ids of the manifest are those of the files."""
    folder = record(tmp_path_factory.mktemp("days"), pieces, PLAIN, DayLog)
    sealed = folder.manifest.read_bytes()
    write_manifest(folder, ["R\\1"])
    assert folder.manifest.read_bytes() == sealed


@settings(max_examples=25, deadline=None)
@given(pieces=logs())
def test_log_file_matches_the_plain_writer(tmp_path_factory, pieces):
    """And its reader returns the rows."""
    root = tmp_path_factory.mktemp("logs")
    rows = [tuple(row) for piece in pieces for row in piece.tolist()]
    with LogFile(root / "fast.csv.gz") as file:
        for piece in pieces:
            file.add(piece)
    assert file.contents.rows == write_log(root / "plain.csv.gz", rows) == len(rows)
    texts = [gzip.decompress((root / name).read_bytes()) for name in ("fast.csv.gz", "plain.csv.gz")]
    assert texts[0] == texts[1]
    assert list(read_log(root / "fast.csv.gz")) == rows


def test_log_file_holds_every_64_bit_number(tmp_path):
    """Also the most negative."""
    rows = np.array([[-(2**63), 2**63 - 1, 0, -1, 9, 10, 99_999_999, 100_000_000, 10**16, -(10**16)]], np.int64)
    with LogFile(tmp_path / "log.csv.gz") as file:
        file.add(rows)
    assert list(read_log(tmp_path / "log.csv.gz")) == [tuple(rows[0].tolist())]


def busy_log(seconds):
    """Return the opening and the log of a market that changes ten levels every 10 ms, in pieces of a second."""
    engine, pieces = Matching(), []
    engine.run(
        np.array([(SESSION.open_us, OP_SUBMIT, 1, s, 500 - s * n, 10, LIMIT, 0) for n in range(1, 40) for s in (1, -1)])
    )
    pieces.append(engine.take_log())
    for second in range(seconds):
        start = SESSION.open_us + 1_000_000 * second
        changes = [
            (start + 10_000 * n + m + 1, OP_SUBMIT, 2, side, 500 - side * (m + 1), 1 + n, LIMIT, 0)
            for n in range(100) for m in range(10) for side in (1, -1)
        ]  # fmt: skip
        takers = [(start + 999_999, OP_SUBMIT, 3, side, 0, 5, MARKET, 0) for side in (1, -1)]
        engine.run(np.array(changes + takers))
        pieces.append(engine.take_log())
    return pieces


def test_day_of_many_blocks_passes_the_check(tmp_path):
    """Blocks and members follow one another without a gap, with the order log beside them."""
    pieces = busy_log(3)
    folder = record(tmp_path, pieces, PLAIN, DayLog)
    assert folder.diffs.read_bytes().count(b"\x1f\x8b\x08") > 1
    with LogFile(order_log(folder)) as file:
        for piece in pieces:
            file.add(piece)
    assert order_log(folder).read_bytes().count(b"\x1f\x8b\x08") > 1
    assert not check_day(folder).ok
    write_manifest(folder, ["R\\1"])
    report = check_day(folder)
    assert (report.ok, list(report.defects)) == (True, [])


def test_recv_seq_is_consecutive_over_all_files(tmp_path):
    """The ledger shares the counter with the messages; nothing is counted twice or left out."""
    folder = record(tmp_path, busy_log(1), PLAIN, DayLog)
    seqs = [json.loads(line)["recv_seq"] for line in gzip.decompress(folder.diffs.read_bytes()).splitlines()]
    seqs += [int(line.split(",")[2]) for line in folder.trades.read_text().splitlines()[1:]]
    seqs += [int(line.split(",")[2]) for line in folder.events.read_text().splitlines()[1:]]
    assert sorted(seqs) == list(range(1, len(seqs) + 1))


def test_log_cut_within_a_step_raises_value_error():
    """Its second half would be a second depth message of the same instant."""
    _, rows = busy_log(1)
    messages = SessionMessages(SESSION)
    messages.arrived(rows[:55])
    with pytest.raises(ValueError, match="after the depth message"):
        messages.arrived(rows[55:])


def test_log_with_decreasing_time_raises_value_error():
    """No engine produces one."""
    _, rows = busy_log(1)
    with pytest.raises(ValueError, match="after the depth message"):
        SessionMessages(SESSION).arrived(np.ascontiguousarray(rows[::-1]))


def test_frames_without_a_book_raise_value_error():
    """A frame before the first snapshot would have an unknown book."""
    lines = Lines("R1", TOP_N, 1, 1)
    empty = np.zeros((0, 6), np.int64), np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="no book"):
        lines.of(*empty, 1)
    lines.load(1, [], [])
    assert lines.of(*empty, 1) == (b"", b"", b"")
    with pytest.raises(ValueError, match="instants of arrival"):
        lines.of(empty[0], empty[1], np.zeros(1, np.int64), 1)


@pytest.mark.parametrize("rows", [(0, 2), (-1, 1), (1, 0)])
def test_message_with_level_range_out_of_bounds_raises_value_error(rows):
    """A kernel without bounds checks must not read outside its input."""
    lines = Lines("R1", 1, 1, 1)
    lines.load(1, [], [])
    message, level = np.array([[SESSION.open_us, 5, 6, 0, *rows]], np.int64), np.array([[1, 7, 2]], np.int64)
    with pytest.raises(ValueError, match="levels"):
        lines.of(message, level, np.zeros(1, np.int64), 1)


def test_new_book_replaces_the_old_one():
    """A second snapshot begins a second epoch."""
    lines = Lines("R1", 1, 100_000_000, 100_000_000)
    message = np.array([[SESSION.open_us, 5, 6, 0, 0, 1]], np.int64)
    level, recv_us = np.array([[1, 7, 2]], np.int64), np.array([SESSION.open_us + 2], np.int64)
    frames = []
    for epoch_id, bids in ((1, [(9, 1)]), (2, [(8, 1), (6, 1)])):
        lines.load(epoch_id, bids, [])
        frames.append(lines.of(message, level, recv_us, 1)[1].decode().split(",")[3:9])
    assert frames == [["R1", "1", "9.00000000", "1.00000000", "", ""], ["R1", "2", "8.00000000", "1.00000000", "", ""]]
