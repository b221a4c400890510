"""Checks of a fit: goodness of fit, dispersion, curvature, equality of sides, residuals."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.base.numbers import MINUS, fixed
from mm.calibration.estimators import Estimate, NoEstimate
from mm.calibration.likelihood import LARGE, Sample, Shape, Table
from mm.calibration.points import Points, group, sum_by
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit


POOR_FIT_P = 0.01  # below it a fit is called poor
LEAST_EXPECTED = 5.0  # fills in a pooled row
MISFIT_FILLS = 100  # fills of a distance from which its rate is compared with the curve
MISFIT_RATIO = 2.0  # of predicted over seen fills, or its inverse, beyond which a fit is a misfit
FEWEST_BLOCKS = 3  # beyond the tested parameters, for a test by blocks
SINGULAR = 1e-10  # of the largest eigenvalue
MAX_ITERATIONS = 50  # of Newton's method
SMALLEST_STEP, ENOUGH = 1e-9, 1e-10  # a step that is not halved further, and the last gain, in nats
LEAST_SHOWN = 0.5  # fills; the table of residuals ends where fewer are expected and none occurred
PIECES_S = (300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MOST = 28  # pieces


@dataclass(frozen=True, slots=True)
class Goodness:
    """Goodness of fit of an estimate to its rows.

    Attributes:
        deviance: Twice the log-likelihood lost against a rate per pooled row.
    """

    loglik: float
    deviance: float
    pearson_chi2: float
    df_resid: int
    goodness_p: float | None
    aic: float


def goodness(table: Table, estimate: Estimate) -> Goodness:
    """Return the goodness of fit of *estimate* to *table*.

    Deviance and degrees of freedom are over `pools` of neighbouring rows: rows with tiny expectations add degrees of
    freedom without deviance, and would make the test powerless.
    """
    from mm.base.special import chdtrc, gammaln, xlogy

    log_expected = table.log_exposure + _log_rate(table, estimate)
    expected, fills = np.exp(np.minimum(log_expected, LARGE)), table.fills
    loglik = float((fills * log_expected - expected - gammaln(fills + 1)).sum())
    positive = expected > 0  # a count of 0 with expectation 0 contributes nothing
    pearson = float(((fills[positive] - expected[positive]) ** 2 / expected[positive]).sum())
    pool = pools(expected)
    count = int(pool[-1]) + 1 if len(pool) else 0
    expected, fills = sum_by(pool, expected, count), sum_by(pool, fills, count)
    positive = expected > 0
    terms = xlogy(fills, fills) - xlogy(fills, expected) - fills + expected
    deviance = max(float(2 * terms[positive].sum()), 0.0)
    df = count - 2
    return Goodness(
        loglik=loglik,
        deviance=deviance,
        pearson_chi2=pearson,
        df_resid=max(df, 0),
        goodness_p=float(chdtrc(df, deviance)) if df > 0 else None,
        aic=4 - 2 * loglik,
    )


def misfit(table: Table, estimate: Estimate) -> tuple[float, float, float] | None:
    """Return distance, expected and seen fills of the row that *estimate* misses most; or None.

    A missed row has at least `MISFIT_FILLS`, and a ratio of expected to seen fills outside 1 / `MISFIT_RATIO` to
    `MISFIT_RATIO`.
    """
    if not len(table.fills):
        return None
    log_ratio = table.log_exposure + _log_rate(table, estimate) - np.log(np.maximum(table.fills, 1.0))
    off = np.where(table.fills >= MISFIT_FILLS, np.abs(log_ratio), 0.0)
    row = int(off.argmax())
    if not off[row] > math.log(MISFIT_RATIO):
        return None
    seen = float(table.fills[row])
    return table.near + table.span * float(table.shape.delta[row]), seen * math.exp(log_ratio[row]), seen


def pools(expected: Floats, least: float = LEAST_EXPECTED) -> Ints:
    """Number neighbouring rows jointly until they expect *least* fills; a smaller remainder joins the previous pool."""
    pool, total, number = np.empty(len(expected), np.int64), 0.0, 0
    for row, mean in enumerate(expected.tolist()):
        if total >= least:
            total, number = 0.0, number + 1
        total += mean
        pool[row] = number
    if total < least:
        pool[pool == number] = max(number - 1, 0)
    return pool


def dispersion(sample: Sample, estimate: Estimate) -> float | None:
    if sample.n_blocks < 2:
        return None
    points, means, squares, poisson = sample.points, sample.expected(estimate), 0.0, 0.0
    for side in (1, -1, 0):
        on_side = points.side == side
        expected, fills = (sample.by_block(np.where(on_side, column, 0.0)) for column in (means, points.fills))
        if not (expected.sum() > 0 and (total := fills.sum()) > 0):
            continue
        share = expected / expected.sum()
        squares += float(((fills - total * share) ** 2).sum())
        poisson += float(total * (share * (1 - share)).sum())
    return squares / poisson if poisson > 0 else None


def curvature_p(sample: Sample, table: Table, estimate: Estimate) -> float | None:
    """Return the p-value of a further term in delta² (df 1); None below three distances.

    If small, ln λ(δ) is no straight line and must not be extrapolated. With blocks it is the larger p of the likelihood
    ratio and of `_score_p`, which is robust to bursts.
    """
    from mm.base.special import chdtrc

    delta = table.shape.delta
    if len(delta) < 3 or not ((delta > 0) & (delta < 1)).any():
        return None
    offset = table.log_exposure + table.shape.log_gain(estimate.k * table.span)
    line, curve = (_tilted(offset, delta[:, None] ** np.arange(1, degree + 1), table.fills) for degree in (1, 2))
    ratio = 2 * (curve - line)
    ratio_p = float(chdtrc(1, max(ratio, 0.0))) if math.isfinite(ratio) else None
    place = (sample.shape.delta - table.near) / table.span
    return _larger(ratio_p, sample, estimate, [(place**2)[sample.row]])


def _tilted(offset: Floats, powers: Floats, fills: Floats) -> float:

    def height(b: Floats) -> float:
        log_share = offset + powers @ b
        return float(fills[hit] @ log_share[hit]) - total * float(np.logaddexp.reduce(log_share))

    hit, total, b = fills > 0, float(fills.sum()), np.zeros(powers.shape[1])
    highest = height(b)
    for _ in range(MAX_ITERATIONS):
        log_share = offset + powers @ b
        share = np.exp(log_share - np.logaddexp.reduce(log_share))
        off = powers - share @ powers
        information = total * (off * share[:, None]).T @ off
        ridge = 1e-12 * np.trace(information) + 1e-300
        step = np.linalg.solve(information + ridge * np.eye(len(b)), fills @ powers - total * (share @ powers))
        while (ahead := height(b + step)) < highest and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2
        if not ahead - highest > ENOUGH:
            break
        b, highest = b + step, ahead
    return highest


def sides_p(
    sample: Sample, sides: tuple[Table, Table], peaks: tuple[float | NoEstimate, ...], pooled: Estimate
) -> float | None:
    """Return the p-value of one A and k for both *sides* against one each (df 2).

    With blocks it is the larger p of the likelihood ratio, for independent fills, and of `_score_p`.

    Args:
        peaks: The sides' `likelihood_peak`.
    """
    from mm.base.special import chdtrc

    apart = sum(_highest_loglik(side, peak) for side, peak in zip(sides, peaks, strict=True))
    together = 0.0
    for side in sides:
        log_expected = side.log_exposure + _log_rate(side, pooled)
        together += float(side.fills @ log_expected - np.exp(np.minimum(log_expected, LARGE)).sum())
    ratio = 2 * (apart - together)
    ratio_p = float(chdtrc(2, max(ratio, 0.0))) if math.isfinite(ratio) else None
    sign = sample.points.side.astype(np.float64)
    return _larger(ratio_p, sample, pooled, [sign, -sign * sample.shape.steepness(pooled.k)[sample.row]])


def _larger(ratio_p: float | None, sample: Sample, estimate: Estimate, further: list[Floats]) -> float | None:
    if not sample.n_blocks or ratio_p is None:
        return ratio_p
    robust = _score_p(sample, estimate, further)
    return None if robust is None else max(ratio_p, robust)


def _score_p(sample: Sample, estimate: Estimate, further: list[Floats]) -> float | None:
    """p-value of terms of ln λ beyond A and k, by a score test that is robust to bursts; None with too few blocks.

    The scores of the *further* terms (derivatives of ln λ at each point), made orthogonal to A and k, are summed by
    block; Hotelling's T² tests whether their mean is 0. Only independent blocks are assumed.
    """
    from mm.base.special import fdtrc

    blocks, terms = sample.n_blocks, len(further)
    if blocks < terms + FEWEST_BLOCKS:
        return None
    expected = sample.expected(estimate)
    basis = [np.ones(len(expected)), -sample.shape.steepness(estimate.k)[sample.row]]
    weighted = [expected * column for column in basis]
    within = np.array([[float((a * b).sum()) for b in basis] for a in weighted])
    excess = sample.points.fills - expected
    scores = np.empty((terms, blocks))
    for place, term in enumerate(further):
        shares = _solved(within, np.array([float((column * term).sum()) for column in weighted]))
        if shares is None:
            return None
        scores[place] = sample.by_block(excess * (term - shares[0] * basis[0] - shares[1] * basis[1]))
    mean = scores.mean(axis=1)
    off = scores - mean[:, None]
    solved = _solved(off @ off.T / (blocks - 1), mean)
    if solved is None:
        return None
    squared = blocks * float(mean @ solved)
    return float(fdtrc(terms, blocks - terms, squared * (blocks - terms) / (terms * (blocks - 1))))


def _solved(matrix: Floats, right: Floats) -> Floats | None:
    scale = np.sqrt(np.diag(matrix))
    if not (np.isfinite(matrix).all() and (scale > 0).all()):
        return None
    scaled = matrix / np.outer(scale, scale)
    least, *_, most = np.linalg.eigvalsh(scaled) if len(scale) > 1 else (1.0, 1.0)
    if not least > SINGULAR * most:
        return None
    solution: Floats = np.linalg.solve(scaled, right / scale) / scale
    return solution


def _log_rate(table: Table, estimate: Estimate) -> Floats:
    unit = table.span or 1.0
    return estimate.logA - estimate.k * table.near + table.shape.log_gain(estimate.k * unit)


def _highest_loglik(table: Table, peak: float | NoEstimate) -> float:
    if table.total == 0:
        return 0.0
    k = peak.edge if isinstance(peak, NoEstimate) else peak
    shares = table.at(k).log_likelihood if math.isfinite(k) else 0.0  # at an infinite k one row has all fills
    return shares + table.total * (math.log(table.total) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Rows of one distance each, nearest first."""

    delta_ticks: Floats
    width_ticks: Floats
    exposure_s: Floats
    fills: Floats
    expected: Floats

    @property
    def standardised(self) -> Floats:
        """Deviance residual of each row: about standard normal under the fit, signed as fills - expected.

        Their squares sum to the deviance (McCullagh and Nelder 1989, 2.4.3). A fill with a tiny expectation gives a
        residual of a few units, not of thousands as Pearson's.
        """
        from mm.base.special import xlogy

        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(self.fills > 0, xlogy(self.fills, self.fills / self.expected), 0.0)
        return np.sign(self.fills - self.expected) * np.sqrt(np.maximum(2 * (logs - self.fills + self.expected), 0.0))

    def rates(self) -> tuple[Floats, Floats, Floats]:
        from mm.base.special import gammaincinv

        low = np.where(self.fills > 0, gammaincinv(np.maximum(self.fills, 1e-12), 0.025), 0.0)
        high = gammaincinv(self.fills + 1, 0.975)
        return self.fills / self.exposure_s, low / self.exposure_s, high / self.exposure_s


