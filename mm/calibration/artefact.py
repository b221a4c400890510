"""``poisson_fit.json``: the fit, and beside it how it was measured and what else the days say."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mm.calibration.spreads import by_spread
from mm.calibration.timing import timing
from mm.calibration.volatility import volatility
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.calibration.alternatives import Comparison
    from mm.calibration.calibrate import Calibration, Permutations
    from mm.calibration.meter import Meter
    from mm.calibration.recipe import Recipe


def artefact(
    found: "Calibration", curves: "Comparison | None" = None, permuted: "Permutations | None" = None
) -> dict[str, Any]:
    """Return the content of ``poisson_fit.json``: null for what is not known or not finite.

    Args:
        found: The fit and its meter.
        curves: Other curves than the exponential; None where none could be compared.
        permuted: Other orders of a ladder's distances; None of another method.
    """
    meter = found.meter
    stretches = [(marks.path, *day) for marks, day in zip(meter.marks, meter.days, strict=True)]
    beside = {
        "options": options(meter.recipe),
        "measured": _counts(meter),
        "timing": timing(meter.tapes),
        "by_spread": [asdict(state) for state in by_spread(meter)],
        "volatility": asdict(volatility(stretches)),
        "by_day": _by_day(meter),
        "alternatives": curves and _curves(curves),
        "permutations": permuted and asdict(permuted),
    }
    plain: dict[str, Any] = _plain(found.fit.to_json() | beside)
    return plain


def options(recipe: "Recipe") -> dict[str, Any]:
    """Return every choice that the points depend on, by the name of its knob in small letters."""
    simulated = recipe.method != "marks"
    return {
        "calib_method": recipe.method,
        "calib_reference": recipe.reference,
        "calib_hit": recipe.rule.hit,
        "calib_order_qty": recipe.rule.order_e8 / E8,
        "calib_queue_ahead": recipe.rule.queue_ahead,
        "calib_sweeps": recipe.rule.grouped,
        "calib_distance": recipe.distance if simulated else None,
        "calib_deltas": list(recipe.deltas) if simulated else None,
        "calib_dwell_ms": recipe.dwell_ms if recipe.method == "ladder" else None,
        "calib_mid_move_threshold_ticks": recipe.mid_move_threshold_ticks if simulated else None,
        "permutations": recipe.permutations if recipe.method == "ladder" else None,
        "seed": recipe.seed if recipe.method == "ladder" else None,
        "min_exposure_s": recipe.min_exposure_s,
        "min_usable_deltas": recipe.min_usable_deltas,
        "max_delta_ticks": "auto" if recipe.max_delta_ticks is None else recipe.max_delta_ticks,
    }


def _curves(compared: "Comparison") -> dict[str, Any]:
    """Return which curve to believe and how each of them does; their rates are for pages."""
    names = ("name", "formula", "parameters", "loglik", "aic", "unseen", "unseen_se")
    curves = [{name: getattr(curve, name) for name in names} for curve in compared.curves]
    return {"best": compared.best, "sentence": compared.sentence, "curves": curves}


def _counts(meter: "Meter") -> dict[str, float]:
    """Return where the aggressive orders of the days went, and how long there was no valid book."""
    days = [marks.between(*span) for marks, span in zip(meter.marks, meter.days, strict=True)]
    counts: dict[str, float] = {}
    for day in days:
        for name, count in asdict(day.counts).items():
            counts[name] = counts.get(name, 0) + count
    return {**counts, "valid_s": sum(day.valid_s for day in days), "excluded_s": sum(day.excluded_s for day in days)}


def _by_day(meter: "Meter") -> list[dict[str, Any]]:
    """Return each day's own fit; nothing for a single day."""
    if len(meter.tapes) == 1:
        return []
    fits = [
        (tape.days[0], meter.fit_points(meter.points(*day))) for tape, day in zip(meter.tapes, meter.days, strict=True)
    ]
    names = ("A", "k", "se_logA", "se_k", "n_fills", "status")
    return [{"day": day, **{name: getattr(fit, name) for name in names}} for day, fit in fits]


def _plain(value: Any) -> Any:
    """Return *value* as JSON can hold it."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
