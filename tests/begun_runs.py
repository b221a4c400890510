"""Runs that a test begins itself."""

from contextlib import contextmanager

from mm.base.common_knobs import Output
from mm.play.knobs import Day
from mm.runs.in_progress import new_run
from mm.runs.manifest import SetKnob
from mm.runs.plan import Plan
from mm.terminal.console import Console

SYMBOL, DAY = "BTCUSDT", "20251216"


def knob_of(value, source="flag", *, matters=True, **more):
    """Return a knob as a run had it."""
    return SetKnob(value, source, matters, **more)


def plan_of(kind="backtest", method=None, *, knobs=None, output=None, program="mm", resumable=False, **day):
    """Return the plan of a run; *day* are knobs of the day that differ from a default, *output* those of the output."""
    day = Day(**{"symbol": SYMBOL, "day": DAY, **day})
    return Plan(kind, method, day, Output(**output or {}), knobs or {}, program, resumable)


@contextmanager
def begun(plan, *, as_json=True, level="ERROR"):
    """Yield the run of a plan; its artefact is printed after it, as by a command."""
    console = Console(as_json=as_json, level=level)
    with new_run(plan, console) as run:
        yield run
    console.close()
