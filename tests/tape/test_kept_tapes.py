"""Pruning of kept tapes by last use and size, together with their index files."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mm import load_day
from mm.tape.kept_tapes import FileSize, KeptDay, kept_days, to_prune
from simulation import simulate_day

DAY_S = 86_400


def days_of(*ages_and_sizes: tuple[float, int]) -> list[KeptDay]:
    """Return kept days of these ages (in days, counted back from day 1,000) and sizes."""
    return [
        KeptDay("A", f"{n:08}", (FileSize(Path(f"{n}.arrow"), size),), (1_000 - age) * DAY_S)
        for n, (age, size) in enumerate(sorted(ages_and_sizes, reverse=True))
    ]


def test_tape_and_its_index_files_are_one_kept_day(tmp_path):
    """The index of levels belongs to its tape; the next run rebuilds them after a removal."""
    day = simulate_day(tmp_path / "data", hours=0.02, seed=7)
    cache = tmp_path / "tapes"
    load_day(day.path, cache=cache)
    tape = load_day(day.path, cache=cache)
    assert tape.levels
    (kept,) = kept_days(cache)
    assert (kept.symbol, kept.day, len(kept.files)) == ("SIMUSDT", "20260105", 2)
    assert kept.size == sum(path.stat().st_size for path in cache.glob("*.npy"))
    kept.remove()
    assert not list(cache.glob("*.npy"))
    assert len(tape) == len(load_day(day.path, cache=cache))
    kept.remove()  # removing missing files is no error
    assert kept_days(cache) == []


def test_other_files_are_ignored(tmp_path):
    """A missing folder has no tapes."""
    assert kept_days(tmp_path / "none") == []
    for name in ("notes.txt", "A_20260105.arrow", "A_20260105_0123456789ab.arrow.7.partial", "x.verified"):
        (tmp_path / name).write_text("x")
    assert kept_days(tmp_path) == []


def test_last_use_is_latest_access_of_all_files(tmp_path):
    """The index may have been used later than the tape, or vice versa."""
    for name, used in (("A_20260105_0123456789ab.arrow", 5), ("A_20260105_0123456789ab.levels.arrow", 9)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (used, 3))
    (tmp_path / "B_X_20260106_0123456789ab.arrow").write_text("x")
    os.utime(tmp_path / "B_X_20260106_0123456789ab.arrow", (7, 7))
    assert [(day.symbol, day.used_s, day.size) for day in kept_days(tmp_path)] == [("B_X", 7, 1), ("A", 9, 2)]


def test_old_tapes_are_pruned_first_then_longest_unused():
    """Both limits hold after the pruning."""
    days = days_of((40, 5), (31, 1), (20, 7), (3, 6), (1, 2))
    ages = [1_000 - day.used_s / DAY_S for day in to_prune(days, 1_000 * DAY_S, older_than_days=30)]
    assert ages == [40, 31]
    ages = [1_000 - day.used_s / DAY_S for day in to_prune(days, 1_000 * DAY_S, 30, most_bytes=8)]
    assert ages == [40, 31, 20]
    assert to_prune(days, 1_000 * DAY_S, 50, 100) == []
    assert to_prune(days, 1_000 * DAY_S, most_bytes=0) == days


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 100)), max_size=10),
    st.none() | st.floats(0, 100),
    st.none() | st.integers(0, 500),
)
def test_prune_removes_only_as_many_tapes_as_limits_require(kept, older, most):
    """The remaining tapes are within both limits, and the last removed one would violate a limit."""
    days = days_of(*kept)
    pruned = to_prune(days, 1_000 * DAY_S, older, most)
    assert pruned == days[: len(pruned)]
    left = days[len(pruned) :]
    old = [day for day in days if older is not None and 1_000 * DAY_S - day.used_s > older * DAY_S]
    assert not [day for day in old if day in left]
    assert most is None or sum(day.size for day in left) <= most
    if pruned and pruned[-1] not in old:
        assert most is not None
        assert sum(day.size for day in left) + pruned[-1].size > most
