"""The page of a calibration: the curve, its goodness of fit, both sides, and stability over the day."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arithmetic import median
from mm.base.estimate import from_error
from mm.base.numbers import duration, number, percent, short, significant
from mm.instrument import assets_of
from mm.report import figures
from mm.report.calibration_charts import Pieces, curve_card, distances_card, pieces_card
from mm.report.figures import LOSS, MAIN, Figure
from mm.report.frame import (
    About,
    Amount,
    Cell,
    Row,
    card,
    chart,
    document,
    fitted_interval,
    grid,
    header,
    in_row,
    minute,
    notes,
    nothing,
    origin,
    pair,
    shown,
    table,
    tile,
    tiles,
)

if TYPE_CHECKING:
    from mm.calibration.calibrator import Measured
    from mm.calibration.fit_result import PoissonFit, Rates
    from mm.calibration.moves import AdverseMove

HORIZON_S = 5  # horizon of the drawn moves; the file has all horizons


def page(
    fit: "PoissonFit", measured: "Measured", pieces: Pieces, about: About | None = None, more: Sequence[str] = ()
) -> str:
    title = f"{fit.symbol or 'points'} {fit.day or ''}".strip()
    parts = [
        fit_header(fit, about or About()),
        fit_tiles(fit),
        notes(([] if fit.usable else [f"{fit.status}: {fit.reason}"]) + list(fit.warnings)),
        distances_card(measured, fit),
        in_row(
            curve_card(fit),
            card("Sides and other estimators", "From the same data, with 95 % intervals by blocks.", _neighbours(fit)),
            kind="wholes",
        ),
        pieces_card(pieces, fit),
        *more,
        card("All numbers", "Names as in poisson_fit.json.", f'<div class="groups">{_numbers(fit)}</div>'),
        origin(about or About()),
    ]
    return document(f"{title} · calibration", parts, (about or About()).plotly)


def fit_header(fit: "PoissonFit", about: About) -> str:
    start, end = fit.window.start_us, fit.window.end_us
    span = "" if start is None or end is None else f" · {minute(start)} – {minute(end)} UTC"
    how = " ".join(text for text in (fit.method, fit.fit_method) if text)
    reference = f", from the {fit.reference}" if fit.reference else ""
    line = f"λ(δ) = A·exp(−k·δ) by {escape(how)}{escape(reference)}{span}"
    return header(fit.symbol or "points", fit.day or "", line + about.name)


def fit_tiles(fit: "PoissonFit") -> str:
    pivot = "–" if fit.pivot_delta is None else number(fit.pivot_delta, 3)
    verdict, kind = ("usable", "gain" if fit.status == "ok" else "warn") if fit.usable else ("not usable", "loss")
    return tiles(
        tile("A", number(fit.A), fitted_interval(fit, "A"), unit="1/s"),
        tile("k", number(fit.k), fitted_interval(fit, "k"), unit="1/tick"),
        tile("λ at the pivot", number(fit.lambda_at_pivot), f"at {pivot} ticks", unit="1/s"),
        tile("Fills", f"{fit.n_fills:,g}", f"in {duration(fit.exposure_s)} of orders", unit="fills"),
        tile("Deviance", number(fit.deviance), f"on {fit.df_resid if fit.df_resid is not None else '–'} df"),
        tile("Verdict", verdict, escape(fit.status), kind),
    )


def _neighbours(fit: "PoissonFit") -> str:
    naive = (Amount(fit.A, plus=False), _ends(fit.ci95_A), Amount(fit.k, plus=False), _ends(fit.ci95_k))
    estimates = [
        ("maximum likelihood", *_rates(fit.mle)),
        ("as if fills were independent", *naive),
        ("Firth", *_rates(fit.firth)),
        ("log-linear, biased", *_rates(fit.log_linear)),
        ("bids alone", *_rates(fit.sides.bid)),
        ("asks alone", *_rates(fit.sides.ask)),
    ]
    tests = [
        ("p of equal sides", number(fit.side_lr_p, 3)),
        ("p of a straight ln λ", number(fit.curvature_p, 3)),
        ("dispersion over blocks, 1 for Poisson flow", number(fit.dispersion)),
    ]
    return grid(("", "A, 1/s", "95 %", "k, 1/tick", "95 %"), estimates) + table("Tests", tests)


def _rates(rates: "Rates") -> tuple[Cell, ...]:
    return (
        Amount(rates.A, plus=False),
        _ends(rates.ci95_A_block),
        Amount(rates.k, plus=False),
        _ends(rates.ci95_k_block),
    )


def _ends(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{significant(ends[0])} to {significant(ends[1])}"


def _numbers(fit: "PoissonFit") -> str:
    units = {"A": "1/s", "k": "1/tick", "se_k": "1/tick", "cov_logA_k": "1/tick", "pivot_delta": "ticks"}
    units |= {"lambda_at_pivot": "1/s", "exposure_s": "s", "n_fills": "fills", "n_blocks": "blocks", "loglik": "nats"}
    units |= {"min_delta_ticks": "ticks", "max_delta_ticks": "ticks", "tick_size": assets_of(fit.symbol or "")[1]}

    def named(*names: str) -> list[Row]:
        return [(name, _written(getattr(fit, name), escape(units.get(name, "")))) for name in names]

    return (
        table("Estimate", named("A", "k", "logA", "se_logA", "se_k", "cov_logA_k"))
        + table(
            "Fit",
            named("loglik", "deviance", "pearson_chi2", "df_resid", "goodness_p", "aic", "dispersion", "n_blocks"),
        )
        + table("Distance of smallest error", named("pivot_delta", "lambda_at_pivot", "se_log_lambda_at_pivot"))
        + table("Data", named("n_fills", "exposure_s", "min_delta_ticks", "max_delta_ticks", "tick_size"))
        + table("Choices", named("method", "fit_method", "reference", "hit", "status"))
    )


def _written(value: float | str | None, unit: str) -> str:
    if value is None or isinstance(value, str):
        return escape(value or "–")
    return number(value, 6) + (f" <small>{unit}</small>" if unit else "")


def further_cards(content: Mapping[str, Any], moves: Sequence["AdverseMove"]) -> list[str]:
    simulated = content.get("method", "marks") != "marks"
    pairs = [
        (_curves(content.get("alternatives"), content.get("n_blocks")), _moves(moves, simulated)),
        (_volatility(content.get("volatility") or {}), _spreads(content.get("by_spread") or [], simulated)),
    ]
    days, clusters = content.get("by_day") or [], content.get("clustering")
    single = [_decays(content)] if content.get("k_by_reference") else []
    single += ([clusters_card(clusters)] if clusters else []) + ([_days(days)] if days else [])
    return [pair(*cards) for cards in pairs] + single


def _decays(content: Mapping[str, Any]) -> str:
    by_reference = [(f"from the {name}", k) for name, k in content["k_by_reference"].items()]
    by_distance = [(f"up to {row['max_delta_ticks']:g} ticks", row["k"]) for row in content["k_by_max_delta"]]
    rows = [(name, Amount(k, plus=False)) for name, k in (*by_reference, *by_distance)]
    hint = (
        "Per tick. From marks, by reference price: sweep is the best price at an order's first print, which the "
        "displayed book shows late. From the fit's own reference, up to each distance: where these values "
        "differ by more than their errors, λ(δ) is not a single exponential."
    )
    return card("k by reference and by largest distance", hint, grid(("", "k, 1/tick"), rows))


def _curves(compared: Mapping[str, Any] | None, blocks: int | None) -> str:
    if not compared:
        return card("Other curves", "", nothing("There are too few fills to compare curves."))
    sentence = compared["sentence"]
    least = min(curve["aic"] for curve in compared["curves"])
    rows = [
        (
            curve["name"].replace("_", " "),
            Amount(curve["aic"] - least, plus=False),
            shown(from_error(curve["unseen"], curve["unseen_se"], blocks)),
        )
        for curve in compared["curves"]
    ]
    hint = f"{escape(sentence[:1].upper() + sentence[1:])}. Gains are over the exponential."
    heads = ("curve", "AIC, less the lowest", "nats per fill, out of sample")
    return card("Other curves", hint, grid(heads, rows))


def _moves(moves: Sequence["AdverseMove"], simulated: bool) -> str:
    hint = (
        f"Ticks that the mid moves against an order within {HORIZON_S} s of a fill at each distance, 95 % bars by "
        f"blocks; dashed: the distance itself. A fill above the dashed line loses on average."
    )
    hint += " Fills are hits of the marks, not fills of simulated orders." if simulated else ""
    return card("Adverse moves after fills", hint, chart(moves_figure(moves), "Too few fills to estimate the moves."))


def moves_figure(moves: Sequence["AdverseMove"]) -> Figure | None:
    rows = [row for row in moves if row.side == "both" and row.horizon_s == HORIZON_S and row.hits]
    shown = [row for row in rows if row.low_ticks is not None][:40]
    if not shown:
        return None
    delta = np.array([row.delta_ticks for row in shown])
    mean = np.array([row.mean_move_ticks for row in shown])
    low, high = (np.array([getattr(row, name) for row in shown], np.float64) for name in ("low_ticks", "high_ticks"))
    reach = float(max(3 * median(high), delta[min(3, len(delta) - 1)]))  # wide bars may extend beyond it
    tips = [
        f"{short(x)} ticks: {number(y)} (95 % {number(row.low_ticks)} to {number(row.high_ticks)}), {row.hits:,} fills"
        for x, y, row in zip(delta.tolist(), mean.tolist(), shown, strict=True)
    ]
    scale, far = figures.Scale(float(delta[-1])), float(delta[-1])
    same = np.linspace(0.0, far, 100)
    traces = [
        figures.line("the distance itself", scale.at(same), same, LOSS, line={"dash": "dash"}, hoverinfo="skip"),
        figures.points("move", scale.at(delta), mean, MAIN, ends=(low, high), tips=tips),
    ]
    y = {"range": list(figures.padded(min(0.0, float(mean.min())), reach))}
    x = figures.numbers_axis("distance, ticks", **scale.axis())
    return figures.chart(traces, x, title="Move of the mid", unit="ticks", y=y)


def _volatility(volatility: Mapping[str, Any]) -> str:
    steps = [point for point in volatility.get("signature", []) if point["variance_per_s"]]
    if not steps:
        return card("Volatility", "", nothing("The mid was never valid long enough."))
    ends = volatility.get("ci95_sigma")  # an earlier version wrote none
    within = f" ({number(ends[0])} to {number(ends[1])}, 95 % by half hours)" if ends else ""
    sigma_text = number(volatility["sigma_ticks_per_sqrt_s"]) + within
    hint = (
        f"Signature: ticks per √s by sampling step. Two-scale estimate, without bounce: {sigma_text}; a bounce of "
        f"{number(volatility['bounce_ticks'], 2)} ticks."
    )
    seconds = np.array([float(point["step_s"]) for point in steps])
    sigma = np.sqrt([float(point["variance_per_s"]) for point in steps])
    labels = seconds[np.append(True, np.diff(np.floor(np.log2(seconds))) > 0)].tolist()  # one a doubling
    x = {"type": "log", "tickvals": labels, "ticktext": [short(label) for label in labels]}
    tip = "sampled every %{x} s: %{y:.4~r} ticks per root second<extra></extra>"
    trace = figures.line("volatility", seconds, sigma, mode="lines+markers", hovertemplate=tip)
    axis = figures.numbers_axis("sampling step, seconds", **x)
    drawn = figures.chart([trace], axis, title="Volatility", unit="ticks per √s", y=figures.FROM_ZERO)
    return card("Volatility", hint, chart(drawn))


def _spreads(states: Sequence[Mapping[str, Any]], simulated: bool) -> str:
    hint = "The same fit on the time in which the spread had this width in ticks."
    if simulated:
        hint = (
            "From marks, whatever the method: every aggressive order in the time in which the spread had this width in "
            "ticks, not the fills of the simulated orders above."
        )
    if not states:
        return card("By spread", hint, nothing("No spread lasted long enough."))
    rows = [
        (
            _spread_range(state["from_ticks"], state["to_ticks"]),
            percent(state["share"]),
            Amount(state["A"], plus=False),
            Amount(state["k"], plus=False),
            f"{state['n_fills']:,.0f}",
            escape(state["status"]),
        )
        for state in states
    ]
    return card(
        "By spread",
        hint,
        grid(("ticks", "of the time", "A, 1/s", "k, 1/tick", "sweeps" if simulated else "fills", "status"), rows),
    )


def _spread_range(first: float, last: float | None) -> str:
    if first == last:
        return short(first)
    return f"{short(first)} to {'more' if last is None else short(last)}"


def clusters_card(clusters: Mapping[str, Any], within: str = "") -> str:
    if clusters["branching_ratio"] is None:
        return card("Clustering", within, nothing(f"Not fitted: {escape(clusters['reason'])}."))
    ks, plain = max(clusters["ks"].values()), max(clusters["ks_poisson"].values())
    orders = sum(clusters["n_events"].values())
    hint = (
        f"{within}Orders that one aggressive order excites on average, by the half-life of its effect. Branching ratio "
        f"{_excited(clusters['branching_ratio'], clusters['se_branching_ratio'], orders)}; Kolmogorov-Smirnov distance "
        f"of the rescaled waiting times {number(ks, 2)}, of Poisson flow {number(plain, 2)}."
    )
    ways = [(hit, by) for by in ("bid", "ask") for hit in ("bid", "ask")]
    rows = [
        (
            f"{number(kernel['half_life_s'], 3)} s",
            *(_excited(kernel["branching"][hit][by], kernel["se_branching"][hit][by], orders) for hit, by in ways),
        )
        for kernel in clusters["kernels"]
    ]
    heads = ("half-life", *(f"{hit}s after a hit {by}" for hit, by in ways))
    return card("Clustering", hint, grid(heads, rows) if rows else nothing("No order excites another."))


def _excited(value: float, error: float | None, orders: int) -> str:
    found = from_error(value, error, orders)
    return number(value, 2) + ("" if found.low is None else f" ± {number(value - found.low, 2)}")


def _days(days: Sequence[Mapping[str, Any]]) -> str:
    drawn = [name for name in ("A_shrunk", "k_shrunk") if any(day.get(name) is not None for day in days)]
    rows = [
        (
            day["day"],
            *(Amount(day[name], plus=False) for name in "Ak"),
            *(_drawn(day, name) for name in drawn),
            f"{day['n_fills']:,.0f}",
            escape(day["status"]),
        )
        for day in days
    ]
    hint = "A separate fit of each day."
    if drawn:
        hint += " Shrunk: drawn to the mean of all days, with its 95 % interval by blocks."
    units = {"A": "1/s", "k": "1/tick"}
    shrunk = (f"{name[0]}, shrunk, {units[name[0]]}" for name in drawn)
    names = ("day", "A, 1/s", "k, 1/tick", *shrunk, "fills", "status")
    return card("By day", hint, grid(names, rows))


def _drawn(day: Mapping[str, Any], name: str) -> Amount:
    ends = day[f"ci95_{name}"]
    return Amount(day[name], False, f"{{}} ({number(ends[0])} to {number(ends[1])})" if ends else "{}")
