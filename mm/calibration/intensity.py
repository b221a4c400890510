"""From what was fitted to what fills: a fit or a schedule as the intensity of a fill model."""

from typing import TYPE_CHECKING

from mm.calibration.fit_result import PoissonFit
from mm.calibration.schedule import Schedule
from mm.errors import FitError, UsageError

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.fills.intensity_piece import IntensityPiece


def intensity_of(fitted: PoissonFit | Schedule, *, per_side: bool = False, source: str = "the fit") -> "Intensity":
    """Return λ(δ) over time as a fit or a schedule says it.

    Args:
        fitted: A fit, which holds for all time, or a schedule, which holds where a segment is usable.
        per_side: Use the sides' own A and k, which a schedule does not have.
        source: Where it comes from, for messages.

    Raises:
        FitError: If nothing in it is usable.
        UsageError: If the sides' own numbers are asked of a schedule.
    """
    from mm.backtest.fills.intensity import Intensity

    return Intensity(_pieces(fitted, per_side, source), fitted.reference or "mid")


def why_unusable(schedule: Schedule) -> str:
    """Return why a schedule without a usable segment has none, and the way out."""
    if not schedule.segments:
        return (
            f"no segment, because the day is not longer than the training window of {schedule.train_window_min:g} "
            f"minutes; take a shorter --wf-train-window-min (WF_TRAIN_WINDOW_MIN), or a longer day"
        )
    last = schedule.segments[-1]
    return (
        f"none of {len(schedule.segments)} segments is usable (the last: {last.status}, {last.reason}); take longer "
        f"training windows, a smaller --min-usable-deltas, or a day with more trades"
    )


def _pieces(fitted: PoissonFit | Schedule, per_side: bool, source: str) -> "list[IntensityPiece]":
    from mm.backtest.fills.intensity import FOREVER
    from mm.backtest.fills.intensity_piece import IntensityPiece

    if isinstance(fitted, PoissonFit):
        A_bid, k_bid, A_ask, k_ask = _rates(fitted, per_side, source)
        return [
            IntensityPiece(
                start_us=0,
                end_us=FOREVER,
                A_bid=A_bid,
                k_bid=k_bid,
                A_ask=A_ask,
                k_ask=k_ask,
                k=fitted.k or k_bid,
                sigma_ticks=fitted.sigma_ticks,
                min_delta_ticks=fitted.min_delta_ticks,
                max_delta_ticks=fitted.max_delta_ticks,
            )
        ]
    if per_side:
        raise UsageError(
            f"--fill-per-side (FILL_PER_SIDE) is 1, but {source} is a schedule, whose segments have one A and k; "
            f"set it to 0"
        )
    pieces = [
        IntensityPiece(
            start_us=segment.start_us,
            end_us=segment.end_us,
            A_bid=segment.A,
            k_bid=segment.k,
            A_ask=segment.A,
            k_ask=segment.k,
            k=segment.k,
            sigma_ticks=segment.sigma_ticks,
            min_delta_ticks=segment.min_delta_ticks,
            max_delta_ticks=segment.max_delta_ticks,
        )
        for segment in fitted.segments
        if segment.A is not None and segment.k is not None
    ]
    if not pieces:
        raise FitError(f"{source}: {why_unusable(fitted)}")
    return pieces


def _rates(fit: PoissonFit, per_side: bool, source: str) -> tuple[float, float, float, float]:
    """Return A and k of bids, then of asks."""
    if not fit.usable or fit.A is None or fit.k is None:
        raise FitError(f"{source}: the fit is not usable ({fit.status}: {fit.reason}); calibrate more data")
    if not per_side:
        return fit.A, fit.k, fit.A, fit.k
    bid, ask = fit.sides.bid, fit.sides.ask
    if bid.A is None or bid.k is None or ask.A is None or ask.k is None:
        raise FitError(f"{source}: no A and k of each side alone; set FILL_PER_SIDE=0, or calibrate more data")
    return bid.A, bid.k, ask.A, ask.k
