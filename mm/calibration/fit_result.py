"""The result of a fit: `PoissonFit`, the content of ``poisson_fit.json``."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Self, TypeVar

import msgspec

from mm.backtest.metrics import json_values
from mm.backtest.metrics.json_values import finite
from mm.base.notebook import Picture, Shown, picture_of
from mm.base.numbers import MINUS
from mm.calibration.points import Points
from mm.errors import BrokenFile, FitError, Mismatch

SCHEMA_VERSION = 1
DISTANCE_UNIT, TIME_UNIT = "ticks", "s"
NONE = "–"  # in text, for an unknown number
ANY_SPREAD = "all"  # the state of the spread that includes all

EXPONENTIAL = "exponential"
REMEDY = "give a poisson_fit.json as mm calibrate writes it, or fit again"
LEAST_FALL = 1e-9  # of ln λ between the last two points of a curve

Interval = tuple[float, float]
Line = tuple[tuple[float, float], ...]  # points of λ(δ): distance in ticks, fills per second


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A further estimate; all None if there is none.

    Attributes:
        ci95_A_block: 95 % interval by blocks; None without two blocks, and for the regression.
    """

    A: float | None = None
    k: float | None = None
    ci95_A_block: Interval | None = None
    ci95_k_block: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesWithErrors(Rates):
    """An estimate with standard errors of ln A and k, for independent fills."""

    se_logA: float | None = None
    se_k: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRates(RatesWithErrors):
    """One side alone, with its fills; None if the sides are unknown."""

    n_fills: int | float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    bid: SideRates = SideRates()
    ask: SideRates = SideRates()


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedWindow:
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of λ(δ).

    Attributes:
        spread_state: ``all``, or the spread in ticks at which it applies: ``1``, ``2``, ``3-4``, ``5-8`` …
        lambda_per_s: Fills per second of one resting order; non-increasing in the distance.
        ci95: By blocks of five minutes that may be dependent; None if unbounded.
    """

    delta_ticks: float
    spread_state: str
    lambda_per_s: float
    ci95: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeChoice:
    """The chosen shape of λ(δ), and the reason.

    Attributes:
        parameters: By name in the formula, distances in ticks; none for ``monotone``.
        gain_nats_per_fill: Out-of-sample gain over the exponential; None without blocks.
        trusted_ticks: Distances at which the interval of λ is within a factor of two of it; None if none are.
        exponential_trusted_ticks: Range around the pivot in which A·exp(-k·δ) is within λ's interval.
    """

    chosen: str
    formula: str
    parameters: dict[str, float]
    gain_nats_per_fill: float | None
    se: float | None
    why: str
    trusted_ticks: Interval | None = None
    exponential_trusted_ticks: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceChoice:
    """The reference price whose λ predicts best out of sample, and its gain."""

    chosen: str
    gain_nats_per_fill: dict[str, float | None]
    se: float
    why: str
    compared: str = "exponential"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PoissonFit(Shown):
    """A fit of λ(δ) = A exp(-k δ): fills per second, side and resting order, δ ticks from the reference price.

    The fields except *points* are the keys of ``poisson_fit.json``, in its order; docs/calibration.md, *Files*,
    explains each. An unusable fit has None for its estimates; *mle*, *firth* and *log_linear* still hold theirs. The
    provenance (*symbol*, *day*, *method*, *tick_size*, *window*, *hit*, *reference*) is None unless set by
    `dataclasses.replace`.

    Attributes:
        A: Intensity at distance 0, in 1/s.
        ci95_A: Profile likelihood, or by blocks if runs from one tape are dependent.
        ci95_A_block: Robust to dependence within and between blocks; None with fewer than two blocks.
        goodness_p: p-value of the deviance under the exponential; None without degrees of freedom.
        loglik: With the factorials of the counts.
        pivot_delta: Distance (ticks) where the intensity's error is smallest.
        sigma_ticks: Volatility of the mid over the window, ticks/√s; None in files older than this key.
        half_spread_ticks: Half of the mean displayed spread; None if unknown.
        predictive_ci95: 95 % interval of the fills of both sides in the *predictive_horizon_s* after the window.
        status: ``ok``, ``few_fills`` (usable from ten on), ``misfit``, ``poor_fit``, or why it is unusable; *reason*
            explains it. With ``misfit`` A and k miss the rate at a distance with many fills: use *lambda_curve*.
        shape: None if none was compared with the exponential; then *lambda_curve* is empty.
        calib_fills: Fill model behind the fills; None for the hit rule (*hit*).
        calib_order_qty: In the base asset.
        measured_rates: Distance (ticks) and fills per second of these orders, pooled to 20 fills; not necessarily
            decreasing.
        adverse_moves: Distance and adverse move of the mid in the 5 s after fills there, in ticks; from 20 fills on.
        clustering: `HawkesFit.to_json`; None if not fitted.
        log_rate_half: None below three days.
        points: Measured points, for charts; None if read from a file.
    """

    schema_version: int = SCHEMA_VERSION
    symbol: str | None = None
    day: str | None = None
    method: str | None = None
    fit_method: str
    A: float | None = None
    k: float | None = None
    distance_unit: str = DISTANCE_UNIT
    time_unit: str = TIME_UNIT
    tick_size: float | None = None
    logA: float | None = None
    se_logA: float | None = None
    se_k: float | None = None
    cov_logA_k: float | None = None
    ci95_A: Interval | None = None
    ci95_k: Interval | None = None
    ci95_A_block: Interval | None = None
    ci95_k_block: Interval | None = None
    cov_logA_k_block: float | None = None
    dispersion: float | None = None
    n_blocks: int = 0
    loglik: float | None = None
    deviance: float | None = None
    pearson_chi2: float | None = None
    df_resid: int | None = None
    goodness_p: float | None = None
    aic: float | None = None
    n_fills: int | float
    exposure_s: float
    pivot_delta: float | None = None
    lambda_at_pivot: float | None = None
    se_log_lambda_at_pivot: float | None = None
    curvature_p: float | None = None
    sides: Sides = Sides()
    side_lr_p: float | None = None
    firth: Rates = Rates()
    log_linear: Rates = Rates()
    min_delta_ticks: float | None = None
    max_delta_ticks: float | None = None
    window: FittedWindow = FittedWindow()
    usable: bool
    status: str
    reason: str
    mle: RatesWithErrors = RatesWithErrors()
    hit: str | None = None
    reference: str | None = None
    sigma_ticks: float | None = None
    half_spread_ticks: float | None = None
    predictive_ci95: Interval | None = None
    predictive_horizon_s: float | None = None
    warnings: tuple[str, ...] = ()
    reference_choice: ReferenceChoice | None = None
    shape: ShapeChoice | None = None
    lambda_curve: tuple[CurvePoint, ...] = ()
    calib_fills: str | None = None
    calib_fill_params: dict[str, Any] | None = None
    calib_order_qty: float | None = None
    measured_rates: Line = ()
    adverse_moves: Line = ()
    clustering: dict[str, Any] | None = None
    log_rate_half: float | None = None
    points: Points | None = field(default=None, compare=False)

    @classmethod
    def json_keys(cls) -> tuple[str, ...]:
        return _KEYS

    def lines(self) -> Iterator[str]:
        """Yield the headline, the provenance, and the warnings."""
        yield self.headline()
        where = "  ".join(text for text in (self.symbol, self.day, self.method, self.fit_method) if text)
        reach = f"δ {_text(self.min_delta_ticks)} to {_text(self.max_delta_ticks)} ticks from the {self.reference}"
        yield f"{where}  {reach}" if self.reference else where
        yield from self.verdict()[0 if self.reason else 1 :]

    def plot(self) -> Picture:
        """Draw fills per second by distance with 95 % intervals, and the fitted line; from a file only the line."""
        return picture_of(self)

    @property
    def line(self) -> Line:
        """The points of λ(δ) if another shape than the exponential was chosen; else empty.

        ln λ is linear between points, constant before the first, extrapolated linearly after the last. A flat end is
        cut, so that the last two points decrease.
        """
        if self.shape is None or self.shape.chosen == EXPONENTIAL:
            return ()
        line = [(row.delta_ticks, row.lambda_per_s) for row in self.lambda_curve if row.spread_state == ANY_SPREAD]
        while len(line) > 1 and not math.log(line[-2][1] / line[-1][1]) > LEAST_FALL:
            line.pop()
        return tuple(line) if len(line) > 1 else ()

    def times(self, count: int) -> Self:
        """Multiply fills and seconds by *count*, with unchanged estimates and errors."""
        if count == 1:
            return self
        bid, ask = (
            replace(side, n_fills=None if side.n_fills is None else side.n_fills * count)
            for side in (self.sides.bid, self.sides.ask)
        )
        n_fills, exposure_s = self.n_fills * count, self.exposure_s * count
        return replace(self, n_fills=n_fills, exposure_s=exposure_s, sides=Sides(bid=bid, ask=ask))

    def parameters(self) -> tuple[float, float]:
        """Return A in 1/s and k in 1/tick.

        Raises:
            FitError: If the fit is not usable.
        """
        if not self.usable or self.A is None or self.k is None:
            raise FitError(
                f"the fit is not usable ({self.status}: {self.reason}); record longer, or widen the distances"
            )
        return self.A, self.k

    def headline(self) -> str:
        """Return A, k, fills and status as one line; ± is half the 95 % interval by blocks, or the interval itself."""
        counted = f"{self.n_fills:g} fills in {self.exposure_s:.6g} s"
        if self.A is None or self.k is None:
            return f"no A and k   {counted}   not usable: {self.status}"
        verdict = "usable" if self.status == "ok" else f"usable, {self.status}"
        rate, decay = _measured(self.A, self.headline_ci95("A")), _measured(self.k, self.headline_ci95("k"))
        naive = "" if self.by_blocks else "± naive, as without blocks   "
        return f"A = {rate} /s   k = {decay} /tick   {naive}{counted}   {verdict}"

    @property
    def by_blocks(self) -> bool:
        """Whether both 95 % intervals are by blocks, valid for bursts; otherwise the headline has naive ones."""
        return self.ci95_A_block is not None and self.ci95_k_block is not None

    def headline_ci95(self, name: str) -> Interval | None:
        """The interval by blocks, else the one for independent fills; None without either."""
        kind = "_block" if self.by_blocks else ""
        interval: Interval | None = getattr(self, f"ci95_{name}{kind}")
        return interval

    def summary(self) -> str:
        """Return a table of estimates, checks and the other estimators' results."""
        where = "  ".join(text for text in (self.symbol, self.day, self.method, self.fit_method) if text)
        error_a = None if self.A is None or self.se_logA is None else self.A * self.se_logA
        at_pivot, error = self.lambda_at_pivot, self.se_log_lambda_at_pivot
        error_pivot = None if at_pivot is None or error is None else at_pivot * error
        neighbours = {
            "poisson_mle": self.mle,
            "poisson_firth": self.firth,
            "log_linear": self.log_linear,
            "bid": self.sides.bid,
            "ask": self.sides.ask,
        }
        rows = [
            f"λ(δ) = A exp(-k δ)  {where}",
            f"{'':<16}{'estimate':>12}{'se':>12}{'95 %':>24}{'95 % by blocks':>24}",
            _row("A /s", self.A, error_a, self.ci95_A, self.ci95_A_block),
            _row("k /tick", self.k, self.se_k, self.ci95_k, self.ci95_k_block),
            f"{f'λ({_text(self.pivot_delta)}) /s':<16}{_text(at_pivot):>12}{_text(error_pivot):>12}",
            f"{'data':<16}{self.n_fills:g} fills in {self.exposure_s:.6g} s, δ {_text(self.min_delta_ticks)} to "
            f"{_text(self.max_delta_ticks)} ticks, {self.n_blocks} blocks",
            f"{'fit':<16}deviance {_text(self.deviance)}, Pearson {_text(self.pearson_chi2)} on {_text(self.df_resid)} "
            f"df, p {_text(self.goodness_p)}, dispersion {_text(self.dispersion)}",
            f"{'tests':<16}curvature p {_text(self.curvature_p)}, sides differ p {_text(self.side_lr_p)}",
            *(f"{name:<16}A {_text(rates.A)}, k {_text(rates.k)}" for name, rates in neighbours.items()),
            *self.verdict(),
        ]
        return "\n".join(row.rstrip() for row in rows)

    def verdict(self) -> list[str]:
        """Return the status with its reason, and the warnings, one per line."""
        status = f"{'usable' if self.usable else 'not usable'}: {self.status}"
        first = f"{status} – {self.reason}" if self.reason else status
        return [first, *(f"warning: {warning}" for warning in self.warnings)]

    def __str__(self) -> str:
        lines = [self.headline(), *self.verdict()]
        width = max(map(len, lines))
        rule = "─" * (width + 2)
        return "\n".join([f"┌{rule}┐", *(f"│ {line:<{width}} │" for line in lines), f"└{rule}┘"])

    def to_json(self, *, brief: bool = False) -> dict[str, Any]:
        """Return the content of ``poisson_fit.json``: plain values, null for unknown or non-finite ones.

        *brief* omits keys with default values, which `from_json` restores.
        """
        values = ((name, getattr(self, name), default) for name, default in _BRIEF.items())
        return {
            name: finite(value)
            for name, value, default in values
            if not brief or default is MISSING or value != default
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> Self:
        """Return the fit in the *content* of a ``poisson_fit.json``; unknown keys are ignored.

        Raises:
            BrokenFile: If a key is missing or has an invalid value.
            Mismatch: If it has another schema or other units.
        """
        _check_head(content, source)
        known = {name: value for name, value in content.items() if name in _BRIEF}
        fit = converted(known, cls, source, REMEDY)
        if unknown := set(known.get("sides", ())) - {field.name for field in fields(Sides)}:
            raise BrokenFile(f"{source}: sides has {', '.join(sorted(unknown))}; it may have bid and ask; {REMEDY}")
        if wrong := _rates_fault(fit):
            raise BrokenFile(f"{source}: {wrong}; {REMEDY}")
        if fit.usable and not (fit.A is not None and fit.A > 0 and fit.k is not None and fit.k > 0):
            raise BrokenFile(
                f"{source}: marked as usable, but A = {fit.A} and k = {fit.k}; both must be above 0; fit again"
            )
        return fit


_KEYS = tuple(field.name for field in fields(PoissonFit) if field.compare)
_HEAD = ("schema_version", "distance_unit", "time_unit")
_BRIEF = {
    field.name: MISSING if field.name in _HEAD else field.default for field in fields(PoissonFit) if field.compare
}


def _check_head(content: Mapping[str, Any], source: str) -> None:
    if not isinstance(content, Mapping):
        raise BrokenFile(f"{source}: not a JSON object; give a poisson_fit.json")
    for key, value in (("schema_version", SCHEMA_VERSION), ("distance_unit", DISTANCE_UNIT), ("time_unit", TIME_UNIT)):
        if key not in content:
            raise BrokenFile(f"{source}: no {key}; give a poisson_fit.json, or fit again")
        if content[key] != value:
            raise Mismatch(f"{source}: {key} is {content[key]!r}; this version reads {value!r} only; fit again")


def _rates_fault(fit: PoissonFit) -> str:
    for point in fit.lambda_curve:
        if not point.lambda_per_s > 0:
            return f"lambda_curve has λ({point.delta_ticks}) = {point.lambda_per_s}; rates must be above 0"
    return (
        ""
        if are_rates(fit.measured_rates)
        else (f"measured_rates is {str(fit.measured_rates)[:60]}; distances must increase and rates be above 0")
    )


def are_rates(line: Line) -> bool:
    return all(near[0] < far[0] for near, far in pairwise(line)) and all(rate > 0 for _, rate in line)


Record = TypeVar("Record")


def converted(content: Any, record: type[Record], source: str, remedy: str) -> Record:
    """Return JSON *content* as a dataclass; unknown keys are ignored."""
    try:
        json_values.check(content)
        return msgspec.convert(content, record, str_keys=True)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        place, value = place.rstrip("`"), content
        where = place and f"{place}: "
        if place and "[...]" not in place:  # the message does not name the key of a dict
            for key, number in re.findall(r"(\w+)|\[(\d+)\]", place):
                value = value[int(number)] if number else value[key]
            where = f"{place} is {repr(value)[:40]}: "
        raise BrokenFile(f"{source}: {where}{what[:1].lower()}{what[1:]}; {remedy}") from error
    except (TypeError, ValueError) as error:
        raise BrokenFile(f"{source}: {error}; {remedy}") from error


def _row(name: str, value: float | None, error: float | None, own: Interval | None, by_blocks: Interval | None) -> str:
    return f"{name:<16}{_text(value):>12}{_text(error):>12}{_range(own):>24}{_range(by_blocks):>24}"


def _text(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}".replace("-", MINUS)


def _range(interval: "Interval | None") -> str:
    return NONE if interval is None else f"{_text(interval[0])} to {_text(interval[1])}"


def _measured(value: float, interval: Interval | None) -> str:
    if interval is not None and interval[1] - interval[0] >= 2 * value:
        return f"{_text(value)} ({_range(interval)})"
    error = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    digits = 2 - math.floor(math.log10(error)) if 0 < error < math.inf else 3
    places = min(max(digits, 0), 12)
    width = f"{error:.{places}f}" if error else NONE
    return f"{value:.{places}f} ± {width}".replace("-", MINUS)
