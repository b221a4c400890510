"""Tapes kept from one run to the next: opened without parsing, and rebuilt when their inputs change."""

import json
import os
import shutil
import time
from dataclasses import fields, replace
from importlib.machinery import EXTENSION_SUFFIXES

import msgspec
import numpy as np
import pytest

from mm import Rules, backtest, load_day
from mm.backtest.models import fixed_spread, queue_prob_power
from mm.base import atomic_file
from mm.base.code_identity import code_files
from mm.dayfolder.manifest import unseal
from mm.instrument import Instrument
from mm.tape import columns, keep, level_changes
from mm.tape.columns import TapeFacts
from mm.tape.tape import ARRAYS
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


def cached_files(cache):
    """Return the names of all but the records of verified files, which appear once a file is two seconds old."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".verified")


def facts_of(tape):
    """Return all of a tape except its arrays."""
    return TapeFacts(**{fact.name: getattr(tape, fact.name) for fact in fields(TapeFacts)})


def tapes_equal(first, second):
    """Whether two tapes are equal in every bit, regardless of the source they were read from."""
    fields = ("symbol", "days", "instrument", "step_lots", "start_us", "end_us", "meta")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ARRAYS) and all(
        getattr(first, name) == getattr(second, name) for name in fields
    )


def test_columns_are_released_after_verification(folder, cache, monkeypatch):
    """The verification reads every page; afterwards all columns are released."""
    load_day(folder, cache=cache)
    (record := next(cache.glob("*.verified"), None)) and record.unlink()
    released = []
    monkeypatch.setattr(keep, "release", lambda column: released.append(len(column)))
    tape = load_day(folder, cache=cache)
    assert sorted(released) == sorted(len(getattr(tape, name)) for name in ARRAYS)


def test_partial_file_of_killed_process_is_removed(folder, cache):
    """A partial file may have a hundred MB, and no process would use it."""
    cache.mkdir(parents=True)
    partial_file = cache / "SIMUSDT_20260105_0.npy.999999999.partial"  # no process has this id
    partial_file.write_bytes(b"half")
    os.utime(partial_file, (time.time() - 120,) * 2)
    load_day(folder, cache=cache)
    assert [name for name in cached_files(cache) if name.endswith(".partial")] == []


def test_second_load_opens_kept_tape_without_parsing(folder, cache, monkeypatch):
    """The opened tape is equal in every bit."""
    plain, first = load_day(folder), load_day(folder, cache=cache)
    monkeypatch.setattr("mm.tape.read.read_day", None)
    second = load_day(folder, cache=cache)
    assert [tape.meta.cache for tape in (plain, first, second)] == ["off", "miss", "hit"]
    assert tapes_equal(plain, first)
    assert tapes_equal(plain, second)
    second.check()
    assert cached_files(cache)[0].startswith("SIMUSDT_20260105_")
    assert not second.row_lots.flags.owndata


def test_level_changes_are_kept_from_second_run_on(folder, cache):
    """The index costs more than one replay gains, so it is built on the second run, or for a tape kept mapped."""
    first = load_day(folder, cache=cache)
    assert first.levels is None
    assert first.between(first.start_us, first.end_us).levels is None
    built = first.kept_mapped().levels
    assert [path.name.count(".levels.") for path in sorted(cache.glob("*.npy"))] == [1, 0]
    again = load_day(folder, cache=cache)
    for name in level_changes.KEPT:
        assert np.array_equal(getattr(again.levels, name), getattr(built, name))
    for path in cache.glob("*.levels.npy"):
        path.unlink()
    assert len(load_day(folder, cache=cache).levels.change) == len(built.change)


def test_level_changes_are_released_after_replay_unless_tape_stays(folder, cache, monkeypatch):
    """Days that arrive one after the other are released; the next replay reads their pages again, unchanged."""
    first = load_day(folder, cache=cache)
    assert first.kept_mapped().levels
    tape = load_day(folder, cache=cache)
    change = tape.levels.change.copy()
    released = []
    monkeypatch.setattr(level_changes, "release", released.append)
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    for played_tape, count in ((tape.kept_mapped(), 0), (tape, 1)):
        backtest(iter([played_tape]), fixed_spread(delta_ticks=1.0), queue_prob_power(), rules)
        assert len(released) == count
    assert np.array_equal(tape.levels.change, change)


def test_other_options_build_another_tape(folder, cache):
    """A tick size given as an option must not appear in later loads without it."""
    load_day(folder, cache=cache)
    other = load_day(folder, cache=cache, tick_size_e8=500_000)
    again = load_day(folder, Instrument("SIMUSDT", 500_000, 100_000), cache=cache)
    assert (other.meta.cache, again.meta.cache, len(cached_files(cache))) == ("miss", "miss", 3)
    assert load_day(folder, cache=cache).meta.cache == "hit"


def touched(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def longer(path):
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"\n")
    os.utime(path, ns=(stamp, stamp))


@pytest.mark.parametrize("change", [touched, longer])
@pytest.mark.parametrize("name", ["trades", "events", "instrument", "manifest"])
def test_tape_is_rebuilt_when_its_files_change(folder, cache, change, name):
    """It is replaced without a warning."""
    load_day(folder, cache=cache)
    change(getattr(folder, name))
    assert load_day(folder, cache=cache).meta.cache == "miss"
    assert load_day(folder, cache=cache).meta.cache == "hit"
    assert len(cached_files(cache)) == 1


LOAD_SCRIPT = """
import json, sys
from mm.tape.load import load_day
tape = load_day(sys.argv[1], cache=sys.argv[2])
tape.levels
print(json.dumps([tape.meta.cache, [name for name in sys.modules if name.partition(".")[0] == "mm"]]))
"""


def load_in_process(folder, cache, root=ROOT):
    """Return ``hit`` or ``miss``, and the project modules imported by a load with the package in *root*."""
    done = run_python("-c", LOAD_SCRIPT, str(folder.path), str(cache), cwd=root, PYTHONPATH=str(root))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_tape_is_rebuilt_when_code_changes(folder, cache, tmp_path):
    """The tape may depend on interpreted or compiled code."""
    package = tmp_path / "edited" / "mm"
    shutil.copytree(ROOT / "mm", package, ignore=shutil.ignore_patterns("*.c", "__pycache__"))
    compiled = next(package.glob("tape/_parse.*" + EXTENSION_SUFFIXES[-1]))
    assert [load_in_process(folder, cache, package.parent)[0] for _ in range(2)] == ["miss", "hit"]
    for path in (package / "tape" / "sync.py", package / "ids.py", compiled):
        with path.open("ab") as file:
            file.write(b"\n")
        assert [load_in_process(folder, cache, package.parent)[0] for _ in range(2)] == ["miss", "hit"], path


def test_key_covers_all_code_that_builds_tape(folder, cache):
    """If a module were not covered, outdated tapes would be used after its change."""
    covered = {name.split(".")[0] for name in code_files(keep.MAKER)}
    built = load_in_process(folder, cache)[1]
    assert "mm.tape.level_changes" in built
    for name in built:
        path = name.replace(".", "/").removeprefix("mm").lstrip("/")
        assert {path, f"{path}/__init__".lstrip("/")} & covered, name


@pytest.mark.parametrize("damage", [lambda data: data[:0], lambda data: data[:-100], lambda data: b"x" * len(data)])
def test_broken_cache_file_is_rebuilt(folder, cache, damage):
    """A truncated or overwritten file is replaced."""
    tape = load_day(folder)
    load_day(folder, cache=cache)
    path = cache / cached_files(cache)[0]
    path.write_bytes(damage(path.read_bytes()))
    assert load_day(folder, cache=cache).meta.cache == "miss"
    assert tapes_equal(load_day(folder, cache=cache), tape)


def test_kept_tape_with_rows_out_of_bounds_is_not_opened(folder, cache):
    """Kernels check no bounds, so a kept tape is checked when it is opened."""
    tape = load_day(folder, cache=cache)
    place = keep.KeptTape(cache / "wrong.npy", "key")

    def write_and_read(tape):
        columns = {name: getattr(tape, name) for name in ARRAYS}
        keep.write_columns(place.path, place._keyed(msgspec.to_builtins(facts_of(tape))), columns)
        return place.read([])

    assert tapes_equal(write_and_read(tape), tape)
    for first_row in (tape.first_row + 1, tape.first_row[::-1], tape.first_row[1:]):
        assert write_and_read(replace(tape, first_row=first_row)) is None


def test_equal_days_of_two_data_roots_have_separate_tapes(folder, cache, tmp_path):
    """Two data roots may contain the same symbol and day."""
    load_day(folder, cache=cache)
    other = DAY_STORY.write(tmp_path / "elsewhere")
    assert load_day(other, cache=cache).meta.cache == "miss"
    assert load_day(folder, cache=cache).meta.cache == "hit"


def test_unwritable_cache_gives_warning(folder, tmp_path):
    """The tape is loaded with a warning, and is not kept."""
    (tmp_path / "file").write_text("in the way")
    tape = load_day(folder, cache=tmp_path / "file" / "tapes")
    assert tape.meta.cache == "off"
    assert "the tape is not kept for the next run (Not a directory)" in tape.meta.warnings[-1]


def test_full_disk_leaves_tape_in_memory_with_note(folder, cache, monkeypatch):
    """A full disk causes no error: the day is read without a cache, and a note gives the reason."""
    plain = load_day(folder)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(columns, "TemporaryFile", full)
    tape = load_day(folder, cache=cache)
    (note,) = tape.meta.warnings
    assert note.endswith(
        "the tape is not kept for the next run (No space left on device); check --out-root or the disk"
    )
    assert all(np.array_equal(getattr(tape, name), getattr(plain, name)) for name in ARRAYS)
    assert (tape.meta.cache, list(cache.glob("*.npy"))) == ("off", [])


def test_failed_write_keeps_existing_file(folder, cache, monkeypatch):
    """The existing file is unchanged."""
    load_day(folder, cache=cache)
    before = (cache / cached_files(cache)[0]).read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keep.Path, "replace", no_space)
    touched(folder.trades)
    assert "No space left on device" in load_day(folder, cache=cache).meta.warnings[-1]
    assert len(cached_files(cache)) == 1
    assert (cache / cached_files(cache)[0]).read_bytes() == before


def flip_bit_in_place(path, column):
    """Change one bit of a column in a file, and restore the file's time."""
    stamp, content = path.stat().st_mtime_ns, path.read_bytes()
    at = content.index(column.tobytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([content[at] ^ 4]))
    os.utime(path, ns=(stamp, stamp))


