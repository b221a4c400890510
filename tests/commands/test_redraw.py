"""Redrawing a finished run: its original knobs, its days at their current paths."""

import json
from pathlib import Path

import pytest

from mm import RunFolder
from mm.backtest.rules import Account, Execution
from mm.cli.task_knobs import PageKnobs
from mm.commands.redraw import Redraw, played
from mm.runs.trusted import Playable
from mm.terminal.console import Console


def redraw(knobs: dict[str, object], folder: Path = Path("run"), **drawn: object) -> Redraw:
    manifest = {"kind": "backtest", "knobs": {name: {"value": value} for name, value in knobs.items()}}
    return Redraw(RunFolder(folder, manifest), PageKnobs(**drawn), Console(as_json=False, level="INFO"), [])


def test_knobs_are_those_of_the_run_and_new_ones_have_defaults():
    """A run of an earlier version lacks some knobs; an explicit value takes precedence."""
    run = redraw({"order_latency_ms": 12.5, "seed": 7}).run
    known = Playable(run, {}, {}, {})
    assert known.group(Execution).order_latency_ms == 12.5
    assert known.group(Execution, order_latency_ms=3.0).order_latency_ms == 3.0
    assert known.group(Account) == Account(seed=7)


@pytest.mark.parametrize(
    ("knobs", "drawn", "root"),
    [({}, {}, "data"), ({"data_root": "was"}, {}, "was"), ({"data_root": "was"}, {"data_root": Path("now")}, "now")],
)
def test_days_are_read_from_the_root_of_the_run_unless_overridden(knobs, drawn, root):
    """Or from ``data`` if the manifest has no such knob."""
    assert redraw(knobs, **drawn).places.data_root == Path(root)


@pytest.mark.parametrize(("summary", "drawn"), [({"sensitivity": {}}, {}), ({}, {"sensitivity": False})])
def test_run_is_not_played_if_sensitivity_is_known_or_not_requested(summary, drawn, tmp_path):
    """Its files are enough then."""
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    assert played(redraw({}, tmp_path, **drawn)) is None
