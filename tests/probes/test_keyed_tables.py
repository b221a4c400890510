"""`mm check lookahead` refuses what is known of a day by any key, however it came in, and lets honest models pass.

What is read is not looked at here: the model acts otherwise on a day that is upside down, longer or later.
"""

import builtins
import json
import pickle
import sqlite3
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from key_peekers import SOURCE

import mm
from mm.__main__ import main
from support import ROOT, run_python

DAY = "20260105"
FLAGS = ("--symbol", "SIMUSDT", "--day", DAY, "--initial-inventory", "5", "--cuts", "3", "--log-level", "ERROR")
AHEAD_US = 3_000_000
KEYS = ("ByTradeId", "ByCall", "ByPath")
WAYS = [
    *("Npy", "Npz", "Pickle", "SharedMemory", "Sqlite", "EnvironmentPath", "ModuleCache", "PassedInSilence"),
    *("FileNames", "Mapped", "ByLibc", "Subprocess", "AtItsEnd", "ImportedFolder", "ClosureDefault"),
]
HONEST = ["Requotes", "Decays", "Draws", "Logs", "Yesterday", "Imbalance", "TimeOfDay", "OneSided"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """Return a folder with two days of six minutes, the models, and elsewhere what they know of the second day."""
    folder, known = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("known")
    for day, seed in (("20260104", "4"), (DAY, "3")):
        words = ["sim", "day", "--symbol", "SIMUSDT", "--day", day, "--hours", "0.1", "--seed", seed]
        process = run_python("-m", "mm", *words, cwd=folder)
        assert process.returncode == 0, process.stderr
    us, mid2 = mids(folder / "data/SIMUSDT" / DAY)
    both = np.stack([us, mid2])
    pl.DataFrame({"us": us, "mid2": mid2}).write_parquet(known / "known.parquet")
    np.savez(folder / "data/SIMUSDT" / DAY / "known.npz", us=us, mid2=mid2)
    (known / "known.pickle").write_bytes(pickle.dumps((us, mid2)))
    both.tofile(known / "known.bin")
    np.stack(mids(folder / "data/SIMUSDT/20260104")).tofile(known / "season.bin")
    with sqlite3.connect(known / "known.sqlite") as connection:
        connection.execute("CREATE TABLE known (us INTEGER, mid2 INTEGER)")
        connection.executemany("INSERT INTO known VALUES (?, ?)", both.T.tolist())
    connection.close()
    (known / "names").mkdir()
    for at, to in both.T.tolist():
        (known / "names" / f"{at}_{to}").touch()
    (known / "site-packages").mkdir()
    (known / "site-packages/known_package.py").write_text(f"US = {us.tolist()}\nMID2 = {mid2.tolist()}\n")
    by_trade_and_call(folder, known, us, mid2)
    (folder / "keyed.py").write_text(SOURCE.replace("{known}", str(known)).replace("{shm}", str(known / "known.bin")))
    return folder


def mids(day: Path) -> tuple[np.ndarray, np.ndarray]:
    tape = mm.load_day(str(day))
    return tape.event_us[tape.top_event], tape.top_bid_ticks + tape.top_ask_ticks


def by_trade_and_call(folder: Path, known: Path, us: np.ndarray, mid2: np.ndarray) -> None:
    tape = mm.load_day(str(folder / "data/SIMUSDT" / DAY))

    def move(at: np.ndarray) -> np.ndarray:
        now, then = (mid2[np.maximum(np.searchsorted(us, at + ahead, side="right") - 1, 0)] for ahead in (0, AHEAD_US))
        return then - now

    table = {"id": tape.event_id[tape.trades], "move": move(tape.event_us[tape.trades])}
    pl.DataFrame(table).write_parquet(known / "trades.parquet")
    calls = []

    class Counts:
        def quote(self, view: mm.QuoteView) -> mm.Quotes:
            calls.append((view.us, view.bid_ticks, view.ask_ticks, view.bid_lots, view.ask_lots))
            return mm.Quotes(view.bid_ticks, view.ask_ticks)

    mm.backtest(tape, Counts(), "trade_cross", initial_inventory="5", sensitivity=False)
    columns = dict(zip(("us", "bid", "ask", "bid_lots", "ask_lots"), np.array(calls, np.int64).T, strict=True))
    pl.DataFrame({"move": move(columns.pop("us"))} | columns).write_parquet(known / "calls.parquet")


@pytest.fixture(autouse=True)
def _run_at_desk(desk, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.setattr(sys, "path", [str(desk), *sys.path])
    for name in ("keyed", "known_package"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def check(name: str, *words: str) -> dict:
    words = ("check", "lookahead", f"keyed:{name}", *FLAGS, "--skip=fresh,files", *words, "--json")
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (0, 5), result.stderr
    return json.loads(result.stdout)


def failed(report: dict) -> set[str]:
    return {test for test, counts in report["tests"].items() if counts["failed"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_table_is_refused_however_it_came_in(desk, monkeypatch, name):
    """By what the model does with it, whether or not it is heard that a file was opened."""
    monkeypatch.setenv("KNOWN_TABLE", str(next(desk.parent.glob("known*")) / "known.parquet"))
    monkeypatch.setattr(builtins, "known_table", mids(desk / "data/SIMUSDT" / DAY), raising=False)
    assert failed(check(name)) - {"opened"}


@pytest.mark.parametrize("name", KEYS)
def test_table_is_refused_whatever_its_key(name):
    """Ids, counts and prices are the same on a later or longer day; upside down they promise the contrary."""
    report = check(name, "--skip=fresh,files,opened")
    assert "reflected" in failed(report)
    assert report["foresight"]["reflected"]["own"] > 0.2 > report["foresight"]["reflected"]["other"]


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_honest_model_passes(name):
    assert failed(check(name)) == set()


def test_vouched_season_passes(desk):
    """And is refused without a word, as the file was made after the day began."""
    season = str(next(desk.parent.glob("known*")) / "season.bin")
    assert failed(check("Vouched", "--past", season)) == set()
    assert failed(check("Vouched")) == {"opened"}
