"""Frames are compared with a rebuilt book."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from day_files import RowWriter, defects_of
from mm import DayFolder
from mm.dayfolder.rows import Stamp
from mm.markets.local_orderbook import LocalOrderBook

T = 1_767_600_000_000_000

sizes = st.sampled_from(["0", "0.0", "1", "2.50"])
changes = st.lists(st.tuples(st.integers(1, 4), sizes), max_size=4)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(changes, changes), min_size=1, max_size=12), st.data())
def test_correct_frames_pass_and_changed_cell_is_reported(tmp_path_factory, messages, data):
    """Frames built from plain dictionaries pass the check, and a change of any cell is reported."""
    folder = DayFolder(tmp_path_factory.mktemp("books"), "A", "20260105")
    late = data.draw(st.integers(0, len(messages)))
    bids, asks = {"9.50": "1"}, {"11.50": "3"}

    def top():
        return sorted(bids.items(), reverse=True)[:2], sorted(asks.items())[:2]

    def frame(stamp, changed):
        for side, levels, base in ((bids, changed[0], 10), (asks, changed[1], 11)):
            for step, qty in levels:
                price = f"{base - 1 + step / 10:.2f}" if side is bids else f"{base + step / 10:.2f}"
                side.pop(price, None)
                if qty.strip("0."):
                    side[price] = qty
        writer.frame(stamp, 1, *top())

    with RowWriter(folder, "R1", top_n=2) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        pending = []
        for n, changed in enumerate([*messages, ([], [])], 1):
            if n == late + 1:
                writer.snapshot(T + n, "initial", 100, *top(), 1)
                for pending_frame in pending:
                    frame(*pending_frame)
            levels = (
                [[f"{9 + s / 10:.2f}", q] for s, q in changed[0]],
                [[f"{11 + s / 10:.2f}", q] for s, q in changed[1]],
            )
            seq = writer.diff(T + n, T // 1000, 100 + n, 100 + n, *levels)
            stamp = Stamp(T + n, seq, T // 1000, 100 + n)
            if n <= late:
                pending.append((stamp, changed))
            else:
                frame(stamp, changed)
        writer.event(T, "run_stop", 1, {"reason": "signal"})
    assert defects_of(folder) == []

    lines = folder.frames.read_text().splitlines()
    row = data.draw(st.integers(1, len(lines) - 1))
    cells = lines[row].split(",")
    column = data.draw(st.integers(0, len(cells) - 1))
    cells[column] = f"{cells[column]}7"
    lines[row] = ",".join(cells)
    folder.frames.write_text("\n".join(lines) + "\n")
    assert any(defect.file == folder.frames.name for defect in defects_of(folder))


@pytest.mark.parametrize("contiguous", [True, False])
def test_restarted_ids_are_no_gap(tmp_path, contiguous):
    """After maintenance the exchange may restart its ids; the old ids are not missing."""
    folder = DayFolder(tmp_path, "A", "20260105")
    book = LocalOrderBook.of([("1", "1")], [("2", "2")])
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        for epoch, first in ((1, 5_000_000), (2, 1)):
            if epoch == 2:
                writer.diff(T, T // 1000, first, first, [], [])
            last = first if epoch == 2 else first - 1
            writer.snapshot(T, "initial" if epoch == 1 else "resync", last, *book.levels(), epoch)
            next_id = first + epoch - 1 if contiguous else first + epoch
            seq = writer.diff(T, T // 1000, next_id, next_id, [], [])
            if contiguous:
                writer.frame((T, seq, T // 1000, next_id), epoch, *book.top(1))
        writer.event(T, "run_stop", 2, {"reason": "signal"})
    kinds = {defect.kind for defect in defects_of(folder)}
    assert kinds == (set() if contiguous else {"hole"})
