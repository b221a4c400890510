"""The tables of a run: one that is given as what makes it is made once, when it is first needed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine_cases import TABLES
from engine_tapes import TEST
from mm.backtest._records import free_spares
from mm.backtest.journal import ORDER_COLUMNS, Journal
from mm.backtest.models import fixed_spread, trade_cross
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.tape.spill import Spill
from mm.tape.tape import Tape


class Log:
    """The engine's records, from which it makes the order table."""

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return np.zeros((2, len(ORDER_COLUMNS)), np.int64)

    def lives(self):
        return ()


def empty():
    return np.zeros((0, 0), np.int64)


def test_a_late_table_is_made_once():
    log = Log()
    journal = Journal(log, empty(), empty(), empty())
    assert log.made == 0
    assert journal.orders is journal.orders
    assert (log.made, journal.orders.shape) == (1, (2, len(ORDER_COLUMNS)))


def test_a_late_table_is_made_once_by_several_threads():
    """Files are written beside the page, and both need the orders."""
    log = Log()
    journal = Journal(log, empty(), empty(), empty())
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: journal.orders, range(100)))
    assert log.made == 1
    assert all(one is found[0] for one in found)


def test_a_journal_of_tables_has_no_log():
    """Neither one that was read from files, nor one whose table was made already."""
    assert Journal(empty(), empty(), empty(), empty()).order_log() is None
    journal = Journal(Log(), empty(), empty(), empty())
    assert len(journal.orders) == 2
    assert journal.order_log() is None


def test_a_table_that_anything_makes_is_no_log():
    """The lives of orders come from the engine's own log alone."""
    assert Journal(empty, empty(), empty(), empty()).order_log() is None


@pytest.mark.parametrize("freed", [False, True])
def test_memory_of_journals_that_are_gone_is_no_part_of_one_that_is_kept(freed):
    """It is used again by the next runs, which are longer and shorter than the one before, unless it is freed."""
    played = {length: [Dug(length), Dug(length)] for length in (1500, 10, 4000, 700)}
    told = {length: both[0].copies for length, both in played.items()}
    for length in (10, 4000, 1500, 700, 4000):
        played[length].pop()
        if freed:
            free_spares()
        played[length].append(Dug(length))
    for length, both in played.items():
        for one in both:
            assert [np.array_equal(table, copy) for table, copy in zip(one.tables, told[length], strict=True)] == [
                True
            ] * 4


class Dug:
    """The tables of a run over as many prices, and copies of them."""

    def __init__(self, length):
        told = ((2000 + 100 * at, "depth", [(90 + at % 7, at % 3)], []) for at in range(length))
        tape = Tape.of(TEST, [(1000, "snapshot", [(80, 5)], [(101, 5)]), *told])
        rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100, start_lots=100, quote_lots=10)
        journal = backtest(tape, fixed_spread(delta_ticks=1.0), trade_cross(), rules).journal
        self.tables = [getattr(journal, name) for name in TABLES[:4]]
        self.copies = [table.copy() for table in self.tables]


def test_state_rows_of_a_long_run_are_read_from_a_file(tmp_path, monkeypatch):
    """They are the same rows, whole or in pieces, however often they are released; a short run keeps them in memory."""
    rows = np.arange(60, dtype=np.int64).reshape(10, 6)
    journal = Journal(empty(), empty(), rows, empty())
    journal.spill_state(Spill(tmp_path))
    assert journal.state is rows
    monkeypatch.setattr("mm.backtest.journal.LONG", 9)
    journal.spill_state(Spill(tmp_path))
    assert journal.state is not rows
    assert not journal.state.flags.writeable
    for _ in range(2):
        assert np.concatenate(list(journal.state_pieces(3))).tolist() == rows.tolist()
        assert journal.state.tolist() == rows.tolist()
    assert not list(tmp_path.iterdir())


def test_a_table_without_rows_is_one_piece():
    """So that every writer of pieces writes a heading."""
    journal = Journal(empty(), empty(), np.zeros((0, 6), np.int64), empty())
    assert [piece.shape for piece in journal.state_pieces()] == [(0, 6)]
