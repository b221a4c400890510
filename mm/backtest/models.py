"""Registries of fill models, quote models and steps, which are also Python functions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mm.backtest.fills import base as reached
from mm.backtest.fills import intensity as drawn
from mm.backtest.parameters import Parameters, declaration_of
from mm.backtest.quotes import bounded, curve, distances, simple
from mm.backtest.quotes import steps as around
from mm.base.knobs import REQUIRED, Knob, Unit

price_cross, trade_cross = reached.PriceCross, reached.TradeCross
queue_prob_log, queue_prob_power = reached.QueueProbLog, reached.QueueProbPower
queue_back, queue_front, queue_orders = reached.QueueBack, reached.QueueFront, reached.QueueOrders
queue_risk_averse = queue_back
hawkes, hybrid, poisson, predicted = drawn.hawkes, drawn.Hybrid, drawn.poisson, drawn.PredictedFills

adaptive_spread, expected_value, fixed_spread = simple.AdaptiveSpread, simple.ExpectedValue, simple.FixedSpread
imbalance, inventory_skew, microprice = simple.Imbalance, simple.InventorySkew, simple.Microprice
glft_grid, grid, rl = simple.GlftGrid, simple.PriceGrid, simple.rl
avellaneda_stoikov, avellaneda_stoikov_bare = distances.avellaneda_stoikov, distances.AvellanedaStoikov
cartea_jaimungal, glft, gueant = bounded.CarteaJaimungal, bounded.Glft, bounded.Gueant
optimal_curve, symmetric = curve.OptimalCurve, distances.Symmetric
mixed, steps = around.Mixed, around.steps

Registry = Mapping[str, Callable[..., Any]]


def _by_name(*builds: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {declared(build).name: build for build in builds}


def declared(build: Callable[..., Any]) -> type[Parameters]:
    declaration = declaration_of(build)
    assert declaration is not None, f"{build} declares no parameters"
    return declaration


FILL_MODELS: Registry = {
    **_by_name(hawkes, hybrid, poisson, predicted, price_cross),
    **_by_name(queue_back, queue_front, queue_orders, queue_prob_log, queue_prob_power, trade_cross),
    "queue_risk_averse": queue_back,
    "trade_driven": trade_cross,
}
QUOTE_MODELS: Registry = {
    **_by_name(adaptive_spread, avellaneda_stoikov, avellaneda_stoikov_bare, cartea_jaimungal, expected_value),
    **_by_name(fixed_spread, glft, glft_grid, grid, gueant, imbalance, inventory_skew, microprice, mixed),
    **_by_name(optimal_curve, rl, steps, symmetric),
    "adaptive": adaptive_spread,
}
QUOTE_STEPS: Registry = {
    **_by_name(around.FushimiSize, around.InventoryBound, around.KellySize, around.KellySkew, around.LeastSpread),
    **_by_name(around.PostOnly, around.RoundTo, around.ShiftBy, around.SizeBy, around.Widen, around.WidenBy),
}

# Known bias of each fill model, as printed in summaries and pages; `mm fills score` measures it.
FILL_BIAS: Mapping[str, str] = {name: bias for name, build in FILL_MODELS.items() if (bias := declared(build).bias)}

# Unit of each parameter of the quote models; parameters of user models with the same name have the same unit.
UNITS: Mapping[str, Unit] = {
    key.name: key.unit for build in QUOTE_MODELS.values() for key in declared(build).of_user() if key.unit is not None
}


def parameter_tables() -> Iterator[str]:
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


def _row(model: str, own: Knob) -> str:
    default = "required" if own.default is REQUIRED else "–" if own.default is None else f"`{own.default}`"
    key = f"`{own.name}` ({own.unit.text})" if own.unit else f"`{own.name}`"
    cells = (model, key, default, own.help)
    return f"| {' | '.join(cells)} |"
