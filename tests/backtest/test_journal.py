"""The tables of a run, and the memory of their rows."""

import numpy as np

from engine_cases import TABLES
from engine_tapes import TEST
from mm import Rules, Tape, backtest
from mm.backtest.journal import Journal, State
from mm.backtest.models import fixed_spread, trade_cross


def empty():
    return np.zeros((0, 0), np.int64)


def test_reused_memory_does_not_change_kept_journals():
    """Memory of dropped journals is reused by longer and shorter runs."""
    runs = {length: [RunTables(length), RunTables(length)] for length in (1500, 10, 4000, 700)}
    copies = {length: both[0].copies for length, both in runs.items()}
    for length in (10, 4000, 1500, 700, 4000):
        runs[length].pop()
        runs[length].append(RunTables(length))
    for length, both in runs.items():
        for run in both:
            assert [np.array_equal(table, copy) for table, copy in zip(run.tables, copies[length], strict=True)] == [
                True
            ] * 4


class RunTables:
    """The tables of a run over this many price changes, and copies of them."""

    def __init__(self, length):
        changes = ((2000 + 100 * at, "depth", [(90 + at % 7, at % 3)], []) for at in range(length))
        tape = Tape.of(TEST, [(1000, "snapshot", [(80, 5)], [(101, 5)]), *changes])
        rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100, start_lots=100, quote_lots=10)
        journal = backtest(tape, fixed_spread(delta_ticks=1.0), trade_cross(), rules).journal
        self.tables = [getattr(journal, name) for name in TABLES[:4]]
        self.copies = [table.copy() for table in self.tables]


def test_state_rows_of_a_long_run_are_read_from_a_spill_file(tmp_path, monkeypatch):
    """The rows are equal, whole or in pieces, after every release; a short run keeps them in memory."""
    rows = State(np.arange(60, dtype=np.int64).reshape(10, 6))
    journal = Journal(empty(), empty(), rows, empty())
    journal.spill_state(tmp_path)
    assert journal.state is rows
    monkeypatch.setattr("mm.backtest.journal.LONG", 9)
    journal.spill_state(tmp_path)
    assert journal.state is not rows
    assert not journal.state.flags.writeable
    for _ in range(2):
        assert np.concatenate(list(journal.state_pieces(3))).tolist() == rows.tolist()
        assert journal.state.tolist() == rows.tolist()
    assert not list(tmp_path.iterdir())


def test_table_without_rows_is_one_piece():
    """So every writer of pieces writes a header."""
    journal = Journal(empty(), empty(), np.zeros((0, 6), np.int64), empty())
    assert [piece.shape for piece in journal.state_pieces()] == [(0, 6)]
