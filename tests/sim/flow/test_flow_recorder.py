"""The recorder of simulated days, and the file of their order log."""

import csv
import gzip
import json

import numpy as np
import pytest

from day_files import check, defects_of
from log_book import Book, write_order_log
from mm import DayFolder
from mm.dayfolder.manifest import write_manifest
from mm.instrument import Instrument
from mm.sim.flow.recorder import TOP_N, PlainRecorder, SessionMessages
from mm.sim.flow.session import Session
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import LIMIT, MARKET, OP_SUBMIT, ROW_TRADE

SESSION = Session("SIMUSDT", "20260105", 1.0, 7)
FINE = Instrument("SIMUSDT", tick_e8=1, lot_e8=1, min_notional_e8=500_000_000)
PLAIN = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=100_000)


def record(root, pieces, instrument=PLAIN):
    """Record *pieces* into a folder under *root* and return it."""
    folder = DayFolder(root, "SIMUSDT", SESSION.day)
    recorder = PlainRecorder(folder, SESSION, instrument, {})
    recorder.begin(pieces[0])
    for piece in pieces[1:]:
        recorder.take(piece)
    recorder.finish()
    recorder.writer.seal()
    recorder.writer.close()
    return folder


def book_after(pieces, us):
    """Return the frames' levels of the order log's own book up to an instant, best first."""
    book = Book()
    book.play(tuple(row) for piece in pieces for row in piece.tolist() if row[0] <= us)
    return [book.depth(side)[:TOP_N] for side in (1, -1)]


@pytest.mark.parametrize("instrument", [FINE, PLAIN])
def test_frames_and_trades_are_those_of_the_order_log(tmp_path, instrument):
    """The log's own book after each step, and each of its trades, in the decimals of the grid."""
    pieces = busy_log(1)
    folder = record(tmp_path, pieces, instrument)
    found = list(csv.DictReader(folder.frames.read_text().splitlines()))
    assert len(found) == 10
    for frame in found:
        bids, asks = book_after(pieces, int(frame["event_time_ms"]) * 1000)
        for side, levels in (("bid", bids), ("ask", asks)):
            texts = [(frame[f"{side}{n}_price"], frame[f"{side}{n}_qty"]) for n in range(1, len(levels) + 1)]
            assert texts == [(instrument.price(ticks), instrument.qty(lots)) for ticks, lots in levels]
    trades = [row for piece in pieces for row in piece.tolist() if row[1] == ROW_TRADE]
    told = [tuple(row.values())[4:9] for row in csv.DictReader(folder.trades.read_text().splitlines())]
    assert told == [
        (str(row[8]), str(row[0] // 1000), instrument.price(row[6]), instrument.qty(row[7]), str(row[5] < 0).lower())
        for row in trades
    ]


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


def test_recorded_day_passes_the_check(tmp_path):
    """With the order log beside it."""
    pieces = busy_log(3)
    folder = record(tmp_path, pieces)
    write_order_log(folder.order_log, np.concatenate(pieces))
    assert defects_of(folder)
    write_manifest(folder, ["R1"])
    report = check(folder)
    assert (report.ok, list(report.defects)) == (True, [])


def test_recv_seq_is_consecutive_over_all_files(tmp_path):
    """The ledger shares the counter with the messages; nothing is counted twice or left out."""
    folder = record(tmp_path, busy_log(1))
    seqs = [json.loads(line)["recv_seq"] for line in gzip.decompress(folder.diffs.read_bytes()).splitlines()]
    seqs += [int(line.split(",")[2]) for line in folder.trades.read_text().splitlines()[1:]]
    seqs += [int(line.split(",")[2]) for line in folder.events.read_text().splitlines()[1:]]
    assert sorted(seqs) == list(range(1, len(seqs) + 1))


def test_log_cut_within_a_step_raises_value_error():
    """Its second half would be a second depth message of the same instant."""
    _, rows = busy_log(1)
    messages = SessionMessages(SESSION)
    messages.messages_of(rows[:55])
    with pytest.raises(ValueError, match="after the depth message"):
        messages.messages_of(rows[55:])


def test_log_with_decreasing_time_raises_value_error():
    """No engine produces one."""
    _, rows = busy_log(1)
    with pytest.raises(ValueError, match="after the depth message"):
        SessionMessages(SESSION).messages_of(np.ascontiguousarray(rows[::-1]))
