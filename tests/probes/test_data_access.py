"""Truncated copies of days: nothing after the cut is readable, the rest of the folder is available."""

import gzip
import json
import os
from pathlib import Path

import pytest

from day_files import defects_of
from mm import DayFolder, load_day
from mm.dayfolder.order_log import OrderLog
from mm.probes.data_access import TruncatedCopy, derived_from, truncate, truncated_copy
from simulation import simulate_day

SYMBOL, DAY = "SIMUSDT", "20260105"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Return the data root of three days of three minutes."""
    folder = tmp_path_factory.mktemp("days") / "data"
    for day in ("20260104", DAY, "20260106"):
        simulate_day(folder, hours=0.05, seed=3, symbol=SYMBOL, day=day, A_per_s=2.0, k_per_tick=0.3)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.77])
def test_truncated_day_equals_start_of_day(root, tmp_path, share, packed):
    """The tape equals the day's up to the cut and ends there; no file contains later data."""
    day, copy = DayFolder(root, SYMBOL, DAY), DayFolder(tmp_path, SYMBOL, DAY)
    whole = load_day(day)
    cut_us = whole.start_us + int(share * (whole.end_us - whole.start_us)) + 200_000
    if packed:
        day = pack(day, tmp_path / "packed")
    truncate(day, copy, cut_us)
    ended = load_day(copy)
    count = int((whole.event_us < cut_us).sum())
    for name in ("event_us", "event_exch_us", "recv_seq", "event_id", "kind"):
        assert getattr(ended, name)[:count].tolist() == getattr(whole, name)[:count].tolist(), name
    assert [ended.rows(event) for event in range(count)] == [whole.rows(event) for event in range(count)]
    assert (len(ended), ended.end_us, ended.rows(count)) == (count + 1, cut_us - 1, [])
    names = {path.name for path in copy.path.rglob("*") if path.is_file()}
    assert not any(name.startswith(("manifest", "truth")) for name in names)
    assert int(OrderLog.open(copy.order_log).columns["us"].max(initial=0)) < cut_us
    assert [one for one in defects_of(copy) if one.kind not in ("unsealed", "no_manifest")] == []


def pack(day: DayFolder, root: Path) -> DayFolder:
    """Return a copy of a day with packed tables and stamps only in ms, as in older days."""
    copy = DayFolder(root, day.symbol, day.day)
    for path in day.path.rglob("*"):
        if path.is_file() and path.suffix != ".lock":
            target = copy.path / day.relative(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            table = path.suffix == ".csv" and path.parent == day.path
            target = target.with_name(target.name + ".gz") if table else target
            target.write_bytes(gzip.compress(path.read_bytes()) if table else path.read_bytes())
    return copy


@pytest.fixture
def here(root, tmp_path, monkeypatch) -> Path:
    """Change to a folder with the days, a model, and runs."""
    (tmp_path / "data").symlink_to(root)
    real = tmp_path / "home"
    real.mkdir()
    (real / "models.py").write_text("")
    (real / "weights").mkdir()
    for name in (
        "tapes",
        f"backtest/{SYMBOL}/20260104_a",
        f"backtest/{SYMBOL}/{DAY}_b",
        f"sweep/{SYMBOL}/20260103-{DAY}_c",
    ):
        (real / "out" / name).mkdir(parents=True)
    monkeypatch.chdir(real)
    return real


def reachable(folder: Path) -> set[str]:
    """Return all paths reachable from a folder, links included."""
    return {
        str((Path(place) / name).relative_to(folder))
        for place, folders, files in os.walk(folder, followlinks=True)
        for name in [*folders, *files]
    }


def test_truncated_copy_excludes_later_data(here, root, tmp_path):
    """Earlier days and runs exist, the day ends at the cut, later days and results from them are missing."""
    day = DayFolder(root, SYMBOL, DAY)
    cut_us = load_day(day).start_us + 60_000_000
    copied = truncated_copy(tmp_path / "place", day, Path("out"), cut_us)
    found = reachable(copied.cwd)
    assert {"models.py", "weights", f"out/backtest/{SYMBOL}/20260104_a"} <= found
    assert not any(DAY in name or "tapes" in name for name in found)
    data = reachable(copied.data_root)
    assert f"{SYMBOL}/20260104/instrument.json" in data
    assert not any("20260106" in name for name in data)
    assert load_day(copied.data_root / SYMBOL / DAY).end_us < cut_us
    assert sorted(path.name for path in derived_from(DAY, Path("out"))) == [f"20260103-{DAY}_c", f"{DAY}_b", "tapes"]


def test_a_day_that_sees_itself_is_cut_once_with_the_files_of_its_contract(here, root, tmp_path):
    """OTHERS may name the run's own symbol; what a contract told after the cut is not in the copy."""
    day = DayFolder(root, SYMBOL, DAY)
    cut_us = load_day(day).start_us + 60_000_000
    for path in (day.contract, day.best):
        rows = [f"0,{us // 1_000},1,r,{us}" for us in (cut_us - 1, cut_us, cut_us + 1)]
        path.write_text("event_time_ms,recv_time_ms,recv_seq,run_id,recv_time_us\n" + "\n".join(rows) + "\n")
    copied = truncated_copy(tmp_path / "place", day, Path("out"), cut_us, [day])
    for path in (day.contract, day.best):
        (row,) = (copied.data_root / SYMBOL / DAY / path.name).read_text().splitlines()[1:]
        assert row.endswith(str(cut_us - 1))
        path.unlink()  # other tests read the day


@pytest.mark.parametrize("place", ["data", "deep/data", "."])
def test_data_may_be_anywhere_in_folder(root, tmp_path, monkeypatch, place):
    """A relative path in a model refers to the copy's data; files next to the symbols are available."""
    home = tmp_path / "home"
    data = home / place
    day = simulate_day(data, hours=0.02, seed=3, symbol=SYMBOL, day=DAY, A_per_s=2.0, k_per_tick=0.3)
    (data / "notes.txt").write_text("mine")
    monkeypatch.chdir(home)
    copied = truncated_copy(
        tmp_path / "place", DayFolder(Path(place), SYMBOL, DAY), Path("out"), load_day(day).start_us + 20_000_000
    )
    assert copied.data_root == copied.cwd / place
    assert (copied.cwd / place / "notes.txt").read_text() == "mine"
    assert not (copied.cwd / place / SYMBOL).is_symlink()
    assert load_day(copied.cwd / place / SYMBOL / DAY).end_us < load_day(day).end_us


def test_data_paths_are_redirected_to_copy(tmp_path, monkeypatch):
    """In nested parameters and environment variables; other texts stay."""
    copied = TruncatedCopy(tmp_path / "desk", tmp_path / "desk/data", Path("/real/data"))
    text = json.dumps({"path": "/real/data/X/1.csv", "more": [{"a": "/real/data"}, "/real/data2", "x", 7], "n": None})
    assert json.loads(copied.params(text)) == {
        "path": f"{tmp_path}/desk/data/X/1.csv",
        "more": [{"a": f"{tmp_path}/desk/data"}, "/real/data2", "x", 7],
        "n": None,
    }
    assert copied.params(None) is None
    monkeypatch.setenv("MY_DAYS", "/real/data/X")
    assert copied.environment()["MY_DAYS"] == f"{tmp_path}/desk/data/X"
