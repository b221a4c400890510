"""The simple quote models, mixtures and steps by name, and what makes each from its parameters.

As in ``models.py``: the arguments of a function are the keys of QUOTE_PARAMS_JSON. Those named ``sigma_method``,
``sigma_window_s`` and ``sigma_half_life_s`` are the engine's, which keeps the volatility (``mm/quote_tree.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mm.backtest.strategy_defaults import SKEW_SHARE

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.quotes.base import QuoteModel

    Step = Callable[..., QuoteModel]


def symmetric(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    gamma: float | str = "auto",
    skew_share: float = SKEW_SHARE,
    k: float | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    mode: str = "rolling",
    sigma_method: str = "rolling",  # noqa: ARG001
    sigma_window_s: int = 300,  # noqa: ARG001
    sigma_half_life_s: float = 60.0,  # noqa: ARG001
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote the spread of Avellaneda and Stoikov around the mid, whatever the inventory; see ``Symmetric``."""
    from mm.backtest.quotes.symmetric import Symmetric

    return Symmetric(
        gamma=gamma, skew_share=skew_share, k=k, sigma=sigma, horizon_s=horizon_s, mode=mode, intensity=intensity
    )


def inventory_skew(*, delta_ticks: float, skew_ticks: float, q_max: float | None = None) -> "QuoteModel":
    """Quote around the mid, moved against the inventory; see ``InventorySkew``."""
    from mm.backtest.quotes.centred import InventorySkew

    return InventorySkew(delta_ticks=delta_ticks, skew_ticks=skew_ticks, q_max=q_max)


def microprice(*, delta_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None) -> "QuoteModel":
    """Quote around the micro-price; see ``Microprice``."""
    from mm.backtest.quotes.centred import Microprice

    return Microprice(delta_ticks=delta_ticks, skew_ticks=skew_ticks, q_max=q_max)


def imbalance(
    *, delta_ticks: float, shift_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None
) -> "QuoteModel":
    """Quote around the mid, moved by the imbalance of the best prices' lots; see ``Imbalance``."""
    from mm.backtest.quotes.centred import Imbalance

    return Imbalance(delta_ticks=delta_ticks, shift_ticks=shift_ticks, skew_ticks=skew_ticks, q_max=q_max)


def adaptive_spread(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    least_ticks: float,
    per_sigma: float,
    sigma: float | None = None,
    skew_ticks: float = 0.0,
    q_max: float | None = None,
    sigma_method: str = "ewma",  # noqa: ARG001
    sigma_window_s: int = 300,  # noqa: ARG001
    sigma_half_life_s: float = 60.0,  # noqa: ARG001
) -> "QuoteModel":
    """Quote a spread that follows the volatility; see ``AdaptiveSpread``."""
    from mm.backtest.quotes.centred import AdaptiveSpread

    return AdaptiveSpread(least_ticks=least_ticks, per_sigma=per_sigma, sigma=sigma, skew_ticks=skew_ticks, q_max=q_max)


def expected_value(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    A: float | None = None,
    k: float | None = None,
    horizon_s: float = 1.0,
    adverse_ticks: float = 0.0,
    fee_ticks: float = 0.0,
    skew_ticks: float = 0.0,
    q_max: float | None = None,
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote where a fill's probability times what it earns is largest; see ``ExpectedValue``."""
    from mm.backtest.quotes.expected_value import ExpectedValue

    return ExpectedValue(
        A=A,
        k=k,
        horizon_s=horizon_s,
        adverse_ticks=adverse_ticks,
        fee_ticks=fee_ticks,
        skew_ticks=skew_ticks,
        q_max=q_max,
        intensity=intensity,
    )


def mixed(*, models: Sequence[object]) -> "QuoteModel":
    """Quote the weighted mean of several models' prices; see ``Mixed``.

    Args:
        models: Pairs of a model and its weight; in QUOTE_PARAMS_JSON ``[name, {parameters}, weight]``.
    """
    from mm.backtest.quotes.mixed import Mixed

    return Mixed(models)  # type: ignore[arg-type] # looked at where the JSON is


def steps(*, model: object, steps: Sequence[object]) -> object:
    """Quote what a model says, adjusted by one step after another.

    Args:
        model: A quote model; in QUOTE_PARAMS_JSON ``[name, {parameters}]``.
        steps: Callables that put a step around a model; in QUOTE_PARAMS_JSON pairs ``[name, {parameters}]``.
    """
    for step in steps:
        model = step(model)  # type: ignore[operator] # looked at where the JSON is
    return model


def inventory_bound(*, inner: object, q_max: float) -> "QuoteModel":
    """Bid and ask no further than the bound allows; see ``InventoryBound``."""
    from mm.backtest.quotes.steps import InventoryBound

    return InventoryBound(inner, q_max=q_max)


def fushimi_size(*, inner: object, eta: float) -> "QuoteModel":
    """Size the side that adds to the inventory down; see ``FushimiSize``."""
    from mm.backtest.quotes.steps import FushimiSize

    return FushimiSize(inner, eta=eta)


def post_only(*, inner: object) -> "QuoteModel":
    """Never cross; see ``PostOnly``."""
    from mm.backtest.quotes.steps import PostOnly

    return PostOnly(inner)


def least_spread(*, inner: object, ticks: float) -> "QuoteModel":
    """Keep both sides so far apart at least; see ``LeastSpread``."""
    from mm.backtest.quotes.steps import LeastSpread

    return LeastSpread(inner, ticks=ticks)


def round_to(*, inner: object, ticks: int) -> "QuoteModel":
    """Round outwards to a coarser grid; see ``RoundTo``."""
    from mm.backtest.quotes.steps import RoundTo

    return RoundTo(inner, ticks=ticks)


def widen(
    *,
    inner: object,
    extra_ticks: float,
    inventory: float | None = None,
    loss: float | None = None,
    recover: float = 0.5,
) -> "QuoteModel":
    """Quote further out while a band of inventory or loss is left; see ``Widen``."""
    from mm.backtest.quotes.steps import Widen

    return Widen(inner, extra_ticks=extra_ticks, inventory=inventory, loss=loss, recover=recover)


QUOTE_STEPS: Mapping[str, "Step"] = {
    "fushimi_size": fushimi_size,
    "inventory_bound": inventory_bound,
    "least_spread": least_spread,
    "post_only": post_only,
    "round_to": round_to,
    "widen": widen,
}
