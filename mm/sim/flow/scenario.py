"""The scenarios by name, and their fields as the flags of a command."""

from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Any

import click
from click.core import ParameterSource

from mm.errors import UsageError
from mm.knobs import Knob, knob, knobs, shown
from mm.sim.flow.market import Empty, Market
from mm.sim.flow.queue_markets import LargeTick, ZeroIntelligence
from mm.sim.flow.regular_markets import Gaps, Hawkes, Poisson, Regimes

_ALL: tuple[type[Market], ...] = (Poisson, Hawkes, Regimes, ZeroIntelligence, LargeTick, Gaps, Empty)
SCENARIOS: Mapping[str, type[Market]] = {scenario.name: scenario for scenario in _ALL}
FIELDS: Mapping[str, Mapping[str, Knob]] = {
    name: {one.name: one for one in knobs(scenario)} for name, scenario in SCENARIOS.items()
}
"""The knobs of each scenario, by field name."""


def _flags() -> type:
    """Return the dataclass of all fields of all scenarios; None stands for a value that was not given."""
    every = {name: one for fields in FIELDS.values() for name, one in fields.items()}
    declared = [(name, Any, knob(None, one.reader, _help(one), flag=one.flag)) for name, one in every.items()]
    return make_dataclass("Flags", declared, frozen=True, kw_only=True)


def _help(one: Knob) -> str:
    """Return the help of a field, with the scenarios that have it and what it is there by default."""
    names: dict[str, list[str]] = {}
    for scenario, fields in FIELDS.items():
        if one.name in fields:
            names.setdefault(shown(fields[one.name].default) or "none", []).append(scenario)
    if len(names) == 1 and sum(map(len, names.values())) == len(FIELDS):
        return f"{one.help} ({next(iter(names))})"
    defaults = "; ".join(f"{', '.join(scenarios)}: {value}" for value, scenarios in names.items())
    return f"{one.help} ({defaults})"


Flags: type = _flags()
"""What a command takes to offer every parameter of every scenario, each flag once; `chosen` reads it."""


def chosen(name: str, flags: Any) -> Market:
    """Return the scenario called *name*, with the values that *flags*, a `Flags`, give it.

    A variable that another scenario would read is left alone; a flag on the command line is meant.

    Raises:
        UsageError: If a flag that was given is none of the scenario's, or a value does not fit the others.
    """
    own = FIELDS[name]
    given = {one.name: one for one in knobs(Flags) if getattr(flags, one.name) is not None}
    strange = [one for field, one in given.items() if field not in own and _on_the_command_line(field)]
    if strange:
        known = ", ".join(one.flag for one in own.values())
        raise UsageError(
            f"{strange[0].label} is no parameter of scenario {name}; it has {known}; leave it out, or choose another "
            f"--scenario (SCENARIO)"
        )
    return SCENARIOS[name](**{field: getattr(flags, field) for field in given if field in own})


def _on_the_command_line(field: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is None or context.get_parameter_source(field) is ParameterSource.COMMANDLINE
