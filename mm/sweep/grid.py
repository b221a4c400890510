"""From axes to the points of a grid, each with knobs of its own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from mm.backtest_setup import Setup
from mm.errors import MMError, UsageError
from mm.sweep.axes import FILL, FLAG, KNOB, QUOTE, Axis, Takes, takes

MOST_POINTS = 20_000
Chosen = list[tuple[Axis, int]]


@dataclass(frozen=True)
class Point:
    """One point of a grid.

    Attributes:
        number: From 1, in the grid's order: the last axis turns fastest.
        texts: What was written for each axis; empty where its model has no such parameter.
        setup: The knobs of its backtest.
    """

    number: int
    texts: dict[str, str]
    setup: Setup


def points_of(axes: Sequence[Axis], base: Setup, unfit: str) -> list[Point]:
    """Return all points of the grid that *axes* span around *base*.

    Args:
        axes: What varies.
        base: The knobs elsewhere.
        unfit: ``refuse`` or ``leave_out``: what becomes of a parameter that a point's model does not take.

    Raises:
        UsageError: If there are too many, or a point cannot be.
    """
    size = prod(len(axis.values) for axis in axes)
    if size > MOST_POINTS:
        raise UsageError(f"{FLAG}: {size:,} points, more than the {MOST_POINTS:,} of one sweep; give fewer values")
    known: dict[tuple[str, str], Takes] = {}
    points = []
    for number, places in enumerate(product(*(range(len(axis.values)) for axis in axes)), start=1):
        chosen = list(zip(axes, places, strict=True))
        try:
            points.append(_point(number, chosen, base, unfit, known))
        except MMError as error:
            raise UsageError(f"{FLAG}: the point {_told(chosen)} cannot be: {error}") from error
    return points


def _point(number: int, chosen: Chosen, base: Setup, unfit: str, known: dict[tuple[str, str], Takes]) -> Point:
    values = {axis.key: axis.values[place] for axis, place in chosen if axis.kind == KNOB}
    groups: dict[str, Any] = {
        name: replace(getattr(base, name), **_of(getattr(base, name), values)) for name in ("execution", "account")
    }
    models, texts = base.models, {}
    own = _of(models, values)
    params = {QUOTE: _params(own, "quote_params_json", models), FILL: _params(own, "fill_params_json", models)}
    named = {QUOTE: own.get("quote_model", models.quote_model), FILL: own.get("fill_model", models.fill_model)}
    for axis, place in chosen:
        texts[axis.name] = axis.texts[place]
        if axis.kind == KNOB:
            continue
        model = named[axis.kind]
        if (axis.kind, model) not in known:
            known[axis.kind, model] = takes(axis.kind, model)
        taken = known[axis.kind, model]
        if taken.free or axis.key in taken.names:
            params[axis.kind][axis.key] = axis.values[place]
        elif unfit == "refuse":
            raise UsageError(
                f"{axis.kind} model {model} takes no {axis.key}; it takes {', '.join(sorted(taken.names)) or 'none'}; "
                f"--grid-unfit (GRID_UNFIT) leave_out plays such models without the axis"
            )
        else:
            texts[axis.name] = ""
    own |= {
        f"{kind}_params_json": json.dumps(found, sort_keys=True) if found else None for kind, found in params.items()
    }
    setup = replace(base, **groups, models=replace(models, **own))
    return Point(number, texts, setup)


def _of(group: object, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in vars(group)}


def _params(own: dict[str, Any], name: str, models: object) -> dict[str, Any]:
    return dict(json.loads(own.get(name, getattr(models, name)) or "{}"))


def _told(chosen: Chosen) -> str:
    return " ".join(f"{axis.name}={axis.texts[place]}" for axis, place in chosen)
