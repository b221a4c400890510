"""Simulated days and exchanges, by the name of a scenario and its parameters."""

import json

from mm import DayFolder
from mm.clock import now_us
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import STEP_US, Session

SYMBOL, DAY = "SIMUSDT", "20260105"


def simulate_day(root, scenario="poisson", *, hours, seed, symbol=SYMBOL, day=DAY, step=None, **parameters):
    """Write a simulated day below *root*, and return its folder."""
    folder = DayFolder(root, symbol, day)
    make_day(folder, SCENARIOS[scenario](**parameters), Session(symbol, day, hours, seed), step or (lambda _us: None))
    return folder


def truth_of(folder):
    """Return the truth of a simulated day."""
    return json.loads((folder.path / "truth.json").read_text(encoding="utf-8"))


def make_box(scenario="empty", symbol=SYMBOL, *, begins_us=None, hours=24.0, seed=7, faults=(), wire=None, **options):
    """Return an exchange whose market begins at an instant, or now.

    Args:
        faults: Lines of a script.
        wire: Limits of the connections.
        options: Further arguments of `Box`, and parameters of the scenario.
    """
    from mm.sim.wire.box import Box  # a server; days do without
    from mm.sim.wire.faults.script import as_rules
    from mm.sim.wire.limits import WireLimits

    session = Session(symbol, DAY, hours, seed, (begins_us or now_us()) // STEP_US * STEP_US)
    box = {name: options.pop(name) for name in ("speed", "limits", "beside", "market") if name in options}
    box = Box(SCENARIOS[scenario](**options), session, wire_limits=WireLimits(**wire) if wire else None, **box)
    if faults:
        box.inject(as_rules(faults))
    return box


def lockstep_box(scenario="empty", *, wire=None, **options):
    """Return an exchange whose time only `advance` moves; *options* are those of `Box.in_lockstep`."""
    from mm.sim.wire.box import Box
    from mm.sim.wire.limits import WireLimits

    return Box.in_lockstep(scenario, wire_limits=WireLimits(**wire) if wire else None, **options)


def inject(box, script):
    """Let the faults of a script begin on a running exchange."""
    from mm.sim.wire.faults.script import read_script

    box.inject(read_script(script))
