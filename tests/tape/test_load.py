"""Day folders to tapes: what they hold, and what stands in the message where they cannot be read."""

import gzip
import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_day import PlainBook, plain_events, plain_tops, table, text_of

from mm.backtest.io import load_day
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.rows import Stamp, Trade
from mm.errors import BrokenFile, Mismatch, MissingDay, NeverSynced, OffGrid, UsageError
from mm.instrument import Instrument
from mm.market_data.import_capture import import_captures
from mm.tape import build
from mm.tape.tape import DEPTH, GAP, KEYFRAME, KIND_NAMES, SNAPSHOT, TOP_COLUMNS, TRADE
from strategies import DAY, SIM, START_US, Story, price, qty, stories
from support import SHARED

shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")
BOOK = ([[price(99), qty(5)]], [[price(101), qty(7)]])


def at(second):
    return START_US + second * 1_000_000


def diff(second, first, last, bids=(), asks=()):
    levels = [[[price(ticks), qty(lots)] for ticks, lots in side] for side in (bids, asks)]
    return ("diff", at(second), at(second) // 1000, first, last, *levels)


def trade(second, trade_id, ticks=100, maker=True, source="ws"):
    stamp = at(second) // 1000
    return ("trade", at(second), Trade(stamp, trade_id, stamp, price(ticks), qty(2), maker, trade_id, trade_id, source))


def snapshot(second, last_id, tag="initial", book=BOOK):
    return ("snapshot", at(second), tag, last_id, *book, 1)


START = ("event", at(0), "run_start", 0, {"version": "1", "knobs": {}})
PLAIN = [START, diff(1, 8, 9), snapshot(2, 10), diff(3, 11, 12, [(100, 3)]), trade(4, 1), diff(5, 13, 13, [(100, 0)])]


def written(tmp_path, *runs, **how):
    return Story([list(run) for run in runs]).write(tmp_path, **how)


def kinds(tape):
    return [KIND_NAMES[kind] for kind in tape.kind.tolist() if kind != KEYFRAME]


def told(tape):
    """Return the events of a tape as the plain reading tells them."""
    columns = zip(tape.event_us.tolist(), tape.event_exch_us.tolist(), tape.recv_seq.tolist(), strict=True)
    return [
        (*stamps, int(tape.event_id[number]), KIND_NAMES[int(tape.kind[number])], tape.rows(number))
        for number, stamps in enumerate(columns)
        if tape.kind[number] != KEYFRAME
    ]


def rewrite(path, change):
    """Replace the text of *path*, packed or not."""
    text = change(text_of(path))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_a_day_is_its_messages_in_order(tmp_path):
    """Snapshot, changes and trades, each with its instant, its number and its id."""
    tape = load_day(written(tmp_path, PLAIN))
    assert told(tape) == [
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


@settings(max_examples=80, deadline=None)
@given(stories(), st.sampled_from([1, 2, 7, build.WINDOW_ROWS]), st.booleans())
def test_every_day_reads_as_it_reads_in_plain_python(story, window_rows, in_file):
    """Holes, repeats, resyncs, several runs, crossed books: nothing the fast way does is its own invention.

    Nor does it matter how many rows are in order at a time, and whether the tape is made in memory or in its file.
    """
    in_windows = patch.multiple(build, WINDOW_ROWS=window_rows, LARGE_ROWS=window_rows)
    with TemporaryDirectory() as root, in_windows:
        folder = story.write(Path(root), seal=False)
        expected = plain_events(folder, SIM) if folder.diffs.stat().st_size else []
        if not any(event[4] == "snapshot" for event in expected):
            with pytest.raises((NeverSynced, BrokenFile)):
                load_day(folder)
            return
        tape = load_day(folder, cache=Path(root) / "tapes" if in_file else None)
        tape.check()
        assert tape.meta.cache == ("miss" if in_file else "off")
        assert told(tape) == expected
        places = np.flatnonzero(tape.kind != KEYFRAME).tolist()
        tops = np.stack([getattr(tape, name) for name in TOP_COLUMNS]).T.tolist()
        assert [(places.index(event), *top) for event, *top in tops] == plain_tops(expected)
        check_keyframes(tape)


def check_keyframes(tape):
    """Every keyframe is the book that the events before it made, and stands behind the last of its quarter."""
    book = PlainBook()
    for number, kind in enumerate(tape.kind.tolist()):
        if kind == KEYFRAME:
            assert tape.rows(number) == [
                *((1, *level) for level in sorted(book.bids.items(), reverse=True)),
                *((-1, *level) for level in sorted(book.asks.items())),
            ]
            quarter = 900_000_000
            assert tape.event_us[number] // quarter < tape.event_us[number + 1] // quarter
        elif kind != TRADE:
            book = PlainBook() if kind in (SNAPSHOT, GAP) else book
            book.apply(tape.rows(number))


def test_a_whole_book_stands_before_each_quarter_of_an_hour(tmp_path):
    """A window may begin at any of them without the hours before it."""
    steps = [snapshot(2, 10), *(diff(300 * n, 10 + n, 10 + n, [(98, n)]) for n in range(1, 10))]
    tape = load_day(written(tmp_path, [START, *steps]))
    frames = np.flatnonzero(tape.kind == KEYFRAME).tolist()
    assert [(tape.event_us[frame] - at(0)) // 1_000_000 for frame in frames] == [600, 1500, 2400]
    assert tape.rows(frames[0]) == [(1, 99, 5), (1, 98, 2), (-1, 101, 7)]


def test_updates_that_waited_for_the_snapshot_follow_it(tmp_path):
    """Its first instant shows the book that the recorder had."""
    waiting = [diff(1, 8, 9), diff(1, 10, 11, [(98, 1)]), diff(1, 12, 12, [(97, 2)])]
    tape = load_day(written(tmp_path, [START, *waiting, snapshot(3, 10), diff(4, 13, 13, [], [(102, 1)])]))
    assert [(event[0], event[3], event[4]) for event in told(tape)] == [
        (at(3), 10, "snapshot"),
        (at(3), 11, "depth"),
        (at(3), 12, "depth"),
        (at(4), 13, "depth"),
    ]


def test_missing_ids_void_the_book_until_a_snapshot(tmp_path):
    """A book with a hole in it is wrong in silence; without one it is known to be missing."""
    steps = [diff(6, 20, 21, [(98, 1)]), trade(7, 2), snapshot(8, 20, "resync"), diff(9, 22, 22)]
    tape = load_day(written(tmp_path, [*PLAIN, *steps]))
    assert kinds(tape)[4:] == ["gap", "trade", "snapshot", "depth", "depth"]
    assert tape.meta.counts["gaps"] == 1
    (warning,) = tape.meta.warnings
    assert warning.startswith(str(tmp_path))
    assert "diffs/depth_diffs_" in warning
    assert "update ids are missing 1 times (recv_seq 7: U=20, u=21 after 13); the book is void" in warning


def test_a_resync_in_the_ledger_ends_the_book(tmp_path):
    """The recorder knew something that the ids do not tell."""
    resync = ("event", at(6), "resync_start", 1, {"cause": "silence"})
    tape = load_day(written(tmp_path, [*PLAIN, resync, diff(7, 14, 14), snapshot(8, 14, "resync")]))
    assert kinds(tape)[4:] == ["gap", "snapshot"]
    assert tape.event_us[4] == at(6)


def test_the_book_ends_with_its_run(tmp_path):
    """What happened between two runs nobody recorded; the gap stands where the first one falls silent."""
    again = [("event", at(50), "run_start", 0, {"version": "1", "knobs": {}}), snapshot(51, 40), diff(52, 41, 41)]
    tape = load_day(written(tmp_path, PLAIN, again))
    assert kinds(tape)[4:] == ["gap", "snapshot", "depth"]
    assert tape.event_us[4] == at(5)


@pytest.mark.parametrize("locked", [100, 101])
def test_a_crossed_book_is_void_until_a_snapshot(tmp_path, locked):
    """No exchange shows one, so ours is wrong."""
    steps = [
        diff(6, 14, 14, [(locked, 1)], [(100, 1)]),
        diff(7, 15, 15),
        trade(8, 2),
        snapshot(9, 15),
        diff(10, 16, 16),
    ]
    tape = load_day(written(tmp_path, [*PLAIN, *steps]))
    assert kinds(tape)[4:] == ["gap", "trade", "snapshot", "depth"]
    assert tape.meta.counts["crossed"] == 1
    assert "ndjson.gz: 1 messages leave the book crossed or locked (recv_seq 7); " in tape.meta.warnings[0]


def test_ids_that_begin_anew_void_the_book(tmp_path):
    """After maintenance an exchange may count from one again; that is not an old message."""
    steps = [diff(6, 5_000_000, 5_000_001), snapshot(7, 5_000_001, "resync"), diff(8, 1, 2), snapshot(9, 2, "resync")]
    tape = load_day(written(tmp_path, [*PLAIN, *steps]))
    assert kinds(tape)[4:] == ["gap", "snapshot", "gap", "snapshot"]
    assert "began its update ids anew 1 times" in " ".join(tape.meta.warnings)


def test_messages_that_come_twice_are_left_out(tmp_path):
    """Ids that go back a little are old news; that they did is worth a word."""
    tape = load_day(written(tmp_path, [*PLAIN, diff(6, 11, 12, [(98, 9)]), diff(7, 13, 13), diff(8, 14, 14)]))
    assert kinds(tape)[4:] == ["depth"]
    assert tape.meta.counts == {"repeated_diffs": 2, "unsynced_diffs": 1}
    assert "the update ids of 2 depth messages do not rise (recv_seq 7: U=11, u=12 after 13, " in tape.meta.warnings[0]
    ahead = load_day(written(tmp_path, [START, snapshot(1, 10), diff(2, 8, 9), diff(3, 10, 11)], day="20260106"))
    assert (ahead.meta.counts, ahead.meta.warnings) == ({"stale_diffs": 1}, ())


def test_a_clock_that_steps_back_is_raised(tmp_path):
    """Time never falls on a tape; how often it had is counted."""
    tape = load_day(written(tmp_path, [*PLAIN, trade(3, 2), trade(6, 3)]))
    assert tape.event_us.tolist()[-2:] == [at(5), at(6)]
    assert tape.meta.counts["clock_raised"] == 1
    (warning,) = tape.meta.warnings
    assert "trades_ws_" in warning
    assert "stepped back at 1 messages (recv_seq 7)" in warning


def test_a_trade_id_counts_once(tmp_path):
    """A backfill may bring what the stream had brought."""
    tape = load_day(written(tmp_path, [*PLAIN, trade(6, 1, source="rest"), trade(7, 2, maker=False, source="rest")]))
    assert tape.event_id[tape.trades].tolist() == [1, 2]
    assert tape.row_side[tape.trade_rows].tolist() == [-1, 1]
    assert tape.meta.counts["duplicate_trades"] == 1
    assert ".csv: 1 trades repeat the id of an earlier one (recv_seq 7: id 1) and" in tape.meta.warnings[0]


def test_a_day_may_go_on_where_the_one_before_ended(tmp_path):
    """Then its first book is no new one, and a backtest keeps its orders over midnight."""
    first = load_day(written(tmp_path, PLAIN))
    second = load_day(written(tmp_path, [START, snapshot(0, 13, "carried"), diff(1, 14, 14)], day="20260106"))
    other = load_day(written(tmp_path, [START, snapshot(0, 13, "initial"), diff(1, 14, 14)], day="20260107"))
    assert (second.meta.carried_from, second.continues(first)) == (13, True)
    assert not second.continues(second)
    assert not other.continues(first)


@shared
def test_a_recorded_market_reads_as_it_reads_in_plain_python(tmp_path):
    """And its best prices are those of the frames that the import wrote beside the messages."""
    capture = SHARED / "data/binance-spot-nexousdt-20240723-24/nexousdt_20240723.dat.gz"
    import_captures([capture], "NEXOUSDT", tmp_path, run_id="R1")
    folder = DayFolder(tmp_path, "NEXOUSDT", "20240723")
    tape = load_day(folder)
    events = plain_events(folder, tape.instrument)
    assert told(tape) == events
    check_keyframes(tape)
    frames = [(int(row["recv_seq"]), row) for row in table(folder.frames)]
    assert [seq for seq, _ in frames] == tape.recv_seq[tape.kind == DEPTH].tolist()
    last = np.searchsorted(tape.top_event, np.flatnonzero(tape.kind == DEPTH), "right") - 1
    best = np.stack([getattr(tape, name)[last] for name in TOP_COLUMNS[1:]]).T.tolist()
    to_ticks, to_lots = tape.instrument.ticks, tape.instrument.lots
    assert best == [
        [to_ticks(row["bid1_price"]), to_ticks(row["ask1_price"]), to_lots(row["bid1_qty"]), to_lots(row["ask1_qty"])]
        for _, row in frames
    ]


# The grid


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


def test_a_price_off_the_grid_names_file_line_and_price(tmp_path):
    """Rounding it would make a price that nobody quoted."""
    folder = written(tmp_path, PLAIN)
    rewrite(folder.diffs, lambda text: text.replace("1.00000000", "1.00500000"))
    with pytest.raises(
        OffGrid, match=r"depth_diffs_\w+\.ndjson\.gz:2: price 1\.005 is not a multiple of tick size 0\.01"
    ):
        load_day(folder)


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


# Older and plainer folders


def test_frames_alone_are_whole_books(tmp_path):
    """A recording without raw messages still shows its best levels; a frame that repeats the last says nothing."""
    book = [[price(99), qty(5)], [price(98), qty(1)]], [[price(101), qty(7)]]
    frames = [
        ("frame", Stamp(at(1), 2, at(1) // 1000, 11), 0, *book),
        ("frame", Stamp(at(2), 3, at(2) // 1000, 12), 1, *book),
        ("frame", Stamp(at(3), 4, at(3) // 1000, 13), 1, *book),
        ("frame", Stamp(at(4), 5, at(4) // 1000, 14), 1, book[0][:1], book[1]),
    ]
    folder = written(tmp_path, [START, *frames, *[("skip",)] * 4, trade(5, 1)])
    folder.diffs.unlink()
    tape = load_day(folder)
    assert told(tape) == [
        (at(2), at(2), 3, 12, "snapshot", [(1, 99, 5), (1, 98, 1), (-1, 101, 7)]),
        (at(4), at(4), 5, 14, "snapshot", [(1, 99, 5), (-1, 101, 7)]),
        (at(5), at(5), 6, 1, "trade", [(-1, 100, 2)]),
    ]
    assert tape.meta.counts == {"frames_unchanged": 1}


def test_a_gap_in_the_ledger_ends_a_book_of_frames(tmp_path):
    """And the first frame behind it counts, even where it shows what the last one had shown."""
    frames = [("frame", Stamp(at(s), s + 1, at(s) // 1000, s), 1, *BOOK) for s in (1, 2, 4)]
    gap = ("event", at(3), "resync_start", 1, {"cause": "test"})
    folder = written(tmp_path, [START, *frames[:2], ("skip",), ("skip",), gap, frames[2]])
    folder.diffs.unlink()
    assert kinds(load_day(folder)) == ["snapshot", "gap", "snapshot"]


def older(folder, *columns):
    """Take columns, or keys, out of a day's files, as older recorders wrote them."""

    def without(text):
        rows = [line.split(",") for line in text.splitlines()]
        kept = [place for place, name in enumerate(rows[0]) if name not in columns]
        return "".join(",".join(row[place] for place in kept) + "\n" for row in rows)

    def shorter(text):
        rows = [json.loads(line) for line in text.splitlines()]
        return "".join(json.dumps({key: row[key] for key in row if key not in columns}) + "\n" for row in rows)

    rewrite(folder.trades, without)
    rewrite(folder.diffs, shorter)


def test_a_day_without_recv_seq_goes_by_receive_time(tmp_path):
    """At an equal time the book changes before it is traded upon."""
    steps = [START, snapshot(2, 10), trade(4, 1), diff(3, 11, 12, [(98, 3)]), diff(4, 13, 13), trade(5, 2)]
    folder = written(tmp_path, steps)
    older(folder, "recv_seq", "recv_time_us", "recv_us", "source", "first_trade_id", "last_trade_id", "run_id")
    tape = load_day(folder)
    assert [(event[0], event[4]) for event in told(tape)] == [
        (at(2), "snapshot"),
        (at(3), "depth"),
        (at(4), "depth"),
        (at(4), "trade"),
        (at(5), "trade"),
    ]
    assert "ordered by receive time" in tape.meta.warnings[0]


def test_without_a_ledger_snapshots_stand_where_their_ids_meet_the_messages(tmp_path):
    """Their files come in the order of their names; a hole in the ids still ends the book."""
    steps = [
        snapshot(1, 10),
        diff(2, 9, 10),
        diff(3, 11, 12),
        diff(4, 20, 21),
        diff(5, 22, 22),
        snapshot(6, 21, "resync"),
    ]
    folder = written(tmp_path, [START, *steps, diff(7, 23, 23)])
    folder.events.unlink()
    tape = load_day(folder)
    assert [(event[0], event[3], event[4]) for event in told(tape)] == [
        (at(3), 10, "snapshot"),
        (at(3), 12, "depth"),
        (at(4), 0, "gap"),
        (at(5), 21, "snapshot"),
        (at(5), 22, "depth"),
        (at(7), 23, "depth"),
    ]


def test_plain_and_packed_files_read_alike(tmp_path):
    """Every file may be packed, in many members, or not at all."""
    folder = written(tmp_path, PLAIN)
    packed = load_day(folder)
    folder.diffs.with_suffix("").write_text(text_of(folder.diffs))
    folder.diffs.unlink()
    for path in (folder.trades, folder.events, folder.snapshots / "snapshot_2_initial.csv"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.with_name(path.name + ".gz").write_bytes(b"".join(gzip.compress(line) for line in lines))
        path.unlink()
    assert told(load_day(folder)) == told(packed)


def test_the_header_decides_the_order_of_columns(tmp_path):
    """Columns stand where their names say."""
    folder = written(tmp_path, PLAIN)
    expected = told(load_day(folder))
    rewrite(folder.trades, lambda text: "".join(",".join(line.split(",")[::-1]) + "\n" for line in text.splitlines()))
    assert told(load_day(folder)) == expected


# Bad input


def test_a_missing_day_names_those_that_are_there(tmp_path):
    """The way out is usually the neighbouring folder."""
    folder = written(tmp_path, PLAIN)
    with pytest.raises(MissingDay, match=rf"no day folder .*/SIMUSDT/20260106; days there: {DAY};"):
        load_day(folder.path.parent / "20260106")
    with pytest.raises(UsageError, match="is no day folder: its name is no YYYYMMDD; try data/"):
        load_day(folder.path.parent)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",10\n", ",11\n"), "lastUpdateId is 10 and 11 in file and ledger"),
        (lambda text: text.replace(",bid,", ",buy,"), "csv:2: side is neither bid nor ask"),
        (lambda text: text[:-4], "the file breaks off after line 2"),
        (lambda text: text.replace("price", "preis"), "column price stands 0 times in the header"),
        (lambda text: text.replace("0.99000000", "0.00000000"), "a price above 0 expected"),
    ],
)
def test_a_broken_snapshot_is_refused(tmp_path, change, message):
    """Half a snapshot is a wrong book."""
    folder = written(tmp_path, PLAIN)
    rewrite(folder.snapshots / "snapshot_2_initial.csv", change)
    with pytest.raises(BrokenFile, match=message):
        load_day(folder)


def test_a_day_that_never_synced_says_why(tmp_path):
    """No snapshot, or one that does not meet the messages."""
    folder = written(tmp_path, [START, diff(1, 8, 9), diff(2, 10, 11), trade(3, 1)])
    with pytest.raises(NeverSynced, match="the book is never valid: 2 depth messages wait for a snapshot"):
        load_day(folder)
    late = written(tmp_path, [START, diff(1, 8, 9), snapshot(2, 3)], day="20260106")
    with pytest.raises(NeverSynced, match="1 snapshots do not meet them"):
        load_day(late)


def test_a_cut_off_file_gives_its_whole_lines(tmp_path):
    """A crash costs the last message, not the day; the manifest knows how many there were."""
    steps = [diff(n, 10 + n, 10 + n, [(90 + n % 7, n)]) for n in range(3, 400)]
    folder = written(tmp_path, [START, snapshot(1, 12), *steps])
    whole = load_day(folder)
    folder.diffs.write_bytes(folder.diffs.read_bytes()[:-200])
    tape = load_day(folder)
    depth = len(tape) - int(np.count_nonzero(tape.kind == KEYFRAME)) - 1
    assert 0 < depth < len(steps)
    assert told(tape) == told(whole)[: depth + 1]
    assert tape.meta.counts["lost_lines"] == len(steps) - depth
    assert f"its {depth} whole lines are used, at least {len(steps) - depth} lost" in tape.meta.warnings[0]


def test_a_torn_last_row_is_lost_and_counted(tmp_path):
    """In a table as in the ledger."""
    folder = written(tmp_path, [*PLAIN, trade(6, 2), ("event", at(7), "ws_connected", 1, {"url": "x", "conn": 1})])
    rewrite(folder.trades, lambda text: text[:-9])
    rewrite(folder.events, lambda text: text[:-40])
    tape = load_day(folder)
    assert tape.event_id[tape.trades].tolist() == [1]
    assert tape.meta.counts["lost_lines"] == 2


def test_damage_in_the_middle_of_a_packed_file_is_refused(tmp_path):
    """What stands behind it cannot be trusted to follow what stands before it."""
    folder = written(tmp_path, [*PLAIN, *(diff(n, 8 + n, 8 + n, [(98, n)]) for n in range(6, 300))])
    data = bytearray(folder.diffs.read_bytes())
    data[len(data) // 2] ^= 0xFF
    folder.diffs.write_bytes(bytes(data))
    with pytest.raises(BrokenFile, match=r"ndjson\.gz: damaged gzip data before byte \d+"):
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


def test_rows_out_of_order_are_sorted_and_counted(tmp_path):
    """The numbers say what came first, not the lines."""
    folder = written(tmp_path, [*PLAIN, trade(6, 2), trade(7, 3)])
    expected = told(load_day(folder))

    def swapped(text):
        head, *rows = text.splitlines(keepends=True)
        return "".join([head, *reversed(rows)])

    rewrite(folder.trades, swapped)
    tape = load_day(folder)
    assert told(tape) == expected
    assert tape.meta.counts["misplaced"] == 2
    assert ".csv: 2 messages stand behind a later one in their file (recv_seq 7: id 2, " in tape.meta.warnings[0]


def test_of_many_faults_the_first_few_are_named(tmp_path):
    """A message out of its turn repeats ids and leaves a hole: one warning, of bounded length, tells both."""
    steps = [diff(6 + n, 12, 12) for n in range(5)] + [diff(20, 15, 15)]
    (warning,) = load_day(written(tmp_path, [*PLAIN, *steps])).meta.warnings
    assert warning.count("U=12, u=12 after 13") == 3
    assert ", …); they bring nothing new" in warning
    assert "missing 1 times (recv_seq 12: U=15, u=15 after 13)" in warning


def test_a_snapshot_that_fits_nowhere_is_named(tmp_path):
    """Its file says where to look."""
    (warning,) = load_day(written(tmp_path, [*PLAIN, snapshot(6, 9, "resync"), diff(7, 14, 14)])).meta.warnings
    assert "_resync.csv: 1 snapshots (id 9) do not meet the depth messages around them" in warning


def test_loading_leaves_the_folder_as_it_was(tmp_path):
    """Data is read, never written."""
    folder = written(tmp_path, PLAIN)
    before = {path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob("*")}
    load_day(folder, cache=tmp_path / "tapes")
    after = {path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob("*") if "tapes" not in str(path)}
    assert {**after, tmp_path: 0} == {**before, tmp_path: 0}
    assert all(first <= second for first, second in pairwise(load_day(DayFolder.at(folder.path)).event_us.tolist()))