def residuals(points: Points, A: float | None, k: float | None, side: int = 0) -> Residuals:
    """Return the rows of *points* by distance, with λ(δ) = A exp(-k δ); rows without exposure are left out.

    Args:
        side: +1 or -1 for one side, 0 for all.
    """
    exposed = points.where((points.exposure_s > 0) & ((points.side == side) if side else True))
    first, groups = group(exposed.delta_ticks, exposed.width_ticks)
    delta, width = exposed.delta_ticks[first], exposed.width_ticks[first]
    exposure = sum_by(groups, exposed.exposure_s, len(first))
    expected = np.full(len(first), np.nan)
    if A is not None and k is not None:
        expected = exposure * np.exp(np.minimum(np.log(A) + Shape(delta, width).log_gain(k), LARGE))
    return Residuals(delta, width, exposure, sum_by(groups, exposed.fills, len(first)), expected)


def table(points: Points, fit: "PoissonFit", most: int = 20) -> str:
    rows = residuals(points, fit.A, fit.k)
    relevant = np.flatnonzero((rows.fills > 0) | (rows.expected >= LEAST_SHOWN))
    shown = slice(min(most, relevant[-1] + 1 if len(relevant) else most))
    lines = [f"{'delta':>7}{'exposure s':>14}{'fills':>10}{'fitted':>12}{'residual':>10}"]
    for delta, exposure, fills, expected, z in zip(
        *(
            column[shown]
            for column in (rows.delta_ticks, rows.exposure_s, rows.fills, rows.expected, rows.standardised)
        ),
        strict=True,
    ):
        fitted, residual = ("–", "–") if np.isnan(expected) else (f"{expected:,.1f}", fixed(z, 2))
        lines.append(f"{f'{delta:g}'.replace('-', MINUS):>7}{exposure:>14,.0f}{fills:>10,g}{fitted:>12}{residual:>10}")
    left = len(rows.delta_ticks[shown.stop :])
    if left:
        distances = "1 distance" if left == 1 else f"{left} distances"
        lines.append(f"{'…':>7}{rows.fills[shown.stop :].sum():>24,g}   at {distances} beyond")
    return "\n".join(lines)


