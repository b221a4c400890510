"""A finished run drawn again: its original knobs, its days at their current paths."""

from pathlib import Path

import pytest

from mm.backtest.rules import Account, Execution
from mm.cli.console import Console
from mm.report.redraw import Drawn, Redraw, played
from mm.runs.find import Found


def redraw(knobs: dict[str, object], **drawn: object) -> Redraw:
    manifest = {"kind": "backtest", "knobs": {name: {"value": value} for name, value in knobs.items()}}
    return Redraw(Found(Path("run"), manifest), Drawn(**drawn), Console(as_json=False, level="INFO"), [])


def test_knobs_are_those_of_the_run_and_new_ones_have_their_default():
    """A run of an earlier version lacks some; one that is given instead counts."""
    again = redraw({"order_latency_ms": 12.5, "seed": 7})
    assert again.group(Execution).order_latency_ms == 12.5
    assert again.group(Execution, order_latency_ms=3.0).order_latency_ms == 3.0
    assert again.group(Account) == Account(seed=7)


@pytest.mark.parametrize(
    ("knobs", "drawn", "root"),
    [({}, {}, "data"), ({"data_root": "was"}, {}, "was"), ({"data_root": "was"}, {"data_root": Path("now")}, "now")],
)
def test_days_lie_where_the_run_read_them_unless_one_says_so(knobs, drawn, root):
    """And below ``data`` where the run's manifest has no such knob."""
    assert redraw(knobs, **drawn).data_root == Path(root)


@pytest.mark.parametrize(("summary", "drawn"), [({"sensitivity": {}}, {}), ({}, {"sensitivity": False})])
def test_a_run_is_not_played_where_that_is_known_or_not_wanted(summary, drawn):
    """Its files are enough then."""
    assert played(redraw({}, **drawn), summary) is None
