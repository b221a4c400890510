"""Configuration of a calibration and of a schedule's windows, from the knobs."""

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.rules import Execution
from mm.clock import us_from_ms
from mm.errors import Sentence, UsageError
from mm.instrument import e8
from mm.play.knobs import Models
from mm.play.models import PlayModels, check_names, read_fitted, takes_clustering, trained_days
from mm.trials.openings import refuse_trained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.calibration.config import CalibrationConfig
    from mm.calibration.windows import Fallback, WindowPlan
    from mm.play.calibration_knobs import Calibration, Fit, Windows
    from mm.tape.tape import Tape


def calibration_config(calibration: "Calibration", fit: "Fit", seed: int, tape: "Tape") -> "CalibrationConfig":
    from mm.calibration.config import CalibrationConfig, FillsMeasured
    from mm.calibration.sweeps import HitRule

    measured = measured_models(calibration, seed, tape)
    name = calibration.calib_fills
    fills = FillsMeasured(name, calibration.fill_params(), measured.fills) if measured and name else None
    return CalibrationConfig(
        method="fixed" if fills and calibration.calib_method == "marks" else calibration.calib_method,
        fills=fills,
        deltas=calibration.calib_deltas if isinstance(calibration.calib_deltas, tuple) else None,
        dwell_ms=calibration.calib_dwell_ms,
        mid_move_threshold_ticks=calibration.calib_mid_move_threshold_ticks,
        reference=calibration.calib_reference,
        rule=HitRule(
            hit=calibration.calib_hit,
            order_e8=e8(calibration.calib_order_qty),
            queue_ahead=calibration.calib_queue_ahead,
            grouped=calibration.calib_sweeps,
        ),
        distance=calibration.calib_distance,
        seed=seed,
        fit_method=fit.fit_method,
        min_exposure_s=fit.min_exposure_s,
        min_usable_deltas=fit.min_usable_deltas,
        max_delta_ticks=fit.max_delta_ticks if isinstance(fit.max_delta_ticks, float) else None,
    )


def measured_models(calibration: "Calibration", seed: int, tape: "Tape") -> PlayModels | None:
    """None if the hit rule decides; raises UsageError before the first replay."""
    name, params = calibration.calib_fills, calibration.fill_params()
    if name is None:
        return None
    models = Models(fill_model=name, fill_params_json=json.dumps(params) if params else None)
    check_names(models)
    built = PlayModels.of(models, tape, seed)
    _ = built.filling
    return built


def plan_of(windows: "Windows", execution: Execution, *models: Models) -> "WindowPlan":
    """A window's training ends one order latency before its segment."""
    from mm.calibration.windows import WindowPlan

    return WindowPlan(
        train_window_min=windows.wf_train_window_min,
        step_min=windows.wf_step_min,
        latency_us=us_from_ms(execution.order_latency_ms),
        mode=windows.schedule_mode,
        half_life_min=windows.schedule_half_life_min,
        clustered=windows.schedule_clustering or any(map(takes_clustering, models)),
    )


def fallback_of(windows: "Windows", models: Models, tapes: "Sequence[Tape]") -> "Fallback":
    """Raises UsageError if ``global_default`` lacks A and k, or its fit used a held-out day."""
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.windows import Fallback

    oldest_min = windows.fallback_max_age_min
    max_age_s = math.inf if oldest_min is None else oldest_min * 60
    if windows.fallback_policy != "global_default":
        return Fallback(windows.fallback_policy, max_age_s)
    params = models.fill_params()
    if models.fill_params_file is not None:
        fitted = read_fitted(models.fill_params_file)
        refuse_trained("the default fit", trained_days(fitted), tapes)
        params = {"A": fitted.A, "k": fitted.k} if isinstance(fitted, PoissonFit) and fitted.usable else {}
    if not all(isinstance(params.get(name), int | float) for name in ("A", "k")):
        raise UsageError(
            Sentence(
                "{fallback_policy} global_default needs one A and k: a usable fit as {fill_params_file}, or "
                '{{"A": .., "k": ..}} as {fill_params_json}'
            )
        )
    return Fallback("global_default", max_age_s, default=(params["A"], params["k"]))


def unfitted(models: Models) -> Models:
    fitted = models.fill_model == "poisson" or (models.fill_model == "hawkes" and takes_clustering(models))
    return replace(models, fill_params_json=None if fitted else models.fill_params_json, fill_params_file=None)
