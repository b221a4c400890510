"""The optimal quote models with a bounded inventory by name, and what makes each from its parameters.

As in ``models.py``: the arguments of a function are the keys of QUOTE_PARAMS_JSON. Those named ``sigma_method``,
``sigma_window_s`` and ``sigma_half_life_s`` are the engine's, which keeps the volatility (``mm/quote_tree.py``).
"""

from typing import TYPE_CHECKING

from mm.backtest.strategy_defaults import SKEW_SHARE

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.quotes.base import QuoteModel


def glft(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    mode: str = "stationary",
    gamma: float | str = "auto",
    skew_share: float = SKEW_SHARE,
    k: float | None = None,
    A: float | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    q_max: float | None = None,
    drift: float = 0.0,
    impact: float = 0.0,
    sigma_method: str = "rolling",  # noqa: ARG001 - the engine keeps the volatility, see mm/quote_tree.py
    sigma_window_s: int = 300,  # noqa: ARG001
    sigma_half_life_s: float = 60.0,  # noqa: ARG001
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote after Guéant, Lehalle and Fernandez-Tapia (2013); see ``Glft``."""
    from mm.backtest.quotes.glft import Glft

    return Glft(
        mode=mode,
        gamma=gamma,
        skew_share=skew_share,
        k=k,
        A=A,
        sigma=sigma,
        horizon_s=horizon_s,
        q_max=q_max,
        drift=drift,
        impact=impact,
        intensity=intensity,
    )


def gueant(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    mode: str = "closed_form",
    gamma: float | str = "auto",
    skew_share: float = SKEW_SHARE,
    xi: float | None = None,
    delta: float = 1.0,
    k: float | None = None,
    A: float | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    q_max: float | None = None,
    drift: float = 0.0,
    impact: float = 0.0,
    sigma_method: str = "rolling",  # noqa: ARG001 - the engine keeps the volatility, see mm/quote_tree.py
    sigma_window_s: int = 300,  # noqa: ARG001
    sigma_half_life_s: float = 60.0,  # noqa: ARG001
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote after Guéant (2017), for any order size and two attitudes to risk; see ``Gueant``."""
    from mm.backtest.quotes.gueant import Gueant

    return Gueant(
        mode=mode,
        gamma=gamma,
        skew_share=skew_share,
        xi=xi,
        delta=delta,
        k=k,
        A=A,
        sigma=sigma,
        horizon_s=horizon_s,
        q_max=q_max,
        drift=drift,
        impact=impact,
        intensity=intensity,
    )


def cartea_jaimungal(  # noqa: PLR0913 - the keys of QUOTE_PARAMS_JSON
    *,
    mode: str = "exact",
    phi: float,
    alpha: float = 0.0,
    k: float | None = None,
    A: float | None = None,
    horizon_s: float = 30.0,
    q_max: float | None = None,
    intensity: "Intensity | None" = None,
) -> "QuoteModel":
    """Quote after Cartea, Jaimungal and Penalva (2015), with penalties on inventory; see ``CarteaJaimungal``."""
    from mm.backtest.quotes.cartea_jaimungal import CarteaJaimungal

    return CarteaJaimungal(
        mode=mode, phi=phi, alpha=alpha, k=k, A=A, horizon_s=horizon_s, q_max=q_max, intensity=intensity
    )
