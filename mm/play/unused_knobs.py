"""Knobs that other knobs leave without effect."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from mm.backtest.rules import Account, Execution
from mm.base.knobs import axes_of, shown

Values = Mapping[str, Any]
Rule = tuple[tuple[str, ...], Callable[[Values], str | None]]  # knobs, and why they are not used; None if they are
_LADDER = ("calib_dwell_ms",)
_SIMULATED = ("calib_deltas", "calib_mid_move_threshold_ticks", "calib_distance")
_BY_RULE = ("calib_mid_move_threshold_ticks", "calib_hit", "calib_queue_ahead", "calib_sweeps")
_STRATEGY = (
    *("quote_model", "quote_qty", "quote_levels", "level_step_ticks", "quote_params_json"),
    *("fill_model", "fill_per_side", "fit_draws"),
)
_OF_ACCOUNT = (
    *("per_symbol", "account_max_notional", "account_max_daily_loss", "account_max_open_orders"),
    *("numeraire", "initial_balances"),
)
_ONE_BY_ONE = ("sensitivity", "queue_exponent_file", "stress_moves", "fit_draws")


def _names(*groups: type) -> tuple[str, ...]:
    return tuple(field.name for group in groups for field in fields(group))


def unused_knobs(kind: str, values: Values) -> Iterator[tuple[str, str]]:
    """The name of each knob without effect in a run of *kind* with these *values*, and why."""
    kind = kind.removeprefix("account_")
    varied = axes(values)
    fixed = {name: value for name, value in values.items() if name not in varied}
    for names, why in _rules(kind, fixed):
        reason = why(fixed)
        if reason:
            yield from ((name, reason) for name in names if name in values)


def axes(values: Values) -> set[str]:
    """Knobs that a grid varies, also of one symbol: ``BTCUSDT.QUOTE_QTY``."""
    return {name.lower().rpartition(".")[2] for name, _ in axes_of(values["grid"])} if "grid" in values else set()


def _rules(kind: str, values: Values) -> Iterator[Rule]:
    if values.get("one_account"):
        one_by_one = (
            _ONE_BY_ONE if values.get("sensitivity", True) else _ONE_BY_ONE[1:]
        )  # an account has none: so be it
        yield one_by_one, lambda _: "ONE_ACCOUNT is 1, and the sensitivity and the band of fits are of one symbol"
    else:
        yield _OF_ACCOUNT, lambda _: None if kind in ("shadow", "trade") else "ONE_ACCOUNT is not set"
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
        used = ("preset", *(["order_latency_ms"] if trained else []))  # its hours
        orders = tuple(name for name in _names(Execution, Account) if name not in used)
        yield orders, lambda values: _unless(values, "calib_method", "ladder", "fixed")
    else:
        yield latencies, lambda values: "LATENCY_FILE gives the latencies" if values.get("latency_file") else None


def _unless(values: Values, name: str, *used: object) -> str | None:
    if name not in values or values[name] in used:
        return None
    wanted = " or ".join(shown(value) for value in used)
    return f"{name.upper()} is {shown(values[name])}, and only {wanted} uses it"
