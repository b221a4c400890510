"""`mm check lookahead` finds single looks and signals with a mean of the day, and lets honest models pass."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from profile_peekers import SOURCE

from mm.__main__ import main
from support import ROOT, run_python

DAY, FUTURE = "20260105", "20360105"  # a day before these tests run, and one after
FLAGS = ("--symbol", "SIMUSDT", "--initial-inventory", "5", "--cuts", "6", "--log-level", "ERROR")
HERE = "--skip=fresh,files"  # tests that need another process


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """Return a folder with days of three minutes, a profile of one, and the models."""
    folder = tmp_path_factory.mktemp("desk")
    for symbol, day in (("SIMUSDT", "20260104"), ("SIMUSDT", DAY), ("SIMUSDT", FUTURE), ("TWINUSDT", DAY)):
        words = ["sim", "day", "--symbol", symbol, "--day", day, "--hours", "0.05", "--seed", "3"]
        process = run_python("-m", "mm", *words, cwd=folder)
        assert process.returncode == 0, process.stderr
    (folder / "profiles").mkdir()
    trades = pl.read_csv(folder / f"data/SIMUSDT/{DAY}/trades_ws_SIMUSDT_{DAY}.csv")
    trades.select(us="recv_time_us", price="price").write_parquet(folder / "profiles" / "profile.parquet")
    (folder / "profiles" / "constants.csv").write_text("1,2\n")
    (folder / "profiles_read.py").write_text(SOURCE)
    return folder


@pytest.fixture(autouse=True)
def _run_in_workspace(workspace, monkeypatch):
    """Run in the workspace with freshly imported models."""
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(sys, "path", [str(workspace), *sys.path])
    monkeypatch.delitem(sys.modules, "profiles_read", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def check(name: str, *words: str, day: str = DAY) -> dict:
    """Return the JSON output of the command and check its exit code."""
    result = CliRunner().invoke(
        main, ["check", "lookahead", f"profiles_read:{name}", "--day", day, *FLAGS, *words, "--json"]
    )
    assert result.exit_code in (0, 5), result.stderr
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["ok"] else 5)
    assert json.loads(Path(report["path"]).read_text()) == {key: report[key] for key in report if key != "path"}
    return report


def failed(report: dict) -> set[str]:
    return {test for test, counts in report["tests"].items() if counts["failed"]}


def kinds(report: dict) -> dict[str, str]:
    """Return what each opened file is to the day, by its name."""
    return {Path(file["path"]).name: file["kind"] for file in report["opened"]}


@pytest.mark.slow
def test_one_look_a_day_is_cut_behind():
    """The order that it places is of a rare kind, so that a copy of the day ends behind it."""
    report = check("OneLook", "--skip=fresh,shifted,opened")
    assert failed(report) == {"files"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "found"), [("DayMean", {"files"}), ("DayMeanOfFile", {"files"})])
def test_signal_with_mean_of_the_day_is_found(workspace, name, found):
    """In a child on truncated copies: the mean of the rest of the day is not there.

    In a process of its own: the peeker takes the first tape that it finds, and this one has those of other tests.
    """
    words = ("check", "lookahead", f"profiles_read:{name}", "--day", DAY, *FLAGS, "--cuts", "2", "--json")
    process = run_python("-m", "mm", *words, cwd=workspace, PYTHONPATH=f"{workspace}:{ROOT}")
    assert process.returncode == 5, process.stderr
    report = json.loads(process.stdout)
    assert found <= failed(report)
    assert report["tests"]["fresh"] == {"played": 1, "failed": 0}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LongMemory", "Hours", "Logs"])
def test_honest_model_passes(name):
    """A long memory, hours of a time zone, files of its own; also in other processes."""
    report = check(name)
    assert failed(report) == set()
    assert "later" not in kinds(report).values()
    assert report["depends_on_time_of_day"] is (name == "Hours")


def test_day_that_lasts_longer_tells_of_a_table_by_instants():
    """By the share of equal orders: ever fewer, or nearly all for a memory in seconds."""
    shares = {}
    for name in ("BySecond", "Decays", "Yesterday"):
        report = check(name, "--skip=fresh,files,opened")
        shares[name] = report["stretch"]["equal"]
        assert (failed(report) == set()) is (name != "BySecond")
        assert any("lasts 1 % longer" in note for note in report["notes"]) is (shares[name] < 1)
        assert report["tests"]["stretch"]["played"] == 1
    assert shares["BySecond"] < 0.8
    assert shares["Decays"] > 0.9
    assert shares["Yesterday"] == 1


@pytest.mark.parametrize("latency", ["recorded", "500", "none"])
def test_feed_that_is_asked_for_is_played(latency):
    """An honest model passes; what may be known before it arrives is said."""
    report = check("Decays", "--skip=fresh,files,opened", "--feed-latency", latency)
    assert failed(report) == set()
    assert any("before they arrived" in one for one in report["unseen"]) is (latency != "none")


def test_model_that_loads_an_earlier_day_passes(workspace):
    """Whether or not other days are held out; no folder, and no file that does not exist, is read."""
    for name in ("", "held_out.json"):
        if name:
            (workspace / "data" / name).write_text('{"TWINUSDT": {"20260105": null}}')
        report = check("Yesterday", HERE)
        assert failed(report) == set()
        assert "later" not in kinds(report).values()
    (workspace / "data" / "held_out.json").unlink()


def test_file_made_before_the_day_passes():
    """It cannot hold what had not happened; its content is not checked, as a note says."""
    report = check("Constants", HERE, day=FUTURE)
    assert failed(report) == set()
    assert kinds(report) == {"constants.csv": "older"}
    assert [note for note in report["notes"] if "constants.csv" in note]
    assert report["unseen"]


def test_file_to_vouch_for_must_exist():
    result = CliRunner().invoke(
        main, ["check", "lookahead", "fixed_spread", "--day", DAY, *FLAGS, "--past", "nowhere.parquet"]
    )
    assert result.exit_code == 3
    assert "nowhere.parquet" in result.stderr
