"""The page of a calibration: the curve, how well it holds, the two sides, and how steady it was over the day."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from mm.calibration.goodness import residuals
from mm.clock import iso
from mm.numbers import lasting, number
from mm.report.calibration_charts import Pieces, curve_chart, parameter_chart, residual_chart
from mm.report.frame import About, Row, card, document, notes, origin, table, tile, wide

if TYPE_CHECKING:
    from mm.calibration.calibrator import Measured
    from mm.calibration.fit_result import Interval, PoissonFit, RatesWithErrors

BOTH = (("buy", "bids, hit by sellers"), ("sell", "asks, hit by buyers"))
NO_INTERVAL = "no interval"


def page(
    fit: "PoissonFit", measured: "Measured", pieces: Pieces, about: About | None = None, more: Sequence[str] = ()
) -> str:
    """Return the page as HTML.

    Args:
        fit: The whole tape's, with its provenance.
        measured: What it was fitted to, and what its points file shows.
        pieces: The same fit on equal pieces of the tape.
        about: The command and the knobs, to print at the end.
        more: Further cards, as HTML.
    """
    title = f"{fit.symbol or 'points'} {fit.day or ''}".strip()
    rows = residuals(measured.fitted, fit.A, fit.k)
    parts = [
        _header(fit),
        _tiles(fit),
        notes(([] if fit.usable else [f"{fit.status}: {fit.reason}"]) + list(fit.warnings), "notes"),
        card(
            "How often trades reach each distance",
            "Fills a second of one resting order, by its distance in ticks; 95 % Poisson bars, fitted line with its "
            "95 % band. Distances with no fill are in the fit and have no place on this scale.",
            wide(curve_chart(measured.shown, fit)),
            BOTH,
        ),
        '<div class="pair">'
        + card(
            "Residuals",
            "Of each distance, in standard deviations (deviance residuals); beyond the dashed lines is one in twenty.",
            residual_chart(rows),
        )
        + card("Sides and neighbours", "The same data by other estimates.", _neighbours(fit))
        + "</div>",
        card(
            "k over the day",
            "Each piece of the day alone, in 1/tick, with 95 % intervals; dashed: the whole day.",
            wide(parameter_chart(pieces, "k", fit.k, "k of each piece of the day")),
        ),
        card(
            "A over the day",
            "Likewise, in 1/s. Where the pieces lie farther apart than their bars, one A does not describe the day.",
            wide(parameter_chart(pieces, "A", fit.A, "A of each piece of the day")),
        ),
        *more,
        card("All numbers", "Names are those of poisson_fit.json.", f'<div class="groups">{_numbers(fit)}</div>'),
        origin(about or About()),
    ]
    return document(f"{title} · calibration", parts)


def _header(fit: "PoissonFit") -> str:
    start, end = fit.window.start_us, fit.window.end_us
    span = "" if start is None or end is None else f" · {_minute(start)} – {_minute(end)} UTC"
    how = " ".join(text for text in (fit.method, fit.fit_method) if text)
    reference = f", from the {fit.reference}" if fit.reference else ""
    return (
        f"<header><h1>{escape(fit.symbol or 'points')} <small>{escape(fit.day or '')}</small></h1>"
        f'<p class="sub">λ(δ) = A·exp(−k·δ) by {escape(how)}{escape(reference)}{span}</p></header>'
    )


def _minute(us: int) -> str:
    return iso(us)[:16].replace("T", " ")


def _tiles(fit: "PoissonFit") -> str:
    pivot = "–" if fit.pivot_delta is None else number(fit.pivot_delta, 3)
    return (
        '<section class="tiles">'
        + tile("A, 1/s", number(fit.A), _interval(fit.ci95_A))
        + tile("k, 1/tick", number(fit.k), _interval(fit.ci95_k))
        + tile("λ at the pivot, 1/s", number(fit.lambda_at_pivot), f"at {pivot} ticks")
        + tile("Fills", f"{fit.n_fills:,g}", f"in {lasting(fit.exposure_s)} of orders")
        + tile("Deviance", number(fit.deviance), f"on {fit.df_resid if fit.df_resid is not None else '–'} df")
        + tile(
            "Verdict", "usable" if fit.usable else "not usable", escape(fit.status), "gain" if fit.usable else "loss"
        )
        + "</section>"
    )


def _interval(ends: "Interval | None") -> str:
    return NO_INTERVAL if ends is None else f"95 %: {number(ends[0])} to {number(ends[1])}"


def _neighbours(fit: "PoissonFit") -> str:
    rows = [
        ("maximum likelihood", _rates(fit.mle)),
        ("Firth", f"A {number(fit.firth.A)}, k {number(fit.firth.k)}"),
        ("log-linear", f"A {number(fit.log_linear.A)}, k {number(fit.log_linear.k)}"),
        ("bids alone", _rates(fit.sides.bid)),
        ("asks alone", _rates(fit.sides.ask)),
        ("p, were the sides equal", number(fit.side_lr_p, 3)),
        ("p, were ln λ straight", number(fit.curvature_p, 3)),
        ("A, 95 % by blocks", _range(fit.ci95_A_block)),
        ("k, 95 % by blocks", _range(fit.ci95_k_block)),
        ("dispersion over blocks", number(fit.dispersion)),
    ]
    return table("", rows)


def _rates(rates: "RatesWithErrors") -> str:
    errors = "" if rates.se_k is None else f" ± {number(rates.se_k, 2)}"
    return f"A {number(rates.A)}, k {number(rates.k)}{errors}"


def _range(ends: "Interval | None") -> str:
    return "–" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def _numbers(fit: "PoissonFit") -> str:
    def named(*names: str) -> list[Row]:
        values = ((name, getattr(fit, name)) for name in names)
        return [(name, escape(value) if isinstance(value, str) else number(value, 6)) for name, value in values]

    return (
        table("Estimate", named("A", "k", "logA", "se_logA", "se_k", "cov_logA_k"))
        + table(
            "Fit",
            named("loglik", "deviance", "pearson_chi2", "df_resid", "goodness_p", "aic", "dispersion", "n_blocks"),
        )
        + table("Where it is known best", named("pivot_delta", "lambda_at_pivot", "se_log_lambda_at_pivot"))
        + table("Data", named("n_fills", "exposure_s", "min_delta_ticks", "max_delta_ticks", "tick_size"))
        + table("Choices", named("method", "fit_method", "reference", "hit", "status"))
    )
