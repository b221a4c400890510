"""The page of a predictor: score and baselines, calibration, importance, and when not to use it."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mm.base.numbers import fixed, number, sign_of, signed
from mm.instrument import assets_of
from mm.predict.scoring import PNL_HINT
from mm.report import figures
from mm.report.figures import BUY, LOSS, Figure
from mm.report.frame import (
    About,
    card,
    chart,
    document,
    grid,
    header,
    in_row,
    interval,
    kind_of,
    minute,
    notes,
    origin,
    tile,
    tiles,
)

HEIGHT, ROW = 260, 24
SHOWN = 12
"""Number of signals in the chart of importance."""
METRICS = {"r2": "R²", "log_loss": "log loss"}
WHAT = {
    "return": "the move of the mid, in ticks",
    "adverse": "the chance that the mid moves against a fill",
    "fill": "the chance that a resting order fills",
}
_SHORT = {"r2": "", "log_loss": "nats"}
_UNITS = {"r2": "of the variance", "log_loss": "nats per sample"}


def predictor_page(content: Mapping[str, Any], about: About) -> str:
    score = content["score"]
    where = f"{content['target']}: {WHAT[content['target']]}, over {content['horizon']:g} s, by {content['model']}"
    head = header(content["symbol"], ", ".join(content["days"]), escape(where))
    bins = f"Mean outcome over mean prediction, {WHAT[content['target']]}: ten bins of equally many samples."
    metric, best = METRICS[score["metric"]], escape(score["best_baseline"])
    pnl = score.get("pnl")
    money = f" PnL per {pnl['per']}: {PNL_HINT[pnl['per']]}." if pnl else ""
    parts = [
        head,
        _tiles(content),
        notes(list(warnings(content))),
        in_row(
            card("Calibration", bins, chart(calibration_figure(score["calibration"]))),
            card(
                "Difference from the best baseline",
                f"{metric}, difference from {best} in each window; above 0 is better.",
                chart(windows_figure(score["windows"])),
            ),
        ),
        in_row(
            card(
                "Importance of signals",
                f"Loss of {metric} out of sample, if a signal is shuffled.",
                chart(importance_figure(score["importance"])),
            ),
            card(
                "Score",
                f"Out of sample: each window by a fit of earlier data.{money}",
                _scores(score, assets_of(content["symbol"])[1]),
            ),
        ),
        origin(about),
    ]
    return document(f"{content['symbol']} predictor of {content['target']}", parts, about.plotly)


def warnings(content: Mapping[str, Any]) -> Iterator[str]:
    score = content["score"]
    ends, windows = score["difference_ci95"], score["windows"]
    if ends is None:
        yield "Do not use it: the time is too short for an interval; there is no evidence that it beats its baselines."
    elif not content["usable"]:
        yield f"Do not use it: it does not beat {score['best_baseline']}; the interval of the difference reaches 0."
    worse = [window for window in windows if window["difference"] <= 0]
    if worse and content["usable"]:
        yield f"In {len(worse)} of {len(windows)} windows it was no better than {score['best_baseline']}."
    earned = score.get("trading")
    if earned and earned["trades"] and earned["ticks"] <= 0:
        ticks, trades = fixed(earned["ticks"], 1), earned["trades"]
        yield f"Trading on its predictions loses money: {ticks} ticks in {trades:,} trades, net of half a spread."
    if earned and not earned["trades"]:
        yield "It never predicts a move beyond half a spread: it may improve quotes, but gives no trades of its own."
    if content["target"] == "fill":
        far = content["distances_ticks"]
        yield (
            f"It was fitted from {min(far):g} to {max(far):g} ticks from the mid; other distances are extrapolated. "
            "A print at the price counts as a fill: behind other orders in the queue, fills are fewer."
        )
    yield (
        f"It is valid for {content['symbol']} at a tick of {content['tick']}; on the days above its predictions are "
        "not out of sample."
    )


def calibration_figure(bins: Sequence[Mapping[str, float]]) -> Figure:
    x, y = ([row[name] for row in bins] for name in ("predicted", "observed"))
    span = list(figures.padded(min(*x, *y), max(*x, *y)))
    tips = [
        f"predicted {row['predicted']:.4g}, observed {row['observed']:.4g}, {row['samples']:,.0f} samples"
        for row in bins
    ]
    same = figures.line("equal", span, span, LOSS, line={"dash": "dash"}, hoverinfo="skip")
    traces = [same, figures.points("bins", x, y, BUY, tips=tips)]
    axis = {"range": span, "title": {"text": "mean outcome"}}
    return figures.chart(traces, figures.numbers_axis("mean prediction", range=span), HEIGHT, y=axis)


def windows_figure(windows: Sequence[Mapping[str, Any]]) -> Figure:
    values = [window["difference"] for window in windows]
    tips = [
        f"{minute(window['begin_us'])} to {minute(window['end_us'])}: {fixed(value, 5)}, {window['samples']:,} samples"
        for value, window in zip(values, windows, strict=True)
    ]
    names = [minute(window["begin_us"])[5:] for window in windows]
    bars = figures.bars("difference", list(range(len(values))), values, figures.MAIN, tips)
    every = max(1, len(names) // 8)
    x = {"tickvals": list(range(0, len(names), every)), "ticktext": names[::every]}
    return figures.chart([bars], x, HEIGHT, y=figures.FROM_ZERO)


def importance_figure(importance: Mapping[str, float]) -> Figure:
    rows = sorted(importance.items(), key=lambda pair: -pair[1])[:SHOWN]
    names, values = [name for name, _ in rows], [value for _, value in rows]
    tips = [f"{name}: {fixed(value, 5)}" for name, value in rows]
    trace = figures.bars("importance", values, names, figures.MAIN, tips, orientation="h")
    y = {"autorange": "reversed", "tickmode": "linear"}  # every name
    return figures.chart([trace], figures.numbers_axis(""), ROW * len(rows) + 10, y=y)


def _tiles(content: Mapping[str, Any]) -> str:
    score = content["score"]
    verdict = ("usable", "gain") if content["usable"] else ("not usable", "loss")
    shown = [
        tile("Verdict", verdict[0], f"against {score['best_baseline']}, the best baseline", verdict[1]),
        tile(
            METRICS[score["metric"]].capitalize(),
            f"{score['value']:.5f}",
            f"{score['samples']:,} samples, out of sample",
            unit=_SHORT[score["metric"]],
        ),
        tile(
            "Difference",
            fixed(score["difference"], 5),
            f"{interval(score['difference_ci95'], 3)}, {_UNITS[score['metric']]}",
            verdict[1],
        ),
    ]
    pnl = score.get("pnl")
    if pnl:
        more = f"{interval(pnl['difference_ci95'], 3)}, beyond {score['best_baseline']}, before fees"
        kind = kind_of(sign_of(*(pnl["difference_ci95"] or (None, None))))
        asset = assets_of(content["symbol"])[1]
        shown.append(tile(f"PnL per {pnl['per']}", signed(pnl["difference"], 3), more, kind, asset))
    earned = score.get("trading")
    if earned and earned["trades"]:
        more = f"{earned['trades']:,} trades, net of half a spread"
        shown.append(tile("Trading on it", f"{fixed(earned['ticks'], 1)} ticks", more))
    return tiles(*shown)


def _scores(score: Mapping[str, Any], asset: str) -> str:
    brier, pnl = score.get("brier"), score.get("pnl")
    head = ["predictions of", METRICS[score["metric"]]]
    columns = [[f"{value:.5f}" for value in (score["value"], *score["baselines"].values())]]
    if brier:
        head.append("Brier score")
        columns.append([f"{value:.5f}" for value in (brier["value"], *brier["baselines"].values())])
    if pnl:
        head.append(f"PnL per {pnl['per']}, {asset}")
        columns.append([number(value) for value in (pnl["value"], *pnl["baselines"].values())])
    names = ["the predictor", *map(escape, score["baselines"])]
    return grid(head, list(zip(names, *columns, strict=True)))
