"""`mm check lookahead` hears whatever file a model opens, whoever opens it, and lets honest models pass."""

import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from profile_peekers import AT_IMPORT, SOURCE

from mm.__main__ import main
from support import ROOT, run_python

DAY, FUTURE = "20260105", "20360105"  # a day before these tests run, and one after
FLAGS = ("--symbol", "SIMUSDT", "--initial-inventory", "5", "--cuts", "6", "--log-level", "ERROR")
HERE = "--skip=fresh,files"  # tests that need another process


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """Return a folder with days of three minutes, profiles of one in many formats, and the models."""
    folder, elsewhere = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("elsewhere")
    for symbol, day in (("SIMUSDT", "20260104"), ("SIMUSDT", DAY), ("SIMUSDT", FUTURE), ("TWINUSDT", DAY)):
        words = ["sim", "day", "--symbol", symbol, "--day", day, "--hours", "0.05", "--seed", "3"]
        process = run_python("-m", "mm", *words, cwd=folder)
        assert process.returncode == 0, process.stderr
    (folder / "profiles").mkdir()
    for name, day in (("season", "20260104"), ("profile", DAY)):
        trades = pl.read_csv(folder / f"data/SIMUSDT/{day}/trades_ws_SIMUSDT_{day}.csv")
        table = trades.select(us="recv_time_us", price="price")
        table.write_parquet(folder / "profiles" / f"{name}.parquet")
    profiles = folder / "profiles"
    table.write_ipc(profiles / "profile.arrow", compression="uncompressed")
    table.write_csv(profiles / "profile.csv")
    np.save(profiles / "profile.npy", np.array([table["us"], table["price"]], np.float64))
    with sqlite3.connect(profiles / "profile.sqlite") as connection:
        connection.execute("CREATE TABLE profile (us INTEGER, price REAL)")
        connection.executemany("INSERT INTO profile VALUES (?, ?)", table.rows())
    connection.close()
    for copy in (elsewhere / "profile.parquet", elsewhere / "linked.parquet", profiles / "forged.parquet"):
        shutil.copy(profiles / "profile.parquet", copy)
    (folder / "linked.parquet").symlink_to(elsewhere / "linked.parquet")
    os.utime(profiles / "forged.parquet", (1_500_000_000, 1_500_000_000))
    (profiles / "constants.csv").write_text("a,b\n1,2\n")
    (folder / "profiles_read.py").write_text(SOURCE.replace("{elsewhere}", str(elsewhere)))
    (folder / "read_at_import.py").write_text(AT_IMPORT)
    return folder


@pytest.fixture(autouse=True)
def _run_in_workspace(workspace, monkeypatch):
    """Run in the workspace with freshly imported models."""
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(sys, "path", [str(workspace), *sys.path])
    for name in ("profiles_read", "read_at_import"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def check(name: str, *words: str, day: str = DAY) -> dict:
    """Return the JSON output of the command and check its exit code."""
    module = "read_at_import" if name == "AtImport" else "profiles_read"
    result = CliRunner().invoke(
        main, ["check", "lookahead", f"{module}:{name}", "--day", day, *FLAGS, *words, "--json"]
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


OF_THE_DAY = {
    "PolarsLazy": "profile.parquet",
    "ArrowMapped": "profile.parquet",
    "ArrowFile": "profile.arrow",
    "Sqlite": "profile.sqlite",
    "NumpyMapped": "profile.npy",
    "Mapped": "profile.npy",
    "ByLibc": "profile.npy",
    "OtherFolder": "profile.parquet",
    "Linked": "linked.parquet",
    "Elsewhere": "profile.parquet",
    "Forged": "forged.parquet",
    "InThread": "profile.parquet",
    "InChild": "profile.csv",
    "OtherSymbol": f"trades_ws_TWINUSDT_{DAY}.csv",
    "AtImport": "profile.parquet",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THE_DAY)
def test_profile_of_the_day_is_heard(name):
    """Outside Python, by relative paths, in threads and children, at import, through links, with a forged date."""
    report = check(name, HERE)
    assert {"opened"} <= failed(report) <= {"opened", "shifted"}
    assert kinds(report)[OF_THE_DAY[name]] == "later"
    (message,) = [one["message"] for one in report["findings"] if OF_THE_DAY[name] in one["message"]]
    assert "--past" in message


def test_profile_by_second_of_the_day_survives_a_week_but_is_heard():
    """It depends on the time of the day, which is no error by itself; the file is."""
    report = check("BySecond", HERE)
    assert failed(report) == {"opened"}
    assert report["depends_on_time_of_day"] is True
    assert any("time of day" in note for note in report["notes"])


@pytest.mark.slow
def test_file_heard_in_one_process_only_is_a_note(workspace, monkeypatch):
    """As another program may have opened it."""
    report = check("PolarsRelative", "--skip=files")
    assert "opened" in failed(report)
    path = workspace / "profiles/profile.csv"
    real = pl.read_parquet
    monkeypatch.setattr(pl, "read_parquet", lambda source: (os.system(f"cat {path} > /dev/null"), real(source))[1])
    report = check("Season", "--skip=files", "--past", "profiles/season.parquet")
    assert failed(report) == set()
    assert any("profile.csv was opened once" in note for note in report["notes"])


@pytest.mark.slow
def test_one_look_a_day_is_cut_behind():
    """The order that it places is of a rare kind, so that a copy of the day ends behind it."""
    report = check("OneLook", "--skip=fresh,shifted,opened")
    assert failed(report) == {"files"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "found"), [("DayMean", {"files"}), ("DayMeanOfFile", {"files", "opened"})])
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
@pytest.mark.parametrize(
    ("name", "words", "kind"),
    [
        ("Season", ("--past", "profiles/season.parquet"), {"season.parquet": "past"}),
        ("Season", ("--past", "profiles"), {"season.parquet": "past"}),
        ("EarlierDay", (), {"trades_ws_SIMUSDT_20260104.csv": "earlier day"}),
        ("LongMemory", (), {}),
        ("Hours", (), {}),
        ("Logs", (), {"own.parquet": "written by the model"}),
    ],
)
def test_honest_model_passes(name, words, kind):
    """A vouched seasonality, earlier days, long memory, hours of a time zone, files of its own."""
    report = check(name, *words)
    assert failed(report) == set()
    assert {file: report_kind for file, report_kind in kinds(report).items() if file in kind} == kind
    assert "later" not in kinds(report).values()
    assert report["depends_on_time_of_day"] is (name in ("Season", "Hours"))


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
