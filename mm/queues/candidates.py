"""The fill models that are held against the truth."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from mm.backtest.models import (
    FILL_MODELS,
    hybrid,
    price_cross,
    queue_prob_log,
    queue_prob_power,
    queue_risk_averse,
    trade_cross,
)
from mm.model_maker import PAIRS
from mm.plugins import construct, resolve
from mm.quote_tree import listed
from mm.quote_tree import named as pair

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
    _made(name, params)  # refuse what does not fit before anything is played
    told = ", ".join(f"{key} {_shown(value)}" for key, value in params.items())
    return {f"{name} {told}".strip(): lambda: _made(name, params)}


def _made(name: str, params: Mapping[str, Any]) -> object:
    build = resolve(FILL_MODELS, name, "fill model")
    if build is hybrid and "models" in params:
        params = {**params, "models": [_made(*pair(one, PAIRS)) for one in listed(params["models"], PAIRS)]}
    return construct(build, params, "FILL_PARAMS_JSON")


def _shown(value: object) -> str:
    """Return a parameter as tables show it."""
    return value if isinstance(value, str) else json.dumps(value)