def test_kept_tape_is_verified_once_and_after_each_write(folder, cache, monkeypatch):
    """An unchanged file is not verified again; damage is detected, and the file is rebuilt with a note."""
    monkeypatch.setattr(atomic_file, "SETTLED_S", 0.0)
    plain = load_day(folder).kept_mapped()
    load_day(folder, cache=cache)
    assert load_day(folder, cache=cache).levels is not None
    assert load_day(folder, cache=cache).levels is not None
    with monkeypatch.context() as patch:
        patch.setattr(keep, "_crc32", None)
        assert load_day(folder, cache=cache).meta.cache == "hit"
    for path in sorted(cache.glob("*.npy")):
        flip_bit_in_place(path, plain.levels.change if "levels" in path.name else plain.event_us)
        rebuilt = load_day(folder, cache=cache)
        (note,) = rebuilt.meta.warnings
        assert note.startswith(f"{path}: damaged ("), note
        assert "has the checksum" in note
        assert (rebuilt.levels is not None) == ("levels" in path.name)
        assert rebuilt.meta.cache == ("hit" if "levels" in path.name else "miss")
        again = load_day(folder, cache=cache)
        assert again.meta.warnings == ()
        assert tapes_equal(again, plain)


def test_tape_file_is_synced_before_rename(folder, cache, monkeypatch):
    """The file is synced before it is renamed, so that a power cut leaves no incomplete tape."""
    synced = []

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else "")
        assert not list(cache.glob("*.npy"))

    monkeypatch.setattr(os, "fsync", fsync)
    load_day(folder, cache=cache)
    assert len(synced) == 1
    assert synced[0] == "" or synced[0].endswith(".partial")
