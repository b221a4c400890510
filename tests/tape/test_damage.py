"""Loading damaged days: rows before and after the damage are used, and the lost time is excluded."""

import gzip

import numpy as np
import pytest
from day_stories import START, at, diff, kinds, rewrite, snapshot, trade

from mm import load_day
from mm.dayfolder.line_files import gzip_member
from mm.errors import BrokenFile, NeverSynced
from mm.tape.tape import KIND_NAMES, TRADE
from strategies import Story

RESYNC = ("event", at(50), "resync_start", 1, {"cause": "gap"})
DAY = [
    START,
    snapshot(1, 10),
    *(step for n in range(1, 41) for step in (diff(1 + n, 10 + n, 10 + n, [(98, n)]), trade(1 + n, n))),
    RESYNC,
    snapshot(51, 60, "resync"),
    *(step for n in range(1, 11) for step in (diff(51 + n, 60 + n, 60 + n, [(98, n)]), trade(51 + n, 40 + n))),
    ("event", at(70), "run_stop", 1, {"reason": "signal"}),
]


@pytest.fixture
def folder(tmp_path):
    return Story([DAY]).write(tmp_path)


def keep_lines(path, change):
    """Rewrite a gzip file with changed lines."""
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip_member(b"".join(change(lines))))


def trade_ids(tape):
    return tape.event_id[tape.kind == TRADE].tolist()


def test_whole_day_gives_same_tape_with_damaged_flag(folder):
    """The flag does not change the tape of a whole day."""
    plain, other = load_day(folder), load_day(folder, damaged=True)
    assert plain.meta == other.meta
    assert np.array_equal(plain.event_us, other.event_us)
    assert plain.meta.excluded == ()


def test_cut_file_is_rejected_or_loaded_up_to_cut(folder, tmp_path):
    """Without the flag a cut file is rejected; with it, the day is used up to the cut."""
    keep_lines(folder.diffs, lambda lines: lines[:20])
    for cache in (None, tmp_path / "tapes", tmp_path / "tapes"):
        with pytest.raises(BrokenFile, match=r"depth_diffs.*bytes, and .* in the manifest.*damaged"):
            load_day(folder, cache=cache)
        tape = load_day(folder, cache=cache, damaged=True)
        book = [us for us, kind in zip(tape.event_us.tolist(), kinds_of(tape), strict=True) if kind == "depth"]
        assert (len(book), book[-1], kinds(tape)[-1]) == (20, at(21), "trade")
        assert tape.end_us == at(70)
        (excluded,) = tape.meta.excluded
        assert "30 rows are lost: excluded from" in excluded
        assert excluded.endswith("(49.0 s)")


def kinds_of(tape):
    return [KIND_NAMES[kind] for kind in tape.kind.tolist()]


def test_time_of_trades_lost_within_day_has_no_book(folder):
    """Exposure without its fills would lower A."""
    rewrite(
        folder.trades, lambda text: "".join(line for n, line in enumerate(text.splitlines(True)) if not 11 <= n <= 20)
    )
    tape = load_day(folder, damaged=True)
    assert trade_ids(tape) == [n for n in range(1, 51) if not 11 <= n <= 20]
    at_us = dict(zip(kinds_of(tape), tape.event_us.tolist(), strict=True))
    assert at_us["gap"] == at(50)  # the last gap: that of the ledger
    first_gap = kinds_of(tape).index("gap")
    assert (tape.event_us[first_gap], kinds_of(tape)[first_gap + 1]) == (at(11), "snapshot")
    assert tape.event_us[first_gap + 1] == at(22)
    lost, named = tape.meta.excluded
    assert "trade ids 11 to 20 are missing, and the ledger has no trade_gap for them: excluded" in lost
    assert "10 rows are lost, also within the file" in named


@pytest.mark.parametrize("rows", [slice(0, 12), slice(-12, None)])
def test_trades_lost_at_start_or_end_are_located_by_manifest(folder, rows):
    """Only the first and last ids of the manifest reveal the lost trades."""

    def cut(text):
        head, *lines = text.splitlines(True)
        del lines[rows]
        return head + "".join(lines)

    rewrite(folder.trades, cut)
    tape = load_day(folder, damaged=True)
    (excluded,) = tape.meta.excluded
    books = [us for us, kind in zip(tape.event_us.tolist(), kinds_of(tape), strict=True) if kind == "depth"]
    if rows.start == 0:
        assert excluded.endswith("12 rows are lost: excluded from the start of the day to 2026-01-05T07:00:14.000000Z")
        assert min(books) > at(13)
    else:
        assert max(books) <= at(39)
        assert "excluded from 2026-01-05T07:00:39.000000Z to 2026-01-05T07:01:10.000000Z" in excluded


def test_time_after_damaged_snapshot_is_excluded(folder):
    """The time from a damaged snapshot to the next one is excluded."""
    path = next(folder.snapshots.glob("*_resync.csv"))
    path.write_text(path.read_text().replace("0.99", "0.98"))
    tape = load_day(folder, damaged=True)
    assert max(us for us, kind in zip(tape.event_us.tolist(), kinds_of(tape), strict=True) if kind == "depth") == at(41)
    assert tape.meta.excluded[0].endswith("its book is left out, up to the next snapshot")


@pytest.mark.parametrize(
    "damage",
    [
        lambda day: rewrite(day.trades, lambda text: text.replace("0.00200000", "0.00900000", 1)),
        lambda day: day.trades.unlink(),
        lambda day: day.instrument.write_text(day.instrument.read_text() + " "),
    ],
    ids=["a cell", "no trades", "the grid"],
)
def test_damage_that_cannot_be_located_raises_broken_file(folder, damage):
    """A changed cell may be anywhere, so the whole day is lost."""
    damage(folder)
    with pytest.raises(BrokenFile, match="no usable data of the day remains; restore the file"):
        load_day(folder, damaged=True)


def test_never_synced_message_of_damaged_day_contains_its_folder(tmp_path):
    """The message contains the day's folder, not the temporary copy."""
    folder = Story([[step for step in DAY if step[0] != "snapshot"]]).write(tmp_path)
    keep_lines(folder.diffs, lambda lines: lines[:20])
    with pytest.raises(NeverSynced) as caught:
        load_day(folder, damaged=True)
    assert str(caught.value).startswith(f"{folder.path}: the book is never valid")
    assert "mm-damaged" not in str(caught.value)


def test_damaged_frames_are_reported_without_loss(folder):
    """Frames repeat the diffs, so their damage causes no loss."""
    folder.frames.write_text(folder.frames.read_text()[:-40])
    tape = load_day(folder, damaged=True)
    assert len(tape) == len(load_day_unsealed(folder))
    assert tape.meta.excluded[0].endswith("it is not used")


def load_day_unsealed(folder):
    folder.manifest.unlink()
    return load_day(folder)
