"""Knobs of calibrations, fits and schedules: measurement of a day, and the windows of a schedule."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mm.base.knobs import (
    JSON_OBJECT,
    SWITCH,
    decimal,
    integer,
    knob,
    knobs,
    matching,
    number,
    number_or,
    numbers_or,
    one_of,
)
from mm.play.knobs import MODEL

AUTO = "auto"
DISTANCES = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
FROM_RATES = ("poisson", "hawkes", "hybrid")  # fill models that draw from the rates of the hit rule
HIT_RULE = ("calib_hit", "calib_queue_ahead", "calib_sweeps")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Measurement of exposure and fills by distance."""

    calib_method: str = knob(
        "marks",
        one_of("ladder", "fixed", "marks"),
        "Method by which exposure is measured.",
        flag="--method",
        common="Method by which exposure is measured",
    )
    calib_deltas: tuple[float, ...] | str = knob(
        AUTO,
        numbers_or(AUTO, 0, 1e6),
        "Distances of ladder and fixed, in ticks; auto: 1,2,3,5,8,13, or with CALIB_FILLS from the best price as far "
        "as trades reach.",
        flag="--deltas",
        argument="deltas",
        common="Distances of ladder and fixed",
    )
    calib_dwell_ms: float = knob(
        60000.0, number(1, 1e10), "Time per distance of the ladder.", flag="--dwell-ms", argument="dwell_ms"
    )
    calib_mid_move_threshold_ticks: float = knob(
        2.0,
        number(0, 1e6),
        "Move of the reference price after which a calibration quote follows it.",
        argument="mid_move_threshold_ticks",
    )
    calib_reference: str = knob(
        "auto",
        one_of("auto", "mid", "micro", "best", "sweep"),
        "Reference price of distances; `auto`: whichever predicts best (a schedule chooses on its first training "
        "window), or with CALIB_FILLS the mid, because quotes are placed at distances from the mid.",
        common="Reference price of distances",
        argument="reference",
    )
    calib_fills: str | None = knob(
        None,
        matching(*MODEL, completes="fill_model"),
        "Fill model of the measured orders, which are simulated as in a backtest, by ladder or fixed (default fixed); "
        "CALIB_ORDER_QTY is then their quantity, 0: as a backtest without QUOTE_QTY.",
        common="Fill model of the measured orders",
        argument="fills",
    )
    calib_fill_params_json: str | None = knob(None, JSON_OBJECT, "Parameters of that fill model.")
    calib_hit: str = knob("touch", one_of("touch", "strict"), "A hit is a trade at the price, or only one beyond it.")
    calib_order_qty: str = knob(
        "0", decimal("0", "90000000000"), "Minimum quantity of a sweep that is a hit; 0: any.", argument="order_e8"
    )
    calib_queue_ahead: float = knob(
        0.0, number(0, 1), "Share of the displayed quantity that is filled first.", argument="queue_ahead"
    )
    calib_sweeps: bool = knob(True, SWITCH, "1 counts prints of one side and trade time as one aggressive order.")
    calib_distance: str = knob(
        "current",
        one_of("current", "anchor"),
        "Origin of a simulated order's distance: the current reference price, or that at placement.",
    )

    @staticmethod
    def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
        if params["calib_fills"] is None:
            return {"calib_deltas": DISTANCES} if params["calib_deltas"] == AUTO else {}
        return {"calib_method": "fixed"} if params["calib_method"] == "marks" else {}

    def fill_params(self) -> dict[str, Any]:
        return dict(json.loads(self.calib_fill_params_json or "{}"))


@dataclass(frozen=True, kw_only=True)
class PlayedCalibration(Calibration):
    """Measurement of the rates of orders under the fill model that then plays them."""

    @staticmethod
    def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
        """CALIB_FILLS and its parameters are FILL_MODEL's, unless it or a hit rule was given."""
        resolved: dict[str, Any] = {}
        ruled = any(params[knob.name] != knob.default for knob in knobs(Calibration) if knob.name in HIT_RULE)
        if params["calib_fills"] is None and not ruled:
            resolved = {"calib_fills": params["fill_model"], "calib_fill_params_json": params["fill_params_json"]}
            if params["quote_qty"] is not None and params["calib_order_qty"] == "0":
                resolved["calib_order_qty"] = params["quote_qty"]
        if resolved.get("calib_fills", params["calib_fills"]) in FROM_RATES:
            resolved = {"calib_fills": None, "calib_fill_params_json": None}
        return resolved | Calibration.resolved({**params, **resolved})


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Estimation of A and k from points."""

    fit_method: str = knob(
        "poisson_mle", one_of("poisson_mle", "poisson_firth", "log_linear"), "Estimator.", common="Estimator"
    )
    min_exposure_s: float = knob(5.0, number(0, 1e10), "Minimum exposure of a distance that is used, in s.")
    min_usable_deltas: int = knob(
        3, integer(2, 1000), "Minimum number of distances of a usable fit.", argument="min_usable_deltas"
    )
    max_delta_ticks: float | str | None = knob(
        "auto",
        number_or("auto", 0, 1e9),
        "Largest distance that is used, in ticks; auto: as far as trades reach.",
        common="Largest distance that is used",
        argument="max_delta_ticks",
    )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The rolling windows of schedules and walk-forwards."""

    wf_train_window_min: float = knob(
        120.0,
        number(0.01, 1e6),
        "Length of a training window, in minutes.",
        common="Training window, in minutes",
        argument="train_window_min",
    )
    wf_step_min: float = knob(
        15.0,
        number(0.01, 1e6),
        "Step from one window to the next, in minutes.",
        common="Step of the windows, in minutes",
        argument="step_min",
    )
    fallback_policy: str = knob(
        "carry_forward",
        one_of("carry_forward", "global_default", "skip_segment"),
        "Replacement of the fit of a window that is not usable.",
        common="Replacement of a fit that is not usable",
    )
    fallback_max_age_min: float | None = knob(None, number(0, 1e6), "Maximum age of a carried fit, in minutes.")
    schedule_mode: str = knob(
        "rolling",
        one_of("rolling", "expanding", "ewma", "pooled_k", "static"),
        "Use of earlier data by the windows.",
        common="Use of earlier data by the windows",
    )
    schedule_half_life_min: float = knob(
        30.0, number(0.01, 1e6), "Half-life of the weight of data, in minutes.", argument="half_life_min"
    )
    schedule_clustering: bool = knob(
        False,
        SWITCH,
        "1 also fits the clustering of orders, which FILL_MODEL=hawkes needs; a walk-forward with hawkes always does.",
    )
