"""The parameters of the registered models; class ``QueueProbPower`` declares the model ``queue_prob_power``."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from mm.backtest.parameters import (
    CLIPS,
    LARGEST_TICKS,
    NUMBER,
    PER_S,
    PER_TICK,
    PER_TICK_CLIP,
    SECONDS,
    TICKS,
    TICKS_PER_CLIP,
    TICKS_PER_CLIP_S,
    TICKS_PER_ROOT_S,
    TICKS_PER_S,
    EwmaSigma,
    Parameters,
    Volatility,
)
from mm.base.knobs import Unit
from mm.base.settings import about

# Types with bounds.
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Distance = Annotated[float, Meta(ge=0, lt=LARGEST_TICKS)]
AnyTicks = Annotated[float, Meta(gt=-LARGEST_TICKS, lt=LARGEST_TICKS)]
Share = Annotated[float, Meta(gt=0, le=1)]
# A µs at least, as the engine counts in these; and a number of them that an integer holds.
Seconds = Annotated[float, Meta(ge=1e-6, le=1e9)]
WholeTicks = Annotated[int, Meta(ge=1, le=1_000_000_000)]

# Parameters shared by several models, with the same meaning everywhere.
Gamma = Annotated[
    Positive | Literal["auto"], about("Risk aversion γ; `auto` follows from σ, k and `horizon_s`.", PER_TICK_CLIP)
]
SkewShare = Annotated[
    Share,
    about(
        "Target of `auto`: the share of the half-spread by which one clip moves the reservation price.",
        Unit("a share of the half-spread", 0),
    ),
]
_DECAY = "Decay of the fill intensity; default: the value of FILL_PARAMS_FILE at each instant, else 1 with a warning."
Decay = Annotated[Positive | None, about(_DECAY, PER_TICK)]
DecayOrTouch = Annotated[
    Positive | Literal["touch"] | None,
    about(f"{_DECAY} `touch`: from the spread, so that quotes without inventory join the best prices.", PER_TICK),
]
Rate = Annotated[
    Positive | None,
    about(
        "Fills per second of one order at the mid, on one side; default: the value of FILL_PARAMS_FILE at each "
        "instant.",
        PER_S,
    ),
]
_SIGMA = about("Volatility σ; default: estimated from the past of the tape.", TICKS_PER_ROOT_S)
Sigma = Annotated[NotNegative | None, _SIGMA]
BoundedSigma = Annotated[Distance | None, _SIGMA]
Horizon = Annotated[Seconds, about("Time left τ, or length of the sessions in mode `session`.", SECONDS)]
_BOUND = about("Bound of the inventory: no bid at `q_max` or more, no ask at −`q_max` or less.", CLIPS)
QMax = Annotated[Positive | None, _BOUND]
DeltaTicks = Annotated[Distance, about("Half the spread.", TICKS)]
SkewTicks = Annotated[Distance, about("Shift of both quotes per clip held.", TICKS_PER_CLIP)]
AdverseTicks = Annotated[
    AnyTicks,
    about("Adverse move of the mid after a fill; with k and A of a fit, by default the move that it measured.", TICKS),
]
FeeTicks = Annotated[AnyTicks, about("Fee of a fill: its rate times price over tick size.", TICKS)]
Drift = Annotated[float, about("Expected drift of the mid.", TICKS_PER_S)]
Levels = Annotated[int, Meta(ge=1, le=1_000), about("Prices per side.")]
GridQMax = Annotated[
    QMax, about("Bound of the inventory, in both directions from the target; quotes beyond it are omitted.")
]
SoftBound = Annotated[
    bool,
    about(
        "Quote all prices of a side until `q_max` is reached, then none; fills may pass the bound by `levels` clips."
    ),
]
FORMULA = about("Formula: {words}.")
# Set by the run.
OfRun = Annotated[Any, about("The fit or schedule behind k and A.", by_run=True, shown="Intensity | None")]
Seed = Annotated[int, about("Seed of all random draws.", by_run=True)]

_DATA = "(BTC/USD 2015, 4,321 orders of one step)"
_UNSEEN = "assumes the queue positions of cancellations, which public streams do not contain"
_SideRates = Mapping[str, float] | None
_Exponent = Annotated[float, Meta(gt=0, le=100)]
_ShareOrNone = Annotated[float, Meta(ge=0, le=1)]
_Penetration = Annotated[
    int, Meta(ge=0, le=1_000_000_000), about("Ticks by which the other side must pass our price.", TICKS)
]
_Impact = Annotated[NotNegative, about("Adverse move of the mid after our fill.", TICKS)]
_OrderBound = Annotated[QMax, about("Inventory bound in whole orders; default 30, in mode `closed_form` none.")]
_Most = Annotated[Distance | None, about("Maximum move in either direction.", TICKS)]
_Signal = Annotated[str, about("Name of the signal (`mm signals list`).")]
_PerSignal = about("Ticks per unit of the signal.")


# Fill models.


class TradeCross(Parameters):
    bias = (
        "assumes our order is first in every queue: an upper bound of the fills, 13.9 ± 2.3 points too many at the "
        f"touch {_DATA}"
    )
    strict: Annotated[bool, about("Only trades beyond our price count, those at it do not.")] = False
    # Shares are rounded to eight decimals.
    share: Annotated[float, Meta(gt=5e-9, le=1), about("Share of each print that may fill our orders.")] = 1.0
    penetration_ticks: _Penetration = 0


class PriceCross(Parameters):
    bias = "fills only when the opposite best price reaches ours, so it fills too rarely at the touch"
    penetration_ticks: _Penetration = 0


class QueueBack(Parameters):
    bias = "assumes every cancellation to be behind our order, a lower bound of the fills"


class QueueFront(Parameters):
    bias = "assumes every cancellation to be ahead of our order, an upper bound of the fills"


class QueueProbLog(Parameters):
    bias = _UNSEEN


class QueueProbPower(Parameters):
    bias = f"{_UNSEEN}; mm fills score measures the error on days with an order log"
    exponent: Annotated[
        _Exponent, about("n: 1 spreads cancellations evenly over the lots; larger values favour the larger side.")
    ] = 3.0


class QueueOrders(Parameters):
    bias = "knows the place of every order of the market; our orders take nothing from the others"
    reading: Annotated[
        Literal["print", "order"],
        about("Where an execution counts: at its own price, or at the price at which its order rested."),
    ] = "print"


class Predicted(Parameters, kw_only=True):
    bias = (
        "fills independently of later price moves, and assumes no lots ahead of us in the queue: an upper bound of the "
        "fills"
    )
    predictor: Annotated[str, about("Folder of a predictor of `fill` (`mm predict fit`).")]
    seed: Seed = 0


class Hybrid(Parameters, kw_only=True):
    bias = "uses the largest fill of its models, so it fills at least as much as each of them"
    models: Annotated[Any, about("The models: `[[name, {parameters}], …]`.", shown="Iterable[object]")]


class _Rates(Parameters):
    A: Annotated[float | None, about("Fills per second at distance 0, on each side.", PER_S)] = None
    k: Annotated[float | None, about("Decay of the intensity with distance.", PER_TICK)] = None
    bid: Annotated[_SideRates, about('A and k of the bids: `{"A": …, "k": …}`; requires `ask`.')] = None
    ask: Annotated[_SideRates, about("A and k of the asks.")] = None


class Poisson(_Rates):
    bias = "fills independently of the market, so it has no adverse selection: an upper bound of the PnL"
    intensity: OfRun = None
    seed: Seed = 0


class Hawkes(_Rates):
    bias = "fills cluster with the recorded orders but ignore the prices that these reach: an upper bound of the PnL"
    clustering: Annotated[
        Mapping[str, object] | None,
        about("Self-excitation of orders, as `clustering` of a `poisson_fit.json`; default: from FILL_PARAMS_FILE."),
    ] = None
    intensity: OfRun = None
    seed: Seed = 0


# Simple quote models.


class FixedSpread(Parameters, kw_only=True):
    delta_ticks: Annotated[DeltaTicks, about("Each side's distance from the mid.")]


class InventorySkew(Parameters, kw_only=True):
    delta_ticks: DeltaTicks
    skew_ticks: SkewTicks
    q_max: QMax = None


class Imbalance(Parameters, kw_only=True):
    delta_ticks: DeltaTicks
    shift_ticks: Annotated[
        Distance, about("Shift of the centre if all lots at the best prices are on one side.", TICKS)
    ]
    skew_ticks: SkewTicks = 0.0
    q_max: QMax = None


class Microprice(Parameters, kw_only=True):
    delta_ticks: DeltaTicks
    skew_ticks: SkewTicks = 0.0
    q_max: QMax = None


class AdaptiveSpread(Parameters, kw_only=True):
    volatility = EwmaSigma
    least_ticks: Annotated[Distance, about("Distance at zero volatility.", TICKS)]
    per_sigma: Annotated[Distance, about("Additional ticks per unit of volatility, in √s.")]
    sigma: BoundedSigma = None
    skew_ticks: SkewTicks = 0.0
    q_max: QMax = None


class ExpectedValue(Parameters):
    A: Rate = None
    k: Decay = None
    horizon_s: Annotated[Horizon, about("Horizon of the fill probability.")] = 1.0
    adverse_ticks: AdverseTicks = 0.0
    fee_ticks: FeeTicks = 0.0
    skew_ticks: Annotated[SkewTicks, about("Decrease in value of the next clip per clip held.")] = 0.0
    q_max: QMax = None
    predictors: Annotated[
        list[str] | None, about("Folders of fitted predictors (mm predict fit), at most one per target.")
    ] = None
    intensity: OfRun = None


class Grid(Parameters, kw_only=True):
    delta_ticks: Annotated[DeltaTicks, about("Distance of the first price of each side from the centre.")]
    levels: Levels
    step_ticks: Annotated[WholeTicks, about("Distance between prices; every price is a multiple of it.", TICKS)]
    skew_ticks: Annotated[SkewTicks, about("Shift of the centre per clip held.")] = 0.0
    q_max: GridQMax = None
    soft_bound: SoftBound = False
    on_best: Annotated[bool, about("Requote at each change of a best price, in addition to the regular requotes.")] = (
        False
    )


class Rl(Parameters, kw_only=True):
    model_path: Annotated[str, about("The agent: a zip of `mm rl train`.")]


class Mixed(Parameters, kw_only=True):
    models: Annotated[
        Any, about("The models and their weights: `[[name, {parameters}, weight], …]`.", shown="Iterable[object]")
    ]


class Steps(Parameters, kw_only=True):
    model: Annotated[Any, about("The quote model: `[name, {parameters}]`.", shown="object")]
    steps: Annotated[
        Any,
        about(
            "The steps around it, innermost first: `[[name, {parameters}], …]`.",
            shown="Iterable[Callable[[object], object]]",
        ),
    ]


# Optimal quotes.


class Inputs(Parameters):
    k: Decay = None
    A: Rate = None
    sigma: Sigma = None
    tau_s: Annotated[NotNegative | None, about("Time left.", SECONDS)] = None


class Distances(Parameters):
    gamma: Gamma = "auto"
    skew_share: SkewShare = 0.1
    k: Decay = None
    A: Rate = None
    sigma: Sigma = None
    horizon_s: Horizon = 30.0
    q_max: QMax = None
    mode: Annotated[Literal["rolling", "session"], FORMULA] = "rolling"
    intensity: OfRun = None


class AvellanedaStoikovBare(Parameters):
    volatility = Volatility
    gamma: Gamma = "auto"
    skew_share: SkewShare = 0.1
    k: DecayOrTouch = None
    sigma: Sigma = None
    horizon_s: Horizon = 30.0
    mode: Annotated[Literal["rolling", "session", "infinite"], FORMULA] = "rolling"
    q_max: QMax = None
    intensity: OfRun = None


class AvellanedaStoikov(AvellanedaStoikovBare):
    q_max: Annotated[Positive, _BOUND] = 30.0


class Symmetric(Parameters):
    volatility = Volatility
    gamma: Gamma = "auto"
    skew_share: SkewShare = 0.1
    k: Decay = None
    sigma: Sigma = None
    horizon_s: Horizon = 30.0
    mode: Annotated[Literal["rolling", "session"], FORMULA] = "rolling"
    intensity: OfRun = None


class Gueant(Parameters):
    volatility = Volatility
    mode: Annotated[Literal["closed_form", "stationary", "exact", "session"], FORMULA] = "closed_form"
    gamma: Gamma = "auto"
    skew_share: SkewShare = 0.1
    xi: Annotated[NotNegative | None, about("Aversion ξ to the risk of fills; without it γ.", PER_TICK_CLIP)] = None
    delta: Annotated[Positive, about("Order size Δ; orders are sent in it, to the nearest lot.", CLIPS)] = 1.0
    k: Decay = None
    A: Rate = None
    sigma: Sigma = None
    horizon_s: Horizon = 30.0
    q_max: _OrderBound = None
    drift: Drift = 0.0
    impact: _Impact = 0.0
    intensity: OfRun = None


class Glft(Parameters):
    volatility = Volatility
    # Without Meta(), typing would return the annotation of Gueant, whose words are the same in another order.
    mode: Annotated[Literal["stationary", "exact", "session", "closed_form"], Meta(), FORMULA] = "stationary"
    gamma: Gamma = "auto"
    skew_share: SkewShare = 0.1
    k: Decay = None
    A: Rate = None
    sigma: Sigma = None
    horizon_s: Horizon = 30.0
    q_max: _OrderBound = None
    drift: Drift = 0.0
    impact: _Impact = 0.0
    intensity: OfRun = None


class CarteaJaimungal(Parameters, kw_only=True):
    mode: Annotated[Literal["exact", "session", "stationary"], FORMULA] = "exact"
    phi: Annotated[NotNegative, about("Running penalty φ, times q².", TICKS_PER_CLIP_S)]
    alpha: Annotated[NotNegative, about("Final penalty α, times q².", TICKS_PER_CLIP)] = 0.0
    k: Decay = None
    A: Rate = None
    horizon_s: Horizon = 30.0
    q_max: _OrderBound = None
    intensity: OfRun = None


class OptimalCurve(Parameters):
    volatility = Volatility
    curve: Annotated[
        Any,
        about(
            "The fill intensity λ, as points `[[distance in ticks, fills per second], …]`; without it the curve of "
            "FILL_PARAMS_FILE, or A·exp(-k·δ).",
            shown="list[list[float]] | None",
        ),
    ] = None
    gamma: Gamma = "auto"
    skew_share: SkewShare = 0.1
    xi: Annotated[NotNegative, about("Aversion ξ to the risk of fills.", PER_TICK_CLIP)] = 0.0
    k: Decay = None
    A: Rate = None
    sigma: Sigma = None
    horizon_s: Horizon = 30.0
    q_max: Annotated[Positive, about("Bound of the inventory in whole clips.", CLIPS)] = 30.0
    drift: Drift = 0.0
    adverse_ticks: AdverseTicks = 0.0
    fee_ticks: FeeTicks = 0.0
    intensity: OfRun = None


class GlftGrid(Parameters, kw_only=True):
    gamma: Annotated[Positive, about("Risk aversion γ, for inventory and for fills.", PER_TICK_CLIP)] = 0.05
    levels: Levels
    window_s: Annotated[Seconds, about("Window of the calibration.", SECONDS)] = 600.0
    refit_s: Annotated[Seconds, about("Time between two calibrations.", SECONDS)] = 5.0
    sample_s: Annotated[Seconds, about("Time between two samples of the mid.", SECONDS)] = 0.1
    reach_ticks: Annotated[
        float, Meta(ge=1.5, le=5_000), about("Largest distance of the fit; resolution half a tick.", TICKS)
    ] = 35.0
    spread_factor: Annotated[Positive, about("Multiplies the half-spread.", NUMBER)] = 1.0
    skew_factor: Annotated[Positive, about("Multiplies the skew.", NUMBER)] = 1.0
    q_max: GridQMax = None
    soft_bound: SoftBound = False


# Steps around a quote model.


class InventoryBound(Parameters, kw_only=True):
    q_max: Annotated[Positive, about("The bound, in both directions from the target.", CLIPS)]


class FushimiSize(Parameters, kw_only=True):
    eta: Annotated[Distance, about("Decay of the size per clip held.")]


class PostOnly(Parameters):
    pass


class LeastSpread(Parameters, kw_only=True):
    ticks: Annotated[Distance, about("Minimum distance between bid and ask.", TICKS)]


class RoundTo(Parameters, kw_only=True):
    ticks: Annotated[WholeTicks, about("Grid spacing.", TICKS)]


class Widen(Parameters, kw_only=True):
    extra_ticks: Annotated[Distance, about("Extra distance of each side.", TICKS)]
    inventory: Annotated[Positive | None, about("Band of the inventory, in clips in both directions.")] = None
    loss: Annotated[Positive | None, about("Band of the drawdown of our equity at the mid, in tick·clips.")] = None
    recover: Annotated[_ShareOrNone, about("Share of a band within which quotes return to normal.")] = 0.5


class ShiftBy(Parameters, kw_only=True):
    signal: _Signal
    by: Annotated[float, _PerSignal]
    most: _Most = None


class WidenBy(Parameters, kw_only=True):
    signal: _Signal
    by: Annotated[NotNegative, _PerSignal]
    most: _Most = None


class SizeBy(Parameters, kw_only=True):
    signal: _Signal
    by: Annotated[float, about("Share of the lots per unit of the signal.")]
    least: Annotated[_ShareOrNone, about("Minimum remaining share.")] = 0.0
    both: Annotated[bool, about("Whether both sides are reduced equally.")] = False


class _Kelly(Parameters):
    horizon_s: Annotated[Horizon, about("Time for which a position is at risk.")] = 60.0
    fraction: Annotated[Share, about("Fraction of the Kelly bet.")] = 0.5
    sigma: Sigma = None
    signal: Annotated[str | None, about("Signal of the move over the horizon, as a predictor of `return`.")] = None
    by: Annotated[float, _PerSignal] = 1.0


class KellySkew(_Kelly):
    most: _Most = None


class KellySize(_Kelly):
    fee_ticks: FeeTicks = 0.0
    most: Annotated[Positive, about("Maximum size, as a multiple of the inner model's lots.")] = 1.0
