"""The fill models that are held against the truth."""

from collections.abc import Callable, Mapping
from typing import Any

from mm.backtest.models import (
    FILL_MODELS,
    price_cross,
    queue_prob_log,
    queue_prob_power,
    queue_risk_averse,
    trade_cross,
)
from mm.plugins import construct, resolve

EXPONENTS = (0.5, 1.0, 2.0, 3.0)


def candidates() -> dict[str, Callable[[], object]]:
    """Return what makes each model that is compared, by the name that tables show."""
    powers = {
        f"queue_prob_power {exponent:g}": (lambda exponent=exponent: queue_prob_power(exponent=exponent))
        for exponent in EXPONENTS
    }
    return {
        "trade_cross": trade_cross,
        "trade_cross strict": lambda: trade_cross(strict=True),
        "price_cross": price_cross,
        "queue_risk_averse": queue_risk_averse,
        **powers,
        "queue_prob_log": queue_prob_log,
    }


def named(name: str, params: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """Return what makes the model called *name*, with its parameters in its name.

    Raises:
        UnknownModel: If there is none.
        UsageError: If a parameter does not fit.
    """
    build = resolve(FILL_MODELS, name, "fill model")
    told = ", ".join(f"{key} {value}" for key, value in params.items())
    construct(build, params, "FILL_PARAMS_JSON")  # refuse what does not fit before anything is played
    return {f"{name} {told}".strip(): lambda: construct(build, params, "FILL_PARAMS_JSON")}
