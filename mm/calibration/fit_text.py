"""A fit in words: one line, a table, a box."""

import math
from typing import TYPE_CHECKING

from mm.page.numbers import MINUS

if TYPE_CHECKING:
    from mm.calibration.fit_result import Interval, PoissonFit, Rates

NONE = "–"


def headline(fit: "PoissonFit") -> str:
    """Return A, k, fills and verdict as one line."""
    counted = f"{fit.n_fills:g} fills in {fit.exposure_s:.6g} s"
    if fit.A is None or fit.k is None or fit.se_logA is None or fit.se_k is None:
        return f"no A and k   {counted}   not usable: {fit.status}"
    verdict = "usable" if fit.status == "ok" else f"usable, {fit.status}"
    rate, decay = _measured(fit.A, fit.A * fit.se_logA), _measured(fit.k, fit.se_k)
    return f"A = {rate} /s   k = {decay} /tick   {counted}   {verdict}"


def summary(fit: "PoissonFit") -> str:
    """Return the fit as a table of estimates, checks and neighbours."""
    where = "  ".join(text for text in (fit.symbol, fit.day, fit.method, fit.fit_method) if text)
    error_a = None if fit.A is None or fit.se_logA is None else fit.A * fit.se_logA
    at_pivot, error = fit.lambda_at_pivot, fit.se_log_lambda_at_pivot
    error_pivot = None if at_pivot is None or error is None else at_pivot * error
    rows = [
        f"λ(δ) = A exp(-k δ)  {where}",
        f"{'':<16}{'estimate':>12}{'se':>12}{'95 %':>24}{'95 % by blocks':>24}",
        f"{'A /s':<16}{_text(fit.A):>12}{_text(error_a):>12}{_range(fit.ci95_A):>24}{_range(fit.ci95_A_block):>24}",
        f"{'k /tick':<16}{_text(fit.k):>12}{_text(fit.se_k):>12}{_range(fit.ci95_k):>24}{_range(fit.ci95_k_block):>24}",
        f"{f'λ({_text(fit.pivot_delta)}) /s':<16}{_text(at_pivot):>12}{_text(error_pivot):>12}",
        f"{'data':<16}{fit.n_fills:g} fills in {fit.exposure_s:.6g} s, δ {_text(fit.min_delta_ticks)} to "
        f"{_text(fit.max_delta_ticks)} ticks, {fit.n_blocks} blocks",
        f"{'fit':<16}deviance {_text(fit.deviance)}, Pearson {_text(fit.pearson_chi2)} on {_text(fit.df_resid)} df, "
        f"p {_text(fit.goodness_p)}, dispersion {_text(fit.dispersion)}",
        f"{'tests':<16}curvature p {_text(fit.curvature_p)}, sides differ p {_text(fit.side_lr_p)}",
        *(f"{name:<16}{_rates(rates)}" for name, rates in _neighbours(fit)),
        *verdict(fit),
    ]
    return "\n".join(row.rstrip() for row in rows)


def box(fit: "PoissonFit") -> str:
    """Return a frame that says whether the fit can be used, and why not."""
    lines = [headline(fit), *verdict(fit)]
    width = max(map(len, lines))
    rule = "─" * (width + 2)
    return "\n".join([f"┌{rule}┐", *(f"│ {line:<{width}} │" for line in lines), f"└{rule}┘"])


def verdict(fit: "PoissonFit") -> list[str]:
    """Return the status, why, and the warnings, a line each."""
    said = f"{'usable' if fit.usable else 'not usable'}: {fit.status}"
    return [f"{said} – {fit.reason}" if fit.reason else said, *(f"warning: {warning}" for warning in fit.warnings)]


def _neighbours(fit: "PoissonFit") -> "tuple[tuple[str, Rates], ...]":
    return (
        ("poisson_mle", fit.mle),
        ("poisson_firth", fit.firth),
        ("log_linear", fit.log_linear),
        ("bid", fit.sides.bid),
        ("ask", fit.sides.ask),
    )


def _rates(rates: "Rates") -> str:
    return f"A {_text(rates.A)}, k {_text(rates.k)}"


def _text(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}".replace("-", MINUS)


def _range(interval: "Interval | None") -> str:
    return NONE if interval is None else f"{_text(interval[0])} to {_text(interval[1])}"


def _measured(value: float, error: float) -> str:
    """Return *value* ± *error*, both to the third digit of the error."""
    digits = 2 - math.floor(math.log10(error)) if 0 < error < math.inf else 3
    places = min(max(digits, 0), 12)
    return f"{value:.{places}f} ± {error:.{places}f}".replace("-", MINUS)
