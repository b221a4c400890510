"""Reading of recorded day folders: the grid, and missing or broken files with their messages."""

import gzip
import json

import numpy as np
import pytest
from day_stories import PLAIN, START, at, diff, rewrite, snapshot, tape_events, trade, write_day

from mm import load_day
from mm.errors import BrokenFile, Mismatch, NeverSynced, OffGrid
from mm.instrument import Instrument
from mm.tape.tape import KEYFRAME
from strategies import DAY, SIM, price, qty


def test_finer_quantities_give_finer_lot(tmp_path):
    """The exchange's step applies to our orders; recorded quantities are kept exactly."""
    folder = write_day(tmp_path, PLAIN)
    rewrite(folder.trades, lambda text: text.replace("0.00200000", "0.00225000"))
    tape = load_day(folder)
    assert (tape.instrument.lot_e8, tape.step_lots) == (25_000, 4)
    assert tape.instrument.qty(int(tape.row_lots[tape.trade_rows[0]])) == "0.00225000"
    assert tape.instrument.qty(int(tape.row_lots[0])) == "0.00500000"


def test_missing_instrument_json_infers_grid_with_warning(tmp_path):
    """The inferred steps are the greatest that divide all prices and quantities; a warning reports them."""
    folder = write_day(tmp_path, PLAIN)
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


def test_options_override_instrument_file(tmp_path):
    """Steps and grids given as options replace those of the file."""
    folder = write_day(tmp_path, PLAIN)
    tape = load_day(folder, min_notional_e8=0, qty_step_e8=1_000_000)
    assert (tape.instrument.min_notional_e8, tape.step_lots) == (0, 10)
    assert load_day(folder).instrument.min_notional_e8 == SIM.min_notional_e8
    assert load_day(folder, Instrument("SIMUSDT", 500_000, 100_000)).instrument.tick_e8 == 500_000


def test_step_off_exchange_grid_gives_warning(tmp_path):
    """The exchange would reject orders on a finer step; a coarser step only restricts ours."""
    folder = write_day(tmp_path, PLAIN)
    assert load_day(folder, tick_size_e8=100_000, qty_step_e8=40_000).meta.warnings == (
        "tick size 0.001 is not a multiple of the exchange's, 0.01: the exchange rejects orders in between",
        "quantity step 0.0004 is not a multiple of the exchange's, 0.001: the exchange rejects orders in between",
    )
    assert load_day(folder, tick_size_e8=SIM.tick_e8, qty_step_e8=2 * SIM.lot_e8).meta.warnings == ()
    two = write_grid_history(folder, grid(0, "0.02"), grid(5, "0.01"))
    assert [line[:9] for line in load_day(two, tick_size_e8=1_000_000).meta.warnings] == ["tick size"]


@pytest.mark.parametrize("other", [Instrument("ETHUSDT", 1, 1), None])
def test_grid_of_other_symbol_raises_mismatch(tmp_path, other):
    """Another symbol's grid would change every price."""
    folder = write_day(tmp_path, PLAIN)
    folder.instrument.write_text(folder.instrument.read_text().replace("SIMUSDT", "ETHUSDT"))
    with pytest.raises(Mismatch, match=r"has symbol ETHUSDT, but .* is a day of SIMUSDT"):
        load_day(folder, other)


