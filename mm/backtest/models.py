"""Registries of fill models, quote models and steps, by name.

A new model is a class that declares its parameters (``mm/backtest/declarations.py``) and its place here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mm.backtest.fills.clustered import hawkes
from mm.backtest.fills.crossing import PriceCross, TradeCross
from mm.backtest.fills.hybrid import Hybrid
from mm.backtest.fills.intensity import poisson
from mm.backtest.fills.predicted import PredictedFills
from mm.backtest.fills.queue import QueueProbLog, QueueProbPower, QueueRiskAverse
from mm.backtest.fills.queue_hazard import QueueHazard
from mm.backtest.parameters import Parameters, declaration_of
from mm.backtest.quotes.agent import rl
from mm.backtest.quotes.avellaneda_stoikov import AvellanedaStoikov, Symmetric, avellaneda_stoikov
from mm.backtest.quotes.bounded import CarteaJaimungal, Glft, Gueant
from mm.backtest.quotes.glft_grid import GlftGrid
from mm.backtest.quotes.kelly import KellySize, KellySkew
from mm.backtest.quotes.optimal_curve import OptimalCurve
from mm.backtest.quotes.price_grid import PriceGrid
from mm.backtest.quotes.signal_steps import ShiftBy, SizeBy, WidenBy
from mm.backtest.quotes.simple import (
    AdaptiveSpread,
    ExpectedValue,
    FixedSpread,
    Imbalance,
    InventorySkew,
    Microprice,
)
from mm.backtest.quotes.steps import (
    FushimiSize,
    InventoryBound,
    LeastSpread,
    Mixed,
    PostOnly,
    RoundTo,
    Widen,
    steps,
)
from mm.settings import REQUIRED, Setting, Unit

__all__ = [  # the registered models as Python functions: fixed_spread(delta_ticks=2)
    "FILL_BIAS",
    "FILL_MODELS",
    "QUOTE_MODELS",
    "QUOTE_STEPS",
    "UNITS",
    "adaptive_spread",
    "avellaneda_stoikov",
    "avellaneda_stoikov_bare",
    "cartea_jaimungal",
    "declared",
    "expected_value",
    "fixed_spread",
    "glft",
    "glft_grid",
    "grid",
    "gueant",
    "hawkes",
    "hybrid",
    "imbalance",
    "inventory_skew",
    "microprice",
    "mixed",
    "optimal_curve",
    "parameter_tables",
    "poisson",
    "predicted",
    "price_cross",
    "queue_hazard",
    "queue_prob_log",
    "queue_prob_power",
    "queue_risk_averse",
    "rl",
    "steps",
    "symmetric",
    "trade_cross",
]
Registry = Mapping[str, Callable[..., Any]]


def _by_name(*builds: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {declared(build).name: build for build in builds}


def declared(build: Callable[..., Any]) -> type[Parameters]:
    """Return the declaration of a registered model."""
    found = declaration_of(build)
    assert found is not None, f"{build} declares no parameters"
    return found


FILL_MODELS: Registry = {
    **_by_name(
        *(hawkes, Hybrid, poisson, PredictedFills, PriceCross, QueueHazard, QueueProbLog, QueueProbPower),
        *(QueueRiskAverse, TradeCross),
    ),
    "trade_driven": TradeCross,
}
QUOTE_MODELS: Registry = {
    **_by_name(
        AdaptiveSpread,
        avellaneda_stoikov,
        AvellanedaStoikov,
        CarteaJaimungal,
        ExpectedValue,
        FixedSpread,
        Glft,
        GlftGrid,
        PriceGrid,
        Gueant,
        Imbalance,
        InventorySkew,
        Microprice,
        Mixed,
        OptimalCurve,
        rl,
        steps,
        Symmetric,
    ),
    "adaptive": AdaptiveSpread,
}
QUOTE_STEPS: Registry = _by_name(
    *(FushimiSize, InventoryBound, KellySize, KellySkew, LeastSpread, PostOnly, RoundTo),
    *(ShiftBy, SizeBy, Widen, WidenBy),
)

# Known bias of each fill model, as printed in summaries and pages; `mm fills score` measures it.
FILL_BIAS: Mapping[str, str] = {name: bias for name, build in FILL_MODELS.items() if (bias := declared(build).bias)}

# Unit of each parameter of the quote models; parameters of user models with the same name have the same unit.
UNITS: Mapping[str, Unit] = {
    key.name: key.unit for build in QUOTE_MODELS.values() for key in declared(build).of_user() if key.unit is not None
}

hybrid, predicted, price_cross, trade_cross = Hybrid, PredictedFills, PriceCross, TradeCross
queue_hazard = QueueHazard
queue_prob_log, queue_prob_power, queue_risk_averse = QueueProbLog, QueueProbPower, QueueRiskAverse
adaptive_spread, expected_value, fixed_spread = AdaptiveSpread, ExpectedValue, FixedSpread
avellaneda_stoikov_bare, symmetric = AvellanedaStoikov, Symmetric
cartea_jaimungal, glft, glft_grid, grid, gueant = CarteaJaimungal, Glft, GlftGrid, PriceGrid, Gueant
imbalance, inventory_skew, microprice, mixed = Imbalance, InventorySkew, Microprice, Mixed
optimal_curve = OptimalCurve


def parameter_tables() -> Iterator[str]:
    """Yield the lines of the parameter tables in docs/configuration.md."""
    for title, variable, registry in (
        ("Quote models", "QUOTE_PARAMS_JSON", QUOTE_MODELS),
        ("Steps around quote models", "QUOTE_PARAMS_JSON", QUOTE_STEPS),
        ("Fill models", "FILL_PARAMS_JSON", FILL_MODELS),
    ):
        yield from (f"## {title}", "", f"The keys of `{variable}`, model by model.", "")
        yield from ("| model | key | default | meaning |", "|---|---|---|---|")
        for build in {id(build): build for build in registry.values()}.values():
            declaration = declared(build)
            yield from (_row(f"`{declaration.name}`", parameter) for parameter in declaration.of_user())
        yield ""


def _row(model: str, own: Setting) -> str:
    default = "required" if own.default is REQUIRED else "–" if own.default is None else f"`{own.default}`"
    key = f"`{own.name}` ({own.unit.text})" if own.unit else f"`{own.name}`"
    cells = (model, key, default, own.help)
    return f"| {' | '.join(cells)} |"
