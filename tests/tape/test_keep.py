"""Tapes kept from one run to the next: opened, not parsed, and never trusted beyond their inputs."""

import json
import os
import shutil
import time
from dataclasses import replace
from importlib.machinery import EXTENSION_SUFFIXES
from unittest.mock import patch

import numpy as np
import pytest

from mm import whole_file
from mm.backtest import paper_exchange
from mm.backtest.io import load_day
from mm.backtest.models import fixed_spread, queue_prob_power, trade_cross
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.code_identity import code_files
from mm.dayfolder.manifest import unseal
from mm.instrument import Instrument
from mm.tape import book_rows, feed, keep, level_changes, top_of_book
from mm.tape.tape import ARRAYS
from mm.tape.top_of_book import project
from strategies import START_US, Story, price, qty
from support import ROOT, run_python

DAY_STORY = Story(
    [
        [
            ("event", START_US, "run_start", 0, {"version": "1", "knobs": {}}),
            ("snapshot", START_US, "carried", 10, [[price(99), qty(5)]], [[price(101), qty(7)]], 1),
            *(("diff", START_US + n * 10**8, n, 10 + n, 10 + n, [[price(98), qty(n)]], []) for n in range(1, 30)),
        ]
    ]
)


@pytest.fixture
def folder(tmp_path):
    day = DAY_STORY.write(tmp_path / "data")
    unseal(day)
    return day


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "out" / "tapes"


def kept(cache):
    return sorted(path.name for path in cache.iterdir())


def same(one, two):
    """Tell whether two tapes are equal in every bit; where they were read from does not count."""
    fields = ("symbol", "days", "instrument", "step_lots", "start_us", "end_us", "meta")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ARRAYS) and all(
        getattr(one, name) == getattr(two, name) for name in fields
    )


def test_memory_of_a_tape_that_is_verified_goes_back(folder, cache, monkeypatch):
    """The first to open it looks at every page; all columns are let go, so it holds no more than later ones."""
    load_day(folder, cache=cache)
    (record := next(cache.glob("*.verified"), None)) and record.unlink()
    released = []
    monkeypatch.setattr(keep, "release", lambda column: released.append(len(column)))
    tape = load_day(folder, cache=cache)
    assert sorted(released) == sorted(len(getattr(tape, name)) for name in ARRAYS)


def test_what_a_killed_process_left_of_a_tape_is_cleared(folder, cache):
    """Half a tape of a full day is a hundred MB, and nobody would ever come for it."""
    cache.mkdir(parents=True)
    left = cache / "SIMUSDT_20260105_0.arrow.999999999.partial"  # no process has such a number
    left.write_bytes(b"half")
    os.utime(left, (time.time() - 120,) * 2)
    load_day(folder, cache=cache)
    assert [name for name in kept(cache) if name.endswith(".partial")] == []


def test_the_second_time_a_day_is_opened_not_parsed(folder, cache, monkeypatch):
    """And it is the same tape, in every bit."""
    plain, first = load_day(folder), load_day(folder, cache=cache)
    monkeypatch.setattr("mm.tape.load.read_day", None)
    second = load_day(folder, cache=cache)
    assert [tape.meta.cache for tape in (plain, first, second)] == ["off", "miss", "hit"]
    assert same(plain, first)
    assert same(plain, second)
    second.check()
    assert kept(cache)[0].startswith("SIMUSDT_20260105_")
    assert not second.row_lots.flags.owndata


def test_the_changes_of_levels_are_kept_from_the_second_run_on(folder, cache):
    """Making them costs more than a play gains, so a day that is played once has none; one that stays is a sweep's."""
    first = load_day(folder, cache=cache)
    assert first.levels is None
    assert first.between(first.start_us, first.end_us).levels is None
    made = first.staying().levels
    assert [path.name.count(".levels.") for path in sorted(cache.glob("*.arrow"))] == [0, 1]
    again = load_day(folder, cache=cache)
    for name in level_changes.KEPT:
        assert np.array_equal(getattr(again.levels, name), getattr(made, name))
    for path in cache.glob("*.levels.arrow"):
        path.unlink()
    assert len(load_day(folder, cache=cache).levels.change) == len(made.change)


def test_the_rows_of_books_are_kept_likewise(folder, cache):
    """In a file that is made again where it is damaged, and not made where a price is too large for it."""
    assert load_day(folder, cache=cache).book_rows is None
    made = book_rows.book_rows(load_day(folder))
    for _ in range(2):
        opened = load_day(folder, cache=cache).book_rows
        assert all(np.array_equal(getattr(opened, name), getattr(made, name)) for name in book_rows.KEPT)
        (path,) = cache.glob("*.rows.arrow")
        path.write_bytes(path.read_bytes()[:1000])
    path.unlink()
    with patch.object(book_rows, "TOO_LARGE", 1):
        assert load_day(folder, cache=cache).book_rows is None
    assert not path.exists()


