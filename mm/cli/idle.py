"""Knobs that a run does not use, because of what other knobs say: refused as flags, noted where they are exported."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mm.cli.knobs import shown
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.runs.manifest import SetKnob

Values = Mapping[str, Any]
_LADDER = ("calib_dwell_ms",)
_SIMULATED = ("calib_deltas", "calib_mid_move_threshold_ticks", "calib_distance")
_FIT = ("fit_method", "min_exposure_s", "min_usable_deltas", "max_delta_ticks")
_CALIBRATION = (
    "calib_method",
    *_LADDER,
    *_SIMULATED,
    "calib_reference",
    "calib_hit",
    "calib_order_qty",
    "calib_queue_ahead",
    "calib_sweeps",
)
_WINDOWS = (
    "wf_train_window_min",
    "wf_step_min",
    "fallback_policy",
    "fallback_max_age_min",
    "schedule_mode",
    "schedule_half_life_min",
)
_STRATEGY = ("quote_model", "quote_qty", "quote_params_json", "fill_model", "fill_per_side", "fit_draws")


def idle(kind: str, values: Values) -> Iterator[tuple[str, str]]:
    """Yield the name of each knob that a run of *kind* does not use with these *values*, and why."""
    for names, why in _rules(kind):
        reason = why(values)
        if reason:
            yield from ((name, reason) for name in names if name in values)


def _rules(kind: str) -> Iterator[tuple[tuple[str, ...], Callable[[Values], str | None]]]:
    """Yield knobs with what says why they are not used; None where they are."""
    if kind == "sweep":
        yield (*_CALIBRATION, *_FIT, *_WINDOWS), lambda values: _unless(values, "sweep_walkforward", True)
        return  # an axis may say otherwise of what is below
    if kind in ("calibration", "schedule", "walkforward"):
        yield _LADDER, lambda values: _unless(values, "calib_method", "ladder")
        yield _SIMULATED, lambda values: _unless(values, "calib_method", "ladder", "fixed")
    if kind == "schedule":
        yield _STRATEGY, lambda _: "a schedule plays no strategy"
    if kind == "walkforward":
        yield ("fit_draws",), lambda _: "a walk-forward has a fit per segment, not one to draw from"
    if kind in ("schedule", "walkforward"):
        yield ("fill_params_file",), lambda values: _unless(values, "fallback_policy", "global_default")
        yield ("schedule_half_life_min",), lambda values: _unless(values, "schedule_mode", "ewma", "pooled_k")
        yield ("fallback_max_age_min",), lambda values: _unless(values, "fallback_policy", "carry_forward")
    # Where windows are trained, training ends an order latency before its segment.
    both = ("order_latency_ms",) if kind in ("backtest", "calibration") else ()
    yield (*both, "cancel_latency_ms"), _measured


def _unless(values: Values, name: str, *used: object) -> str | None:
    if name not in values or values[name] in used:
        return None
    wanted = " or ".join(shown(value) for value in used)
    return f"{name.upper()} is {shown(values[name])}, and only {wanted} uses it"


def _measured(values: Values) -> str | None:
    return "LATENCY_FILE gives the latencies" if values.get("latency_file") else None


def refuse_idle(kind: str, settings: Mapping[str, "SetKnob"]) -> list[str]:
    """Return a note for each exported variable that the run does not use; a flag is refused.

    A variable that is exported for another command is usual. A flag is meant for this one. Values that are the
    default are neither.

    Args:
        kind: Of the run (``calibration``).
        settings: Every knob of the command, by field name.

    Raises:
        UsageError: If a flag was given that the run does not use.
    """
    notes = []
    for name, why in idle(kind, {name: one.value for name, one in settings.items()}):
        one = settings[name]
        if one.source == "flag" and not one.is_default:
            raise UsageError(f"{one.flag} ({name.upper()}) is {shown(one.value)}, but {why}; leave it out")
        if one.source == "environment" and not one.is_default:
            notes.append(f"{name.upper()}={shown(one.value)} is not used: {why}")
    return notes
