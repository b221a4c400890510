"""The registries: fill and quote models by name, and what makes each from its parameters.

A new model is one function here and one line in its registry. The arguments of a function are the
keys of ``FILL_PARAMS_JSON`` and ``QUOTE_PARAMS_JSON``; ``seed`` and ``intensity`` are the run's own
and are offered to whoever takes them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mm.backtest.optimal_quotes import cartea_jaimungal, glft, gueant
from mm.backtest.simple_quotes import (
    adaptive_spread,
    expected_value,
    imbalance,
    inventory_skew,
    microprice,
    mixed,
    steps,
    symmetric,
)
from mm.backtest.strategy_defaults import BOUND_CLIPS, SKEW_SHARE
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.backtest.fills.base import FillModel
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.quotes.base import QuoteModel


def trade_cross(*, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> "FillModel":
    """Fill by trades that print at or through our price; see ``TradeCross``."""
    from mm.backtest.fills.trade_cross import TradeCross

    return TradeCross(strict=strict, share=share, penetration_ticks=penetration_ticks)


def poisson(
    *,
    A: float | None = None,
    k: float | None = None,
    bid: Mapping[str, float] | None = None,
    ask: Mapping[str, float] | None = None,
    intensity: "Intensity | None" = None,
    seed: int = 0,
) -> "FillModel":
    """Draw fills from lambda(delta) = A exp(-k delta): one A and k, those of each side, or a fit's intensity.

    Raises:
        UsageError: If there is no fitted number, or more than one form of them: they have no defaults.
    """
    from mm.backtest.fills.poisson import Poisson

    given = [A is not None or k is not None, bid is not None or ask is not None, intensity is not None]
    if sum(given) != 1:
        raise UsageError(
            "poisson needs A and k in one form: FILL_PARAMS_FILE=<what mm calibrate or mm schedule wrote>, "
            'FILL_PARAMS_JSON=\'{"A": .., "k": ..}\' or \'{"bid": {"A": .., "k": ..}, "ask": {"A": .., "k": ..}}\''
        )
    if intensity is None:
        both = {"A": A, "k": k}
        intensity = _constant(bid or {} if given[1] else both, ask or {} if given[1] else both)
    return Poisson(intensity, seed)


def _constant(bid: Mapping[str, float | None], ask: Mapping[str, float | None]) -> "Intensity":
    from mm.backtest.fills.intensity import FOREVER, Intensity
    from mm.backtest.fills.intensity_piece import IntensityPiece

    numbers = []
    for side, params in (("bid", bid), ("ask", ask)):
        for name in ("A", "k"):
            value = params.get(name)
            if not isinstance(value, int | float) or set(params) != {"A", "k"}:
                raise UsageError(f"poisson: the {side}'s parameters are {dict(params)}; they must be numbers A and k")
            numbers.append(float(value))
    A_bid, k_bid, A_ask, k_ask = numbers
    return Intensity([IntensityPiece(0, FOREVER, A_bid, k_bid, A_ask, k_ask, (k_bid + k_ask) / 2)])


def price_cross(*, penetration_ticks: int = 0) -> "FillModel":
    """Fill when the other side's best price reaches ours; see ``PriceCross``."""
    from mm.backtest.fills.price_cross import PriceCross

    return PriceCross(penetration_ticks=penetration_ticks)


def queue_risk_averse() -> "FillModel":
    """Fill by place in the queue, every cancellation behind us; see ``QueueRiskAverse``."""
    from mm.backtest.fills.queue import QueueRiskAverse

    return QueueRiskAverse()


def queue_prob_power(*, exponent: float = 3.0) -> "FillModel":
    """Fill by place in the queue, cancellations shared by a power of the lots; see ``QueueProbPower``."""
    from mm.backtest.fills.queue import QueueProbPower

    return QueueProbPower(exponent=exponent)


def queue_prob_log() -> "FillModel":
    """Fill by place in the queue, cancellations shared by the logarithm of the lots; see ``QueueProbLog``."""
    from mm.backtest.fills.queue import QueueProbLog

    return QueueProbLog()


def hybrid(*, models: Sequence[object]) -> "FillModel":
    """Fill as the most generous of several models says; see ``Hybrid``.

    Args:
        models: The models themselves; in FILL_PARAMS_JSON pairs of a name and its parameters.
    """
    from mm.backtest.fills.hybrid import Hybrid

    return Hybrid(models)