def test_the_changes_of_levels_leave_memory_after_a_play_but_for_a_tape_that_stays(folder, cache, monkeypatch):
    """Their pages are read again in the next play; what they hold is the same."""
    first = load_day(folder, cache=cache)
    assert first.staying().levels
    tape = load_day(folder, cache=cache)
    change = tape.levels.change.copy()
    released = []
    monkeypatch.setattr(level_changes, "release", released.append)
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    for one, count in ((tape.staying(), 0), (tape, 1)):
        backtest(one, fixed_spread(delta_ticks=1.0), queue_prob_power(), rules)
        assert len(released) == count
    assert np.array_equal(tape.levels.change, change)


def test_best_prices_of_a_large_day_leave_memory_hour_by_hour(folder, cache, monkeypatch):
    """As whole tapes do; few of them stay for the next run, and so do those of a tape that stays."""
    assert load_day(folder, cache=cache).best
    tape, released = load_day(folder, cache=cache), []
    monkeypatch.setattr(top_of_book, "release", lambda column: released.append(len(column)))
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    journals = []
    for one, many, goes in ((tape, len(tape), False), (tape.staying(), 0, False), (tape, 0, True)):
        monkeypatch.setattr(paper_exchange, "MANY_EVENTS", many)
        journals.append(backtest(one, fixed_spread(delta_ticks=1.0), trade_cross(), rules).journal)
        assert bool(released) == goes
    instants = [tape.best.whole_us, *(tape.best.move_us for _ in tape.best.MOVES)]
    assert sum(released) == sum(np.count_nonzero(us < tape.end_us) for us in instants)
    for name in ("orders", "fills", "state", "mids"):
        assert all(np.array_equal(getattr(one, name), getattr(journals[0], name)) for one in journals)


