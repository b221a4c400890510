"""The check reports the same defects with and without compiled levels, and by rows alone."""

import random
import shutil
from pathlib import Path

import mutations
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import MUTATIONS, lines

from day_files import check
from mm import DayFolder
from mm.dayfolder import line_files
from mm.dayfolder.rows import RowOrder
from mm.markets import local_orderbook

needs_kernel = pytest.mark.skipif(local_orderbook.kernel is None, reason="the levels are not compiled; run make build")
FILES = {"events": mutations.events, "diffs": mutations.diffs, "frames": mutations.frames, "trades": mutations.trades}


def with_and_without(folder):
    """Return the report of the check with compiled levels and blocks of trades, and in plain Python, row by row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_files, "_PIECE", 2000)  # some twenty trades
        found = check(folder)
        patch.setattr(RowOrder, "take", lambda *_: False)
        patch.setattr(local_orderbook, "kernel", None)
        return found, check(folder)


@pytest.fixture(scope="module")
def copy_day(boxed_day, tmp_path_factory):
    """Return a function that copies the simulated day to the same place each time, sealed or not."""
    place = tmp_path_factory.mktemp("copied")

    def copy(*, sealed=False):
        folder = DayFolder(place, boxed_day.symbol, boxed_day.day)
        shutil.rmtree(folder.path, ignore_errors=True)
        shutil.copytree(boxed_day.path, folder.path)
        if not sealed:
            folder.manifest.unlink()
        return folder

    return copy


@pytest.mark.slow
@needs_kernel
@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", list(MUTATIONS)[::2])
def test_mutation_report_is_same_with_and_without_kernel(copy_day, name, sealed):
    """Files, rows, kinds, messages, their order, and the covered time are equal."""
    folder = copy_day(sealed=sealed)
    MUTATIONS[name](folder)
    with_kernel, without_kernel = with_and_without(folder)
    assert with_kernel == without_kernel


def _put(rows_of, at, seed):
    """Replace one character of a line, in most cases a digit."""
    rng, line = random.Random(seed), rows_of[at]
    places = [n for n, char in enumerate(line[:-1]) if char.isdigit()] if seed % 4 else range(len(line) - 1)
    place = rng.choice(places)
    rows_of[at] = line[:place] + rng.choice('0123456789-,."x[]') + line[place + 1 :]


def _move(rows_of, at, seed):
    rows_of.insert(random.Random(seed).randrange(len(rows_of)), rows_of.pop(at))


def _cut(rows_of, at, seed):
    place = random.Random(seed).randrange(len(rows_of[at]))
    rows_of[at] = rows_of[at][:place] + "\n" * (seed % 2)


CHANGES = {
    "put": _put,
    "move": _move,
    "cut": _cut,
    "twice": lambda rows_of, at, _: rows_of.insert(at, rows_of[at]),
    "gone": lambda rows_of, at, _: rows_of.pop(at),
}
change = st.tuples(
    st.sampled_from(sorted(FILES)), st.sampled_from(sorted(CHANGES)), st.floats(0, 1), st.integers(0, 999)
)


def test_good_trades_are_checked_in_blocks(copy_day, monkeypatch):
    """Only the rows that differ are read cell by cell."""
    monkeypatch.setattr(line_files, "_PIECE", 2000)
    taken = []
    take = RowOrder.take
    monkeypatch.setattr(RowOrder, "take", lambda *args: taken.append(take(*args)) or taken[-1])
    check(copy_day())
    assert sum(taken) > len(taken) / 2 > 5


@pytest.mark.slow
@needs_kernel
@settings(max_examples=60)
@given(changes=st.lists(change, min_size=1, max_size=3), sealed=st.booleans())
def test_random_changes_report_is_same_with_and_without_kernel(copy_day, changes, sealed):
    """One to three rows of a day are changed, moved, cut, duplicated or removed."""
    folder = copy_day(sealed=sealed)
    for name, kind, place, seed in changes:

        def mutate(rows_of, kind=kind, place=place, seed=seed):
            CHANGES[kind](rows_of, round(place * (len(rows_of) - 1)), seed)

        lines(FILES[name], mutate, header=name != "diffs")(folder)
    with_kernel, without_kernel = with_and_without(folder)
    assert with_kernel == without_kernel


@pytest.mark.slow
@needs_kernel
@settings(max_examples=30)
@given(name=st.sampled_from(sorted(FILES)), place=st.floats(0, 1), byte=st.integers(0, 255), count=st.integers(0, 9))
def test_damaged_bytes_report_is_same_with_and_without_kernel(copy_day, name, place, byte, count):
    """One byte of a compressed or plain file is replaced, and some bytes after it are removed."""
    folder = copy_day()
    path: Path = FILES[name](folder)
    data = path.read_bytes()
    at = round(place * (len(data) - 1))
    path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 + count :])
    with_kernel, without_kernel = with_and_without(folder)
    assert with_kernel == without_kernel
