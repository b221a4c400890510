"""λ(δ) over time from a fit or a schedule, as fill and quote models use it."""

import math

from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.calibration.fit_result import Line, PoissonFit
from mm.calibration.schedule import Schedule, Segment, why_unusable
from mm.errors import FitError, UsageError


def intensity_of(fitted: PoissonFit | Schedule, *, per_side: bool = False, source: str = "the fit") -> "Intensity":
    """λ(δ) over time of a fit, valid at all times, or of a schedule, valid in its usable segments.

    If another shape was chosen, λ is its curve; A and k remain for quote models that need them.

    Args:
        per_side: Use A and k per side, which a schedule lacks; curves, common to both sides, are not used.

    Raises:
        FitError: If it has no usable A and k.
        UsageError: If *per_side* is set for a schedule.
    """

    if isinstance(fitted, PoissonFit):
        sides = _sides(fitted, per_side, source)
        pieces = [_piece(fitted, (0, FOREVER), *sides, () if per_side else fitted.line)]
    elif per_side:
        raise UsageError(
            "{fill_per_side} is 1, but the segments of {} have one A and k for both sides; set it to 0", source
        )
    else:
        pieces = [
            _piece(seg, (seg.start_us, seg.end_us), (seg.A, seg.k), (seg.A, seg.k), seg.lambda_curve)
            for seg in fitted.segments
            if seg.A is not None and seg.k is not None
        ]
        if not pieces:
            raise FitError(f"{source}: {why_unusable(fitted)}")
    return Intensity(pieces, fitted.reference or "mid", clustering=fitted.clustering)


def measured_intensity(fitted: PoissonFit | Schedule) -> "Intensity | None":
    """The fill rates measured under a fill model, only to predict fills: they may increase with distance.

    Segments of a schedule without measured rates use λ(δ). None if fewer than two distances were measured.
    """

    if isinstance(fitted, Schedule):
        if not any(seg.measured_rates for seg in fitted.segments):
            return None
        used = [seg for seg in fitted.segments if seg.A is not None]
        pieces = [_measured_piece(seg, (seg.start_us, seg.end_us)) for seg in used]
        return Intensity(pieces, fitted.reference or "mid", falling=False)
    if not fitted.usable or not fitted.measured_rates or not fitted.k:
        return None
    return Intensity([_measured_piece(fitted, (0, FOREVER))], fitted.reference or "mid", falling=False)


def _measured_piece(fitted: PoissonFit | Segment, span: tuple[int, int]) -> "IntensityPiece":
    A, k = fitted.A or 0.0, fitted.k or 0.0  # common to both sides; above 0 if usable
    if not fitted.measured_rates:
        return _piece(fitted, span, (A, k), (A, k), fitted.lambda_curve if isinstance(fitted, Segment) else fitted.line)
    far, rate = fitted.measured_rates[-1]
    return _piece(fitted, span, (A, k), (A, k), (*fitted.measured_rates, (far + 1 / k, rate / math.e)))


def _piece(
    fitted: PoissonFit | Segment,
    span: tuple[int, int],
    bid: tuple[float, float],
    ask: tuple[float, float],
    curve: Line = (),
) -> "IntensityPiece":
    return IntensityPiece(
        start_us=span[0],
        end_us=span[1],
        A_bid=bid[0],
        k_bid=bid[1],
        A_ask=ask[0],
        k_ask=ask[1],
        k=fitted.k or bid[1],
        sigma_ticks=fitted.sigma_ticks,
        half_spread_ticks=fitted.half_spread_ticks,
        min_delta_ticks=fitted.min_delta_ticks,
        max_delta_ticks=fitted.max_delta_ticks,
        curve=curve,
        adverse_ticks=fitted.adverse_ticks if isinstance(fitted, Segment) else None,
        mean_bid_per_s=fitted.mean_bid_per_s if isinstance(fitted, Segment) else None,
        mean_ask_per_s=fitted.mean_ask_per_s if isinstance(fitted, Segment) else None,
    )


def _sides(fit: PoissonFit, per_side: bool, source: str) -> tuple[tuple[float, float], tuple[float, float]]:
    if not fit.usable or fit.A is None or fit.k is None:
        raise FitError(f"{source}: the fit is not usable ({fit.status}: {fit.reason}); calibrate more data")
    if not per_side:
        return (fit.A, fit.k), (fit.A, fit.k)
    bid, ask = fit.sides.bid, fit.sides.ask
    if bid.A is None or bid.k is None or ask.A is None or ask.k is None:
        raise FitError("{}: no A and k per side; set {fill_per_side} to 0, or calibrate more data", source)
    return (bid.A, bid.k), (ask.A, ask.k)