def test_the_exchanges_best_prices_are_kept_likewise(folder, cache):
    """In their own order, with the offset of the clocks; without a file they are made again."""
    first = load_day(folder, cache=cache)
    assert first.ahead is None
    made = first.staying().ahead
    assert [path.name.count(".feed.") for path in sorted(cache.glob("*.arrow"))] == [0, 1]
    assert made.feed.to_dict() == feed.feed_of(first).to_dict()
    plain = feed.exchange_prices(first)
    for again in (made, load_day(folder, cache=cache).ahead):
        assert all(np.array_equal(again.columns()[name], plain.columns()[name]) for name in feed.KEPT)
        assert again.entry() == plain.entry()
    opened = load_day(folder, cache=cache)
    assert np.array_equal(opened.on_lot(first.instrument.lot_e8 // 10).ahead.row_lots, 10 * plain.row_lots)
    window = opened.between(first.start_us, first.end_us)
    assert np.array_equal(window.ahead.event_us, feed.exchange_prices(window).event_us)
    for path in cache.glob("*.feed.arrow"):
        path.unlink()
    assert len(load_day(folder, cache=cache).ahead) == len(made)


def test_other_options_make_another_tape(folder, cache):
    """A tick size given by hand must not come back later as if the day had it."""
    load_day(folder, cache=cache)
    other = load_day(folder, cache=cache, tick_size_e8=500_000)
    again = load_day(folder, Instrument("SIMUSDT", 500_000, 100_000), cache=cache)
    assert (other.meta.cache, again.meta.cache, len(kept(cache))) == ("miss", "miss", 3)
    assert load_day(folder, cache=cache).meta.cache == "hit"


def touched(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def longer(path):
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"\n")
    os.utime(path, ns=(stamp, stamp))


@pytest.mark.parametrize("change", [touched, longer])
@pytest.mark.parametrize("name", ["trades", "events", "instrument", "manifest"])
def test_a_tape_older_than_its_files_is_made_again(folder, cache, change, name):
    """In the same place, and without a word."""
    load_day(folder, cache=cache)
    change(getattr(folder, name))
    assert load_day(folder, cache=cache).meta.cache == "miss"
    assert load_day(folder, cache=cache).meta.cache == "hit"
    assert len(kept(cache)) == 1


LOADED = """
import json, sys
from mm.tape.load import load_day
tape = load_day(sys.argv[1], cache=sys.argv[2])
tape.best
print(json.dumps([tape.meta.cache, [name for name in sys.modules if name.partition(".")[0] == "mm"]]))
"""


def loaded(folder, cache, root=ROOT):
    """Return ``hit`` or ``miss``, and the modules of this project that loading imports, by the package in *root*."""
    done = run_python("-c", LOADED, str(folder.path), str(cache), cwd=root, PYTHONPATH=str(root))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_edit_of_the_reader_makes_every_tape_again(folder, cache, tmp_path):
    """What the same files give may change with the code, interpreted or compiled."""
    package = tmp_path / "edited" / "mm"
    shutil.copytree(ROOT / "mm", package, ignore=shutil.ignore_patterns("*.c", "__pycache__"))
    compiled = next(package.glob("tape/_parse.*" + EXTENSION_SUFFIXES[-1]))
    assert [loaded(folder, cache, package.parent)[0] for _ in range(2)] == ["miss", "hit"]
    for path in (package / "tape" / "sync.py", package / "ids.py", compiled):
        with path.open("ab") as file:
            file.write(b"\n")
        assert [loaded(folder, cache, package.parent)[0] for _ in range(2)] == ["miss", "hit"], path


def test_the_key_covers_all_code_that_makes_a_tape(folder, cache):
    """A module that is left out may change what a tape is, and the old one would be played."""
    covered = {name.split(".")[0] for name in code_files(keep.MAKER)}
    made = loaded(folder, cache)[1]
    assert "mm.tape.top_of_book" in made
    for name in made:
        path = name.replace(".", "/").removeprefix("mm").lstrip("/")
        assert {path, f"{path}/__init__".lstrip("/")} & covered, name


@pytest.mark.parametrize("harm", [lambda data: data[:0], lambda data: data[:-100], lambda data: b"x" * len(data)])
def test_a_broken_cache_file_is_made_again(folder, cache, harm):
    """It may be deleted at any time, so it may be broken at any time."""
    tape = load_day(folder)
    load_day(folder, cache=cache)
    path = cache / kept(cache)[0]
    path.write_bytes(harm(path.read_bytes()))
    assert load_day(folder, cache=cache).meta.cache == "miss"
    assert same(load_day(folder, cache=cache), tape)


def test_rows_out_of_bounds_are_not_opened(folder, cache):
    """Kernels check no bounds, and a cache file is only bytes on a disk."""
    tape = load_day(folder, cache=cache)
    place = keep.KeptTape(cache / "wrong.arrow", "key")

    def written(tape):
        place.write({name: getattr(tape, name) for name in ARRAYS}, keep._entry(tape))
        return place.read([])

    assert same(written(tape), tape)
    for first_row in (tape.first_row + 1, tape.first_row[::-1], tape.first_row[1:]):
        assert written(replace(tape, first_row=first_row)) is None


def test_two_days_of_one_name_do_not_meet(folder, cache, tmp_path):
    """Two data roots may hold the same symbol and day."""
    load_day(folder, cache=cache)
    other = DAY_STORY.write(tmp_path / "elsewhere")
    assert load_day(other, cache=cache).meta.cache == "miss"
    assert load_day(folder, cache=cache).meta.cache == "hit"


def test_a_cache_that_cannot_be_written_is_a_warning(folder, tmp_path):
    """The day was read; only the next run is slower."""
    (tmp_path / "file").write_text("in the way")
    tape = load_day(folder, cache=tmp_path / "file" / "tapes")
    assert tape.meta.cache == "off"
    assert "the tape is not kept for the next run (Not a directory)" in tape.meta.warnings[-1]


def test_a_write_that_fails_leaves_nothing_half_written(folder, cache, monkeypatch):
    """What stands under the name is whole."""
    load_day(folder, cache=cache)
    before = (cache / kept(cache)[0]).read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keep.Path, "replace", no_space)
    touched(folder.trades)
    assert "No space left on device" in load_day(folder, cache=cache).meta.warnings[-1]
    assert len(kept(cache)) == 1
    assert (cache / kept(cache)[0]).read_bytes() == before


def harmed_in_place(path, column):
    """Change one bit of a column in a file, and put the file's time back."""
    stamp, content = path.stat().st_mtime_ns, path.read_bytes()
    at = content.index(column.tobytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([content[at] ^ 4]))
    os.utime(path, ns=(stamp, stamp))


def test_a_kept_tape_is_verified_once_and_again_when_it_was_written_to(folder, cache, monkeypatch):
    """A pass over all of it would take longer than opening it; its file may still be damaged at any time."""
    monkeypatch.setattr(whole_file, "SETTLED_S", 0.0)
    plain = load_day(folder).with_best(lambda: project(plain))
    assert load_day(folder, cache=cache).best is not None
    assert load_day(folder, cache=cache).best is not None
    with monkeypatch.context() as patch:
        patch.setattr(keep, "_crc32", None)
        assert load_day(folder, cache=cache).meta.cache == "hit"
    for path in sorted(cache.glob("*.arrow")):
        harmed_in_place(path, plain.best.reach if "best" in path.name else plain.event_us)
        mended = load_day(folder, cache=cache)
        (note,) = mended.meta.warnings
        assert note.startswith(f"{path}: damaged ("), note
        assert "has the checksum" in note
        assert mended.best is not None
        assert mended.meta.cache == ("hit" if "best" in path.name else "miss")
        again = load_day(folder, cache=cache)
        assert again.meta.warnings == ()
        assert same(again, plain)


def test_a_tape_is_on_the_disk_before_it_has_its_name(folder, cache, monkeypatch):
    """After a power cut a name may be there whose contents are not."""
    forced = []

    def fsync(descriptor):
        forced.append(os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else "")
        assert not list(cache.glob("*.arrow"))

    monkeypatch.setattr(os, "fsync", fsync)
    load_day(folder, cache=cache)
    assert len(forced) == 1
    assert forced[0] == "" or forced[0].endswith(".partial")