def equal_pieces(start_us: int, end_us: int) -> list[tuple[int, int]]:
    span_s = (end_us - start_us) / US_PER_S
    step_us = next((step for step in PIECES_S if span_s / step <= MOST), PIECES_S[-1]) * US_PER_S
    edges = [start_us, *range(-(-(start_us + 1) // step_us) * step_us, end_us, step_us), end_us]
    return [(a, b) for a, b in pairwise(edges) if b - a >= step_us // 2]


@dataclass(frozen=True, slots=True)
class Uniformity:
    """The Kolmogorov-Smirnov test that 1 - exp(-w) is uniform, for waiting times w.

    Attributes:
        mean_wait: 1 under the model; less with more hits than predicted.
    """

    n: int
    mean_wait: float | None
    ks: float | None
    p: float | None


def uniformity(between: Floats) -> Uniformity:
    """Test waiting times *between* hits; p by Stephens' approximation, accurate from four of them on."""
    from mm.base.special import kolmogorov

    n = int(between.size)
    if n == 0:
        return Uniformity(0, None, None, None)
    share = -np.expm1(-np.sort(between))
    ks = float(max((np.arange(1, n + 1) / n - share).max(), (share - np.arange(n) / n).max()))
    p = float(kolmogorov((math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * ks))
    return Uniformity(n, float(between.mean()), ks, p)
