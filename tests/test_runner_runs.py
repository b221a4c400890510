import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mm import run_manifest
from mm.config import Day, Output
from mm.console import Console
from mm.run_folder import Plan
from mm.run_manifest import SetKnob
from mm.runner_runs import list_command, show_command
from mm.runs import working


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def make_run(run_id: str, kind: str = "backtest") -> Path:
    day = Day(symbol="BTCUSDT", day="20251216")
    knobs = {"seed": SetKnob(3, "flag", matters=True), "order_latency_ms": SetKnob(50.0, "default", matters=True)}
    plan = Plan(kind, None, day, Output(run_id=run_id), knobs)
    with working(plan, Console(as_json=True, level="ERROR")) as run:
        run.path("fills_BTCUSDT.csv").write_text("a\n1\n")
        run.input("BTCUSDT/20251216/t.csv", 10, "aa")
        run.summary = {"pnl_total": 1.5}
    return run.folder


def call(command, *args: str) -> Result:
    return CliRunner().invoke(command, args)


def test_runs_are_listed_the_oldest_first():
    """What is still partial, or has no manifest, is no run."""
    assert call(list_command).stdout == "no runs below out\n"
    first, second = make_run("one"), make_run("two", "walkforward")
    partial = Path("out/backtest/BTCUSDT/20251216_x.partial")
    partial.mkdir()
    (partial / run_manifest.NAME).write_text("{")
    Path("out/backtest/BTCUSDT/20251216_y").mkdir()
    rows = json.loads(call(list_command, "--json").stdout)["runs"]
    assert [(row["kind"], row["run_id"], row["status"], row["path"]) for row in rows] == [
        ("backtest", "one", "ok", str(first)),
        ("walkforward", "two", "ok", str(second)),
    ]
    head, *lines = call(list_command).stdout.splitlines()
    assert head.split() == ["kind", "symbol", "day", "run_id", "status", "started_at", "path"]
    assert [line.split()[3] for line in lines] == ["one", "two"]


def test_a_run_is_shown_by_its_folder_or_its_name():
    """Both say the same."""
    folder = make_run("one")
    by_folder, by_name = call(show_command, str(folder)), call(show_command, "one")
    assert by_folder.stdout == by_name.stdout
    for line in (
        "backtest BTCUSDT 20251216  one  ok",
        "  seed = 3  (flag)",
        "  BTCUSDT/20251216/t.csv  10 bytes",
        "  fills_BTCUSDT.csv  1 rows",
        "  pnl_total = 1.5",
    ):
        assert line in by_name.stdout.splitlines()
    assert "order_latency_ms" not in by_name.stdout
    found = json.loads(call(show_command, "one", "--json").stdout)
    assert found["path"] == str(folder.resolve() / run_manifest.NAME)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "'nobody' is no run folder and no RUN_ID below out"),
        ("out", "out: not a run, it has no run_manifest.json"),
        ("one", "2 runs are called 'one'"),
    ],
)
def test_a_name_that_is_no_run_is_refused(name, message):
    """Nothing is guessed."""
    make_run("one")
    make_run("one", "walkforward")
    result = call(show_command, name)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"error: {message}")
