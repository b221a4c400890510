"""Knobs that a run does not use because of other knobs: refused as flags, logged as a note if exported."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from mm.backtest.rules import Account, Execution
from mm.base.knobs import axes_of, shown
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.runs.manifest import SetKnob

Values = Mapping[str, Any]
Rule = tuple[tuple[str, ...], Callable[[Values], str | None]]  # knobs, and why they are not used; None if they are
MISSPELT = 2  # letters by which a variable may differ from one of ours and be meant as it
SHORTEST = 8  # letters of a name that is compared
_LADDER = ("calib_dwell_ms",)
_SIMULATED = ("calib_deltas", "calib_mid_move_threshold_ticks", "calib_distance")
_BY_RULE = ("calib_mid_move_threshold_ticks", "calib_hit", "calib_queue_ahead", "calib_sweeps")
_STRATEGY = (
    *("quote_model", "quote_qty", "quote_levels", "level_step_ticks", "quote_params_json"),
    *("fill_model", "fill_per_side", "fit_draws"),
)


def _names(*groups: type) -> tuple[str, ...]:
    return tuple(field.name for group in groups for field in fields(group))


def unused_knobs(kind: str, values: Values) -> Iterator[tuple[str, str]]:
    """Yield the name of each knob that a run of *kind* does not use with these *values*, and why.

    This includes axes of a sweep of which no value would change a result.
    """
    axes = _axes(values)
    fixed = {name: value for name, value in values.items() if name not in axes}
    for names, why in _rules(kind, fixed):
        reason = why(fixed)
        if reason:
            yield from ((name, reason) for name in names if name in values)


def _axes(values: Values) -> set[str]:
    return {name.lower() for name, _ in axes_of(values["grid"])} if "grid" in values else set()


def _rules(kind: str, values: Values) -> Iterator[Rule]:
    if kind == "sweep":
        yield ("object_store",), lambda values: None if values.get("cluster") else "CLUSTER is not set"
        yield ("search_holdout",), lambda values: None if values.get("search") else "SEARCH is not set"
    if kind == "sweep" and not values.get("sweep_walkforward", True):
        from mm.play.calibration_knobs import Calibration, Fit, Windows  # a backtest has none of them

        yield _names(Calibration, Fit, Windows), lambda values: _unless(values, "sweep_walkforward", True)
    elif kind in ("calibration", "schedule", "walkforward", "sweep"):
        yield _LADDER, lambda values: _unless(values, "calib_method", "ladder")
        yield _SIMULATED, lambda values: _unless(values, "calib_method", "ladder", "fixed")
        if fills := values.get("calib_fills"):
            yield _BY_RULE, lambda _: f"CALIB_FILLS is {fills}, which determines the fills of its own orders"
        else:
            yield ("calib_fill_params_json",), lambda _: "CALIB_FILLS is not set"
        yield ("schedule_half_life_min",), lambda values: _unless(values, "schedule_mode", "ewma", "pooled_k")
        yield ("fallback_max_age_min",), lambda values: _unless(values, "fallback_policy", "carry_forward")
    if kind == "schedule":
        yield _STRATEGY, lambda _: "a schedule runs no strategy"
    if kind == "walkforward":
        yield ("fit_draws",), lambda _: "a walk-forward has a fit per segment, not one to draw from"
    if kind in ("schedule", "walkforward"):
        # Parameters of another model than poisson are the strategy's own.
        own = kind == "walkforward" and values.get("fill_model", "poisson") != "poisson"
        params = ("fill_params_file",) if own else ("fill_params_file", "fill_params_json")
        yield params, lambda values: _unless(values, "fallback_policy", "global_default")
    if kind != "schedule":
        yield ("level_step_ticks",), lambda values: "QUOTE_LEVELS is 1" if values.get("quote_levels") == 1 else None
    # Where windows are trained, training ends an order latency before its segment.
    trained = kind in ("schedule", "walkforward")
    latencies = ("cancel_latency_ms",) if trained else ("order_latency_ms", "cancel_latency_ms")
    if kind in ("calibration", "schedule") and values.get("calib_method") == "marks":
        orders = (name for name in _names(Execution, Account) if not (trained and name == "order_latency_ms"))
        yield tuple(orders), lambda values: _unless(values, "calib_method", "ladder", "fixed")
    else:
        yield latencies, lambda values: "LATENCY_FILE gives the latencies" if values.get("latency_file") else None


def misspelt(environment: Collection[str], known: Collection[str], every: Callable[[], Collection[str]]) -> list[str]:
    """Return a note for each variable that has no effect and is nearly one of ours: two letters off, or with a suffix.

    Short names and names of one word are often those of other programs, and are not compared.

    Args:
        environment: Names of the variables.
        known: Those that the command takes.
        every: Returns those that any command takes.
    """
    ours = [name for name in known if "_" in name and len(name) >= SHORTEST]
    found = dict[str, str]()
    for name in environment:
        if name not in known:
            near = [one for one in ours if name.startswith(f"{one}_")]
            near += [one for one in ours if _may_be_near(name, one) and _edits(name, one) <= MISSPELT]
            found |= {name: min(near, key=partial(_edits, name))} if near else {}
    others = every() if found else ()
    return [
        f"{name} has no effect: it is no knob; did you mean {near}?"
        for name, near in found.items()
        if name not in others
    ]


def _may_be_near(one: str, other: str) -> bool:
    """Return False if the letters of two words differ by more than `MISSPELT` edits, each of which changes one."""
    letters, others = set(one), set(other)
    apart = max(abs(len(one) - len(other)), len(letters - others), len(others - letters))
    return apart <= MISSPELT


def _edits(one: str, other: str) -> int:
    """Return the number of letters to insert, remove or replace between two words."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, row[0] = row[0], place
        for column, wanted in enumerate(other, start=1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (letter != wanted))
    return row[-1]


def _unless(values: Values, name: str, *used: object) -> str | None:
    if name not in values or values[name] in used:
        return None
    wanted = " or ".join(shown(value) for value in used)
    return f"{name.upper()} is {shown(values[name])}, and only {wanted} uses it"


def refuse_unused(kind: str, settings: Mapping[str, "SetKnob"]) -> list[str]:
    """Return a note for each exported variable that the run does not use; a flag or an axis of a grid is refused.

    Variables are often exported for another command, but a flag is meant for this one. Values that equal the
    default are ignored.

    Args:
        kind: Kind of the run (``calibration``).
        settings: Every knob of the command, by field name.

    Raises:
        UsageError: If a flag or an axis was given that the run does not use.
    """
    notes = []
    values = {name: one.value for name, one in settings.items()}
    axes = _axes(values)
    for name, why in unused_knobs(kind, values):
        one = settings[name]
        if name in axes:
            raise UsageError(f"--grid (GRID) has the axis {name.upper()}, but {why}; leave it out")
        if one.source == "flag" and not one.is_default:
            raise UsageError(f"{one.flag} ({name.upper()}) is {shown(one.value)}, but {why}; leave it out")
        if one.source == "environment" and not one.is_default:
            notes.append(f"{name.upper()}={shown(one.value)} is not used: {why}")
    return notes
