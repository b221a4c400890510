"""A run is played with the modules that it kept, and the process then has those of the user as before."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import mm
from support import run_mm, run_python

DAY = {"SYMBOL": "SIMUSDT", "DAY": "20260105"}
KNOBS = {"quote_model": "twice.models:Pair", "fill_model": "twice.models:Half"}
MODELS = """
import mm

from .distance import TICKS


class Pair:
    def quote(self, view):
        from . import late  # its first import is in the middle of a run

        distance = TICKS + late.MORE
        return mm.Quotes(view.mid2_ticks / 2 - distance, view.mid2_ticks / 2 + distance)


class Half:
    def on_trade(self, order, trade):
        through = order.side * (order.ticks - trade.ticks) >= 0
        return trade.lots // TICKS if through and trade.side != order.side else 0
"""


def written(folder: Path, ticks: int) -> None:
    """Write the package of models that quote, in two modules, *ticks* and twice as many from the mid."""
    files = {"__init__": "", "models": MODELS, "distance": f"TICKS = {ticks}\n", "late": f"MORE = {ticks}\n"}
    (folder / "twice").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "twice" / f"{name}.py").write_text(text)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with a day and a run of the first source; the second lies in the current folder since."""
    place = tmp_path_factory.mktemp("kept")
    assert run_mm("sim", "day", *_flags(), "--hours", "0.05", "--scenario", "poisson", cwd=place).returncode == 0
    written(place, 1)
    variables = {**DAY, **{name.upper(): value for name, value in KNOBS.items()}, "SENSITIVITY": "0"}
    done = run_python("-m", "mm", "backtest", "--out-dir", "first", cwd=place, LOG_LEVEL="ERROR", **variables)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(place / "twice")
    written(place, 2)
    return place


def _flags() -> list[str]:
    return [word for name, value in DAY.items() for word in (f"--{name.lower()}", value)]


@pytest.fixture
def desk(kept, monkeypatch):
    """That folder as the current one of a process that has imported neither source."""
    monkeypatch.chdir(kept)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "twice"]:
        monkeypatch.delitem(sys.modules, name)
    return kept


def drawn(desk: Path) -> None:
    """Play the run for its page, which tells of any other result as a note."""
    trust = [word for path in sorted((desk / "first" / "source").rglob("*.py")) for word in ("--trust", str(path))]
    done = run_mm("report", "first", "--json", *trust, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["notes"] == []
    assert ">Sensitivity<" in (desk / "first" / "report.html").read_text(encoding="utf-8")


def played(desk: Path) -> dict[str, float]:
    """Play the models of the current folder, by the function; return some numbers."""
    summary = mm.backtest(mm.load_day(desk / "data" / DAY["SYMBOL"] / DAY["DAY"]), **KNOBS, sensitivity=False).summary
    return {name: summary[name] for name in ("pnl_total", "n_orders", "n_fills")}


def test_source_of_a_run_and_of_the_folder_are_played_in_turn(desk):
    before = json.loads((desk / "first" / "summary.json").read_text())
    drawn(desk)
    second = played(desk)
    assert second != {name: before[name] for name in second}
    drawn(desk)
    assert played(desk) == second


def test_model_that_was_imported_before_stays_the_same_class(desk):
    second = played(desk)
    pair = sys.modules["twice.models"].Pair
    drawn(desk)
    assert played(desk) == second
    assert sys.modules["twice.models"].Pair is pair


def test_sweep_plays_the_source_of_the_folder_after_a_report(desk, tmp_path):
    """Its processes import the models on their own."""
    drawn(desk)
    variables = {**DAY, **{name.upper(): value for name, value in KNOBS.items()}, "SWEEP_WALKFORWARD": "0"}
    words = ("--grid", "SEED=0,1", "--jobs", "2", "--keep-runs", "none", "--out-dir", str(tmp_path))
    done = run_mm("sweep", *words, cwd=desk, LOG_LEVEL="ERROR", **variables)
    assert done.returncode == 0, done.stderr
    points = [json.loads(line)["summary"] for line in (tmp_path / "points.ndjson").read_text().splitlines()]
    second = played(desk)
    assert [{name: point[name] for name in second} for point in points] == [second, second]


def test_kept_source_that_cannot_be_imported_leaves_nothing_behind(desk, tmp_path):
    shutil.copytree(desk / "first", tmp_path / "broken")
    models = tmp_path / "broken" / "source" / "twice" / "models.py"
    models.write_text(models.read_text() + "raise KeyError('here')\n")
    trust = [word for path in sorted(models.parent.glob("*.py")) for word in ("--trust", str(path))]
    path = [*sys.path]
    done = run_mm("report", str(tmp_path / "broken"), "--json", *trust, cwd=desk)
    (note,) = json.loads(done.stdout.splitlines()[-1])["notes"]
    assert "KeyError" in note
    assert sys.path == path
    assert "twice" not in sys.modules
    assert played(desk)["n_orders"] > 0
