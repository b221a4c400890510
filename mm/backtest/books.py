"""What a journal's integers mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mm.instrument import decimal_text, short_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mm.backtest.fills.intensity import Intensity
    from mm.instrument import Instrument

FEE_RATE = "0.001"  # of makers and takers where none is given: that of Spot
SPOT_FEES = "spot_fees"  # the key of the warning that a perpetual is played with it
IMPLAUSIBLE_FEE = "implausible_fee"  # the key of the warning that a rate is no exchange's
DAYS_NOT_PLAYED = "days_not_played"  # the key of the warning that days lie between those of a run


@dataclass(frozen=True)
class Books:
    """What a journal's integers mean, and what was played.

    Attributes:
        instrument: The tape's grid: tick of the prices, lot of the recorded quantities.
        days: The days played, ``YYYYMMDD``, in order.
        quote_model: Name of the quote model.
        fill_model: Name of the fill model.
        initial_cash_e8: Cash at the start, in 1e-8 of the quote asset.
        quote_lots: The clip: what one quote offers.
        strategy: What was played: the quote model, the steps around it, and their effective parameters.
        gammas: Each gamma that quotes were made with, in 1/(tick·clip), and how many, (gammas, 2); None of a model
            without one.
        seed: Keys the bootstrap of the Sharpe ratio.
        starts_us: When each of the days begins; empty where they are reported as one.
        between_days_us: Time between the end of a day's window and the begin of the next, in all.
        intensity: What predicts fills, to hold them against; None without one.
        hits: The aggressive orders of the market, as `mm.backtest.metrics.flow_levels.aggressors` returns them, where
            the intensity predicts fills by the states of orders; else None.
        fit: What the fit or schedule behind the run says of itself: ``path`` (the file's name), ``status``, ``reason``,
            ``warnings``, ``A``, ``k``, ``min_delta_ticks``, ``max_delta_ticks``, ``lacks``, ``day``, and ``in_sample``,
            whether it was made of what was played or came later; None without one.
        fill_bias: The known bias of the fill model, one sentence; None where it is not known.
        target_lots: The inventory that quotes, bounds and risk count from.
        bound_clips: Inventory at which quotes stop on one side, in clips; None where no bound is known.
        sensitivity: The same strategy under other assumptions; None where not requested.
        pnl_band: What the PnL could have been with another A and k that the fit allows; None where not requested.
        lost_lines: Recorded lines that damage took from the days' files, as far as it is known.
        untraded: Share of the days' time in stretches without a trade that last for more than half a day's window; 1
            without a trade, None where it is not known.
        ended: Why a run in a live market ended: ``reason``, a word, and ``why``, a sentence where it was not in order;
            None of a replay.
        predictors: What the fitted predictors that the models read say of themselves: ``target``, ``model``,
            ``horizon``, ``days``, ``hash``, ``usable``, ``does_not_beat``, ``in_sample``.
        agent_days: Days of the run on which a trained agent of the quote model was trained.
        funding_e8: What a perpetual paid for our position (below 0: received), 1e-8 of the quote asset; None of others.
        spot_fees: The knobs of fees that a perpetual was played with at their defaults, which are the fees of Spot.
        implausible_fees: The knobs of fees whose rates no exchange has, and these rates, 1e-8.
        feed: Offset and latency of a recorded feed, in ms; None where the exchange acts at receive time.
    """

    instrument: "Instrument"
    days: tuple[str, ...]
    quote_model: str
    fill_model: str
    initial_cash_e8: int
    quote_lots: int
    strategy: Mapping[str, Any] | None = None
    gammas: "NDArray[np.float64] | None" = field(default=None, compare=False)
    seed: int = 0
    lost_lines: int = 0
    untraded: float | None = None
    funding_e8: int | None = None
    spot_fees: tuple[str, ...] = ()
    implausible_fees: Mapping[str, int] = field(default_factory=dict)
    feed: Mapping[str, float] | None = None
    pnl_band: Mapping[str, float] | None = None
    bound_clips: float | None = None
    sensitivity: Mapping[str, Any] | None = None
    starts_us: tuple[int, ...] = ()
    between_days_us: int = 0
    intensity: "Intensity | None" = None
    hits: "NDArray[np.int64] | None" = field(default=None, compare=False)
    fit: Mapping[str, Any] | None = None
    fill_bias: str | None = None
    target_lots: int = 0
    ended: Mapping[str, Any] | None = None
    predictors: tuple[Mapping[str, Any], ...] = ()
    agent_days: tuple[str, ...] = ()


def fraction_of(knob: str, rate_e8: int) -> str:
    """Return the way out where a rate of a fee, 1e-8, was probably meant as a percentage."""
    fraction = decimal_text(rate_e8, 10).rstrip("0")
    return (
        f"rates are fractions of the notional (0.001 is 0.1 %): set {knob}={fraction} for {short_text(abs(rate_e8))} %"
        f"{' of rebate' if rate_e8 < 0 else ''}"
    )
