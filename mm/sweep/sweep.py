"""A sweep in one call, for notebooks: knobs in, findings out."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mm.assemble import open_days
from mm.backtest_setup import Setup
from mm.config import Account, Day, Execution, Market, Models
from mm.errors import UsageError
from mm.knobs import closest, knobs, shown
from mm.sweep.axes import axes_for
from mm.sweep.findings import Findings, find
from mm.sweep.grid import points_of
from mm.sweep.prepare import check, engine, ground
from mm.sweep.store import Store
from mm.sweep.work import Work
from mm.sweep_knobs import Sweep

GROUPS: tuple[type, ...] = (Day, Market, Execution, Account, Models, Sweep)


def sweep(
    symbol: str,
    day: str,
    grid: Mapping[str, Sequence[Any]],
    *,
    step: Callable[[int], None] | None = None,
    **settings: Any,
) -> Findings:
    """Play every point of a grid, and return what was found; no run folder is made.

    What was played before, here or by ``mm sweep``, is not played again.

    Args:
        symbol: Of the recorded days.
        day: One of them, a list or a range, as on the command line.
        grid: The values of each axis: a knob's variable or a model's parameter.
        step: Told how many backtests became known, for a progress bar.
        settings: Any other knob of ``mm sweep`` by its field (``data_root``, ``maker_fee_rate``, ``jobs``).

    Raises:
        UsageError: If a knob is unknown or wrong, or a point cannot be.
        DataError: If a day is missing or broken.
    """
    made = _groups({"symbol": symbol, "day": day, "grid": ";".join(map(_axis, grid.items())), **settings})
    days, market, execution, account, models, asked = made
    axes = axes_for(asked.grid, models)
    points = points_of(axes, Setup(days, market, execution, account, models), asked.grid_unfit)
    cache = days.out_root / "tapes"
    tapes = open_days(days, market, cache)
    stand = ground(None, points, tapes, cache)
    check(None, points, tapes, stand)
    work = Work(points, stand, Store.of(days.out_root, days.symbol, days.label()))
    played = work.run(engine(asked), step or (lambda _known: None), reuse=asked.reuse_points)
    return find(played, axes, asked.rank_by, [tape.start_us for tape in tapes])


def _axis(axis: tuple[str, Sequence[Any]]) -> str:
    """Return an axis as the command line has it; a text is quoted, whatever signs are in it."""
    name, values = axis
    texts = (f'"{value}"' if isinstance(value, str) else json.dumps(_plain(value)) for value in values)
    return f"{name}={','.join(texts)}"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _groups(settings: Mapping[str, Any]) -> list[Any]:
    """Return the groups of knobs with these *settings*, each read as the text one would type for it."""
    known = {one.name: one for group in GROUPS for one in knobs(group)}
    for name in settings:
        if name not in known or name == "sweep_walkforward":
            raise UsageError(f"a sweep has no setting {name!r}{closest(name, known)}; known are {', '.join(known)}")
    read = {name: value if value is None else known[name].read(_typed(value)) for name, value in settings.items()}
    return [group(**{one.name: read[one.name] for one in knobs(group) if one.name in read}) for group in GROUPS]


def _typed(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else shown(value)
