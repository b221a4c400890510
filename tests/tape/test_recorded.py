"""A day folder as it lies there: its grid, its files, and which of them are missing or broken."""

import gzip

import pytest
from day_stories import PLAIN, at, rewrite, told, trade, written

from mm.backtest.io import load_day
from mm.errors import BrokenFile, Mismatch, OffGrid
from mm.instrument import Instrument
from strategies import DAY, SIM, price, qty


def test_finer_quantities_make_a_finer_lot(tmp_path):
    """The exchange's step binds our orders; what others did is kept to the last decimal."""
    folder = written(tmp_path, PLAIN)
    rewrite(folder.trades, lambda text: text.replace("0.00200000", "0.00225000"))
    tape = load_day(folder)
    assert (tape.instrument.lot_e8, tape.step_lots) == (25_000, 4)
    assert tape.instrument.qty(int(tape.row_lots[tape.trade_rows[0]])) == "0.00225000"
    assert tape.instrument.qty(int(tape.row_lots[0])) == "0.00500000"


def test_without_instrument_json_the_grid_is_inferred_and_said(tmp_path):
    """The greatest steps that divide every price and quantity: a guess, so a warning."""
    folder = written(tmp_path, PLAIN)
    folder.instrument.unlink()
    tape = load_day(folder)
    assert (tape.instrument.tick_e8, tape.instrument.lot_e8, tape.step_lots) == (1_000_000, 100_000, 1)
    assert tape.meta.warnings == (
        "no instrument.json: tick size 0.01 and quantity step 0.001 inferred; set --tick-size and --qty-step",
    )
    given_steps = load_day(folder, tick_size_e8=500_000, qty_step_e8=200_000)
    assert given_steps.meta.warnings == ()
    assert (given_steps.instrument.tick_e8, given_steps.instrument.lot_e8, given_steps.step_lots) == (
        500_000,
        100_000,
        2,
    )
    assert given_steps.row_ticks.tolist() == [2 * ticks for ticks in tape.row_ticks.tolist()]


def test_each_option_stands_above_the_file(tmp_path):
    """A user who names a step means it."""
    folder = written(tmp_path, PLAIN)
    tape = load_day(folder, min_notional_e8=0, qty_step_e8=1_000_000)
    assert (tape.instrument.min_notional_e8, tape.step_lots) == (0, 10)
    assert load_day(folder).instrument.min_notional_e8 == SIM.min_notional_e8
    assert load_day(folder, Instrument("SIMUSDT", 500_000, 100_000)).instrument.tick_e8 == 500_000


@pytest.mark.parametrize("other", [Instrument("ETHUSDT", 1, 1), None])
def test_a_grid_of_another_symbol_is_refused(tmp_path, other):
    """It would turn every price into another one."""
    folder = written(tmp_path, PLAIN)
    folder.instrument.write_text(folder.instrument.read_text().replace("SIMUSDT", "ETHUSDT"))
    with pytest.raises(Mismatch, match=r"is of ETHUSDT, but .* is a day of SIMUSDT"):
        load_day(folder, other)


def test_levels_that_the_recorder_left_out_are_left_out(tmp_path):
    """Orders older than a change of the tick may rest off it for years; the ledger tells, and says which."""
    told_of = {"kind": "off_tick", "price": "0.905", "last_id": 14, "left_out": [["bid", "0.905", "1.0"]]}
    odd = ("diff", at(6), at(6) // 1000, 14, 14, [["0.90500000", "1.0"], [price(98), qty(4)]], [["1.90500000", "0.0"]])
    folder = written(tmp_path, [*PLAIN, odd, ("event", at(6), "anomaly", 1, told_of), trade(7, 2)])
    tape = load_day(folder)
    assert told(tape)[4] == (at(6), at(6), 7, 14, "depth", [(1, 98, 4)])
    assert tape.meta.counts["off_tick_left_out"] == 2
    assert "ndjson.gz: 2 changes of levels off the tick (line 4, …) were left out" in tape.meta.warnings[0]
    assert b"0.90500000" in gzip.decompress(folder.diffs.read_bytes()).splitlines()[3]
    with pytest.raises(OffGrid, match=r"price 0\.905 is not a multiple"):
        load_day(folder, tick_size_e8=SIM.tick_e8)


@pytest.mark.parametrize("name", ["trades", "diffs", "events"])
def test_an_empty_file_is_named(tmp_path, name):
    """A file of no bytes says that something went wrong, not that nothing happened."""
    folder = written(tmp_path, PLAIN)
    path = getattr(folder, name)
    path.write_bytes(b"")
    with pytest.raises(BrokenFile, match=rf"{path.name}: the file is empty \(0 bytes\); restore it"):
        load_day(folder)


@pytest.mark.parametrize("name", ["trades", "diffs"])
def test_a_missing_file_is_named(tmp_path, name):
    """Without trades nothing fills, without a book nothing is quoted."""
    folder = written(tmp_path, PLAIN)
    path = getattr(folder, name)
    path.unlink()
    if name == "diffs":
        folder.frames.unlink()
    with pytest.raises(BrokenFile, match=rf"{path.name}: the file is missing"):
        load_day(folder)


def test_a_missing_snapshot_is_named(tmp_path):
    """The ledger says which file it was."""
    folder = written(tmp_path, PLAIN)
    (folder.snapshots / "snapshot_2_initial.csv").unlink()
    with pytest.raises(BrokenFile, match=r"snapshot_2_initial\.csv: the file is missing, but event 2 of events"):
        load_day(folder)


def test_a_broken_ledger_row_is_named(tmp_path):
    """The ledger decides which book is valid; a guess about it would be one about the book."""
    folder = written(tmp_path, PLAIN)
    rewrite(folder.events, lambda text: text.replace("snapshot_loaded", "snapshot_loaded").replace('{"', "{", 1))
    with pytest.raises(BrokenFile, match=rf"events_SIMUSDT_{DAY}\.csv:2: not a row of the ledger"):
        load_day(folder)


def test_a_broken_instrument_file_is_named(tmp_path):
    """It decides what every price means."""
    folder = written(tmp_path, PLAIN)
    folder.instrument.write_text("[]")
    with pytest.raises(BrokenFile, match=r"instrument\.json: not"):
        load_day(folder)