def test_levels_left_out_by_recorder_are_left_out(tmp_path):
    """Orders older than a tick change may rest off the tick; the ledger lists the omitted levels."""
    anomaly = {"kind": "off_tick", "price": "0.905", "last_id": 14, "left_out": [["bid", "0.905", "1.0"]]}
    odd = ("diff", at(6), at(6) // 1000, 14, 14, [["0.90500000", "1.0"], [price(98), qty(4)]], [["1.90500000", "0.0"]])
    folder = write_day(tmp_path, [*PLAIN, odd, ("event", at(6), "anomaly", 1, anomaly), trade(7, 2)])
    tape = load_day(folder)
    assert tape_events(tape)[4] == (at(6), at(6), 7, 14, "depth", [(1, 98, 4)])
    assert tape.meta.counts["off_tick_left_out"] == 2
    assert "ndjson.gz: 2 levels and trades off the tick (line 4, …) were left out" in tape.meta.warnings[0]
    assert b"0.90500000" in gzip.decompress(folder.diffs.read_bytes()).splitlines()[3]
    with pytest.raises(OffGrid, match=r"price 0\.905 is not a multiple"):
        load_day(folder, tick_size_e8=SIM.tick_e8)


def grid(from_seq, tick, step="0.001"):
    return {"from_us": from_seq, "from_seq": from_seq, "tick_size": tick, "step_size": step}


def write_grid_history(folder, *history):
    """Write the grids of *history* to a day's instrument file; the last grid is also that of its filters."""
    entry = json.loads(folder.instrument.read_text())
    last = {"PRICE_FILTER": history[-1]["tick_size"], "LOT_SIZE": history[-1]["step_size"]}
    for rule in entry["filters"]:
        name = "tickSize" if rule["filterType"] == "PRICE_FILTER" else "stepSize"
        rule[name] = last.get(rule["filterType"], rule.get(name))
    folder.instrument.write_text(json.dumps({**entry, "history": history}))
    return folder


@pytest.mark.parametrize("turn", [1, -1])
def test_changed_grid_uses_finest_tick_for_prices_and_coarsest_for_orders(tmp_path, turn):
    """Recorded prices are whole ticks of the finest grid, and orders are on every grid of the day."""
    odd = ("diff", at(6), at(6) // 1000, 14, 14, [["0.99500000", "0.0025"]], [])
    folder = write_day(tmp_path, [*PLAIN, odd, trade(7, 2)])
    tape = load_day(write_grid_history(folder, *[grid(0, "0.02", "0.001"), grid(5, "0.005", "0.0005")][::turn]))
    assert (tape.instrument.tick_e8, tape.step_ticks) == (500_000, 4)
    assert (tape.instrument.lot_e8, tape.step_lots) == (50_000, 2)
    assert tape_events(tape)[4][-1] == [(1, 199, 5)]
    assert tape.meta.warnings == (
        "the grid changed in the day: prices are counted in ticks of 0.005, and our orders use multiples of 0.02 "
        "and 0.001, which are on each of its grids (instrument.json, history)",
    )
    kept = load_day(folder, cache=tmp_path / "tapes"), load_day(folder, cache=tmp_path / "tapes")
    assert [(one.meta.cache, one.step_ticks) for one in kept] == [("miss", 4), ("hit", 4)]


REPORT = ("event", at(6), "anomaly", 1, {"kind": "grid", "tick_size": "0.005"})
ANSWER = ("event", at(8), "exchange_info", 1, {"status": "TRADING"})
ODD = [
    REPORT,
    ("diff", at(6), at(6) // 1000, 14, 14, [["0.99500000", "0.003"], [price(98), qty(4)]], []),
    ("trade", at(7), at(7), 2, at(7), "0.99500000", "0.001", True, 2, 2, "ws"),
    snapshot(7, 14, "refresh", ([[price(99), qty(5)], ["0.97500000", "0.001"]], [[price(101), qty(7)]])),
    trade(7, 3),
]


def test_prices_off_confirmed_exchange_grid_are_left_out(tmp_path):
    """The exchange still reports the old grid, so prices off it are left out; the files keep them."""
    tape = load_day(write_day(tmp_path, [*PLAIN, *ODD, ANSWER]))
    assert (tape.instrument.tick_e8, tape.step_ticks) == (1_000_000, 1)
    assert tape.meta.counts["off_tick_left_out"] == 3
    assert tape.meta.warnings[0].count("left out") == 1
    assert [event[-1] for event in tape_events(tape)[4:]] == [
        [(1, 98, 4)],
        [(1, 99, 5), (-1, 101, 7)],
        [(-1, 100, 2)],
    ]


def test_unconfirmed_finer_grid_is_used(tmp_path):
    """Without a later answer from REST, the finer grid is used, because leaving prices out could leave no market."""
    tape = load_day(write_day(tmp_path, [*PLAIN, ANSWER, *ODD]))
    assert (tape.instrument.tick_e8, tape.step_ticks) == (500_000, 2)
    assert "off_tick_left_out" not in tape.meta.counts
    assert [event[-1] for event in tape_events(tape)[4:6]] == [[(1, 199, 3), (1, 196, 4)], [(-1, 199, 1)]]


def test_frames_without_diffs_keep_prices_off_tick(tmp_path):
    """Frames are whole books, so no level can be left out."""
    books = [([[first, qty(5)]], [[price(101), qty(7)]]) for first in (price(99), "0.99500000")]
    frames = [("frame", (at(n), n + 2, at(n) // 1000, n), 1, *book) for n, book in enumerate(books, 1)]
    folder = write_day(tmp_path, [START, REPORT, *frames, *[("skip",)] * 2, trade(5, 1), ANSWER])
    folder.diffs.unlink()
    tape = load_day(folder)
    assert (tape.instrument.tick_e8, tape.step_ticks) == (500_000, 2)


@pytest.mark.parametrize("name", ["trades", "diffs", "events"])
def test_empty_file_is_reported(tmp_path, name):
    """An empty file is an error, not a quiet day."""
    folder = write_day(tmp_path, PLAIN)
    path = getattr(folder, name)
    path.write_bytes(b"")
    with pytest.raises(BrokenFile, match=rf"{path.name}: the file is empty \(0 bytes\); restore it"):
        load_day(folder)


@pytest.mark.parametrize("name", ["trades", "diffs"])
def test_missing_file_is_reported(tmp_path, name):
    """Trades and a book are required."""
    folder = write_day(tmp_path, PLAIN)
    path = getattr(folder, name)
    path.unlink()
    if name == "diffs":
        folder.frames.unlink()
    with pytest.raises(BrokenFile, match=rf"{path.name}: the file is missing"):
        load_day(folder)


def test_missing_snapshot_is_reported(tmp_path):
    """The message contains the file and its ledger event."""
    folder = write_day(tmp_path, PLAIN)
    (folder.snapshots / "snapshot_2_initial.csv").unlink()
    with pytest.raises(BrokenFile, match=r"snapshot_2_initial\.csv: the file is missing, but event 2 of events"):
        load_day(folder)


def test_broken_ledger_row_is_reported(tmp_path):
    """The ledger determines when the book is valid, so its rows are not guessed."""
    folder = write_day(tmp_path, PLAIN)
    rewrite(folder.events, lambda text: text.replace('{"', "{", 1))
    with pytest.raises(BrokenFile, match=rf"events_SIMUSDT_{DAY}\.csv:2: not a row of the ledger"):
        load_day(folder)


def test_broken_instrument_file_is_reported(tmp_path):
    """The file determines the grid of all prices."""
    folder = write_day(tmp_path, PLAIN)
    folder.instrument.write_text("[]")
    with pytest.raises(BrokenFile, match=r"instrument\.json: not"):
        load_day(folder)


def test_never_synced_message_contains_reason(tmp_path):
    """The reason is a missing snapshot, or one that does not match the messages."""
    folder = write_day(tmp_path, [START, diff(1, 8, 9), diff(2, 10, 11), trade(3, 1)])
    with pytest.raises(NeverSynced, match="the book is never valid: 2 depth messages wait for a snapshot"):
        load_day(folder)
    late = write_day(tmp_path, [START, diff(1, 8, 9), snapshot(2, 3)], day="20260106")
    with pytest.raises(NeverSynced, match="1 snapshots do not connect to them"):
        load_day(late)


def test_whole_lines_of_cut_file_are_used(tmp_path):
    """A cut file loses only its last messages; the manifest gives their number."""
    steps = [diff(n, 10 + n, 10 + n, [(90 + n % 7, n)]) for n in range(3, 400)]
    folder = write_day(tmp_path, [START, snapshot(1, 12), *steps])
    whole = load_day(folder)
    folder.diffs.write_bytes(folder.diffs.read_bytes()[:-200])
    tape = load_day(folder)
    depth = len(tape) - int(np.count_nonzero(tape.kind == KEYFRAME)) - 1
    assert 0 < depth < len(steps)
    assert tape_events(tape) == tape_events(whole)[: depth + 1]
    assert tape.meta.counts["lost_lines"] == len(steps) - depth
    assert f"its {depth} complete lines are used, at least {len(steps) - depth} lost" in tape.meta.warnings[0]


def test_torn_last_row_is_dropped_and_counted(tmp_path):
    """Applies to tables and to the ledger."""
    folder = write_day(tmp_path, [*PLAIN, trade(6, 2), ("event", at(7), "ws_connected", 1, {"url": "x", "conn": 1})])
    rewrite(folder.trades, lambda text: text[:-9])
    rewrite(folder.events, lambda text: text[:-40])
    tape = load_day(folder)
    assert tape.event_id[tape.trades].tolist() == [1]
    assert tape.meta.counts["lost_lines"] == 2


def test_warning_lists_first_few_of_many_faults(tmp_path):
    """Repeated and missing ids are reported in one warning of bounded length."""
    steps = [diff(6 + n, 12, 12) for n in range(5)] + [diff(20, 15, 15)]
    (warning,) = load_day(write_day(tmp_path, [*PLAIN, *steps])).meta.warnings
    assert warning.count("U=12, u=12 after 13") == 3
    assert ", …); they contain no new updates" in warning
    assert "missing 1 times (recv_seq 12: U=15, u=15 after 13)" in warning


def test_unmatched_snapshot_gives_warning(tmp_path):
    """The warning contains the snapshot's file."""
    (warning,) = load_day(write_day(tmp_path, [*PLAIN, snapshot(6, 9, "resync"), diff(7, 14, 14)])).meta.warnings
    assert "_resync.csv: 1 snapshots (id 9) do not connect to the depth messages around them" in warning