def avellaneda_stoikov(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    gamma: float | str = "auto",
    skew_share: float = SKEW_SHARE,
    k: float | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    mode: str = "rolling",
    q_max: float = BOUND_CLIPS,
    sigma_method: str = "rolling",  # noqa: ARG001 - the engine keeps the volatility, see mm/quote_tree.py
    sigma_window_s: int = 300,  # noqa: ARG001
    sigma_half_life_s: float = 60.0,  # noqa: ARG001
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote after Avellaneda and Stoikov (2008), never across the book, and inside a bound of *q_max* clips.

    This is the strategy that a run plays by default: ``AvellanedaStoikov``, then ``PostOnly``, then ``InventoryBound``.
    """
    from mm.backtest.quotes.steps import InventoryBound, PostOnly

    bare = avellaneda_stoikov_bare(
        gamma=gamma,
        skew_share=skew_share,
        k=k,
        sigma=sigma,
        horizon_s=horizon_s,
        mode=mode,
        q_max=q_max if mode == "infinite" else None,
        intensity=intensity,
    )
    return InventoryBound(PostOnly(bare), q_max=q_max, name="avellaneda_stoikov")


def avellaneda_stoikov_bare(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    gamma: float | str = "auto",
    skew_share: float = SKEW_SHARE,
    k: float | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    mode: str = "rolling",
    q_max: float | None = None,
    sigma_method: str = "rolling",  # noqa: ARG001
    sigma_window_s: int = 300,  # noqa: ARG001
    sigma_half_life_s: float = 60.0,  # noqa: ARG001
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote what the formula of Avellaneda and Stoikov says, and nothing else; see ``AvellanedaStoikov``."""
    from mm.backtest.quotes.avellaneda_stoikov import AvellanedaStoikov

    return AvellanedaStoikov(
        gamma=gamma,
        skew_share=skew_share,
        k=k,
        sigma=sigma,
        horizon_s=horizon_s,
        mode=mode,
        q_max=q_max,
        intensity=intensity,
        name="avellaneda_stoikov_bare",
    )


def fixed_spread(*, delta_ticks: float) -> "QuoteModel":
    """Quote the same distance from the mid on both sides; see ``FixedSpread``."""
    from mm.backtest.quotes.fixed_spread import FixedSpread

    return FixedSpread(delta_ticks=delta_ticks)


FILL_MODELS: Mapping[str, Callable[..., "FillModel"]] = {
    "hybrid": hybrid,
    "poisson": poisson,
    "price_cross": price_cross,
    "queue_prob_log": queue_prob_log,
    "queue_prob_power": queue_prob_power,
    "queue_risk_averse": queue_risk_averse,
    "trade_cross": trade_cross,
    "trade_driven": trade_cross,
}

# What is known of each fill model's error, as summaries and pages print it; `mm fills score` measures it.
FILL_BIAS: Mapping[str, str] = {
    "hybrid": "fills as the most generous of its models does, so it is at least as optimistic as each of them",
    "poisson": "fills independently of the market, so it has no adverse selection: an upper bound of the PnL",
    "price_cross": "fills only when the opposite best price reaches ours, so it is pessimistic at the touch",
    "queue_prob_log": "places cancellations in the queue by a rule that no public stream shows",
    "queue_prob_power": "places cancellations in the queue by a rule that no public stream shows",
    "queue_risk_averse": "places every cancellation behind our order, so it is a pessimistic bound",
    "trade_cross": "counts our order first in every queue: an optimistic bound, most of all at the touch",
    "trade_driven": "counts our order first in every queue: an optimistic bound, most of all at the touch",
}

QUOTE_MODELS: Mapping[str, Callable[..., object]] = {
    "adaptive_spread": adaptive_spread,
    "avellaneda_stoikov": avellaneda_stoikov,
    "avellaneda_stoikov_bare": avellaneda_stoikov_bare,
    "cartea_jaimungal": cartea_jaimungal,
    "expected_value": expected_value,
    "fixed_spread": fixed_spread,
    "glft": glft,
    "gueant": gueant,
    "imbalance": imbalance,
    "inventory_skew": inventory_skew,
    "microprice": microprice,
    "mixed": mixed,
    "steps": steps,
    "symmetric": symmetric,
}
