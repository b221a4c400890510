"""The knobs of single tasks: listed with all others, and imported by no other module."""

from pathlib import Path

from mm.__main__ import main
from mm.base.knobs import knobs
from mm.cli.frame import known_knobs
from mm.cli.task_knobs import GROUPS
from support import run_python


def test_every_group_is_listed_once():
    """The documentation and the suggestions for misspelled settings use the list."""
    assert len(set(GROUPS)) == len(GROUPS)
    listed = {knob.name for group in GROUPS for knob in knobs(group)}
    assert {"symbol", "quote_model", "grid", "ws_url", "episodes", "model_path", "seeds", "sha256"} <= listed
    played = known_knobs(main.get_command(main.make_context("mm", ["backtest"]), "backtest"))
    assert {knob.name for knob in played} <= listed


def test_backtest_imports_no_knobs_of_other_tasks(tmp_path: Path):
    """Knobs that few commands need are not created for each command."""
    code = "import sys, mm.__main__, mm.commands.backtest; print('mm.cli.task_knobs' in sys.modules)"
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["False"]), done.stderr
