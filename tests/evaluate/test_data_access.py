"""A copy whose day ends at a cut: nothing later can be read from it, and the rest of the folder is there."""

import gzip
import json
import os
from pathlib import Path

import pytest

from mm.backtest.io import load_day
from mm.dayfolder.check import check_day
from mm.dayfolder.layout import DayFolder
from mm.evaluate.data_access import TruncatedCopy, derived_from, truncate, truncated_copy
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session

SYMBOL, DAY = "SIMUSDT", "20260105"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three days of three minutes."""
    folder = tmp_path_factory.mktemp("days") / "data"
    for day in ("20260104", DAY, "20260106"):
        make_day(
            DayFolder(folder, SYMBOL, day), PoissonMarket(A_per_s=2.0, k_per_tick=0.3), Session(SYMBOL, day, 0.05, 3)
        )
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.77])
def test_a_day_that_ends_at_a_cut_is_the_begin_of_the_day(root, tmp_path, share, packed):
    """The tape of its files is the day's own up to the cut, and lasts up to there, and nothing later is in them."""
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
    assert not any(name.startswith(("manifest", "truth", "order_log")) for name in names)
    assert [one for one in check_day(copy).defects if one.kind not in ("unsealed", "no_manifest")] == []


def pack(day: DayFolder, root: Path) -> DayFolder:
    """Return a copy of a day whose tables are packed, and whose stamps are in ms alone as in older days."""
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
    """A folder with the days, a model, and runs."""
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


def seen(folder: Path) -> set[str]:
    """Return everything that can be reached from a folder, through links too."""
    return {
        str((Path(place) / name).relative_to(folder))
        for place, folders, files in os.walk(folder, followlinks=True)
        for name in [*folders, *files]
    }


def test_a_desk_has_all_but_what_comes_later(here, root, tmp_path):
    """Earlier days and runs are there, the day itself ends, later days and whatever was made of them are not."""
    day = DayFolder(root, SYMBOL, DAY)
    cut_us = load_day(day).start_us + 60_000_000
    desk = truncated_copy(tmp_path / "place", day, Path("out"), cut_us)
    found = seen(desk.cwd)
    assert {"models.py", "weights", f"out/backtest/{SYMBOL}/20260104_a"} <= found
    assert not any(DAY in name or "tapes" in name for name in found)
    data = seen(desk.data_root)
    assert f"{SYMBOL}/20260104/instrument.json" in data
    assert not any("20260106" in name for name in data)
    assert load_day(desk.data_root / SYMBOL / DAY).end_us < cut_us
    assert sorted(path.name for path in derived_from(DAY, Path("out"))) == [f"20260103-{DAY}_c", f"{DAY}_b", "tapes"]


@pytest.mark.parametrize("place", ["data", "deep/data", "."])
def test_the_data_may_lie_anywhere_in_the_folder(root, tmp_path, monkeypatch, place):
    """A relative path in a model means the desk's own data; files next to the symbols are there."""
    home = tmp_path / "home"
    data = home / place
    day = DayFolder(data, SYMBOL, DAY)
    make_day(day, PoissonMarket(A_per_s=2.0, k_per_tick=0.3), Session(SYMBOL, DAY, 0.02, 3))
    (data / "notes.txt").write_text("mine")
    monkeypatch.chdir(home)
    desk = truncated_copy(
        tmp_path / "place", DayFolder(Path(place), SYMBOL, DAY), Path("out"), load_day(day).start_us + 20_000_000
    )
    assert desk.data_root == desk.cwd / place
    assert (desk.cwd / place / "notes.txt").read_text() == "mine"
    assert not (desk.cwd / place / SYMBOL).is_symlink()
    assert load_day(desk.cwd / place / SYMBOL / DAY).end_us < load_day(day).end_us


def test_paths_in_the_data_are_those_of_the_desk(tmp_path, monkeypatch):
    """In parameters, however deep, and in the variables of the shell; other texts stay."""
    desk = TruncatedCopy(tmp_path / "desk", tmp_path / "desk/data", Path("/real/data"))
    text = json.dumps({"path": "/real/data/X/1.csv", "more": [{"a": "/real/data"}, "/real/data2", "x", 7], "n": None})
    assert json.loads(desk.params(text)) == {
        "path": f"{tmp_path}/desk/data/X/1.csv",
        "more": [{"a": f"{tmp_path}/desk/data"}, "/real/data2", "x", 7],
        "n": None,
    }
    assert desk.params(None) is None
    monkeypatch.setenv("MY_DAYS", "/real/data/X")
    assert desk.environment()["MY_DAYS"] == f"{tmp_path}/desk/data/X"
