"""The page of a fitted predictor: score and baselines, calibration, importance, and when not to use it."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mm.numbers import fixed, short
from mm.report.frame import About, card, document, grid, header, in_row, interval, minute, notes, origin, tile, tiles
from mm.report.svg import HALF, LEFT, RIGHT, TOP, Plot, bar, padded

HEIGHT, ROW = 300, 22
SHOWN = 12
"""Number of signals in the chart of importance."""
METRICS = {"r2": "R²", "log_loss": "log loss"}
WHAT = {
    "return": "the move of the mid, in ticks",
    "adverse": "the chance that the mid moves against a fill",
    "fill": "the chance that a resting order fills",
}
_UNITS = {"r2": "of the variance", "log_loss": "nats per sample"}


def predictor_page(content: Mapping[str, Any], about: About) -> str:
    """Return the page.

    Args:
        content: Content of ``model.json``.
        about: The run.
    """
    found = content["score"]
    where = f"{content['target']}: {WHAT[content['target']]}, over {content['horizon']:g} s, by {content['model']}"
    head = header(content["symbol"], ", ".join(content["days"]), escape(where))
    parts = [
        head,
        _tiles(content),
        notes(list(warnings(content)), "notes"),
        in_row(
            card("Calibration", _hint_of_calibration(content), calibration_chart(found["calibration"])),
            card("Difference from the best baseline", _hint_of_windows(found), windows_chart(found["windows"])),
        ),
        in_row(
            card(
                "Importance of signals",
                f"Loss of {METRICS[found['metric']]} out of sample, if a signal is shuffled.",
                importance_chart(found["importance"]),
            ),
            card("Score", "Out of sample: each window by a fit of earlier data.", _scores(found)),
        ),
        origin(about),
    ]
    return document(f"{content['symbol']} predictor of {content['target']}", parts)


def warnings(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the conditions under which the predictor should not be used, one sentence each."""
    found = content["score"]
    ends, windows = found["difference_ci95"], found["windows"]
    if ends is None:
        yield "Do not use it: the time is too short for an interval; there is no evidence that it beats its baselines."
    elif not content["usable"]:
        yield f"Do not use it: it does not beat {found['best_baseline']}; the interval of the difference reaches 0."
    worse = [window for window in windows if window["difference"] <= 0]
    if worse and content["usable"]:
        yield f"In {len(worse)} of {len(windows)} windows it was no better than {found['best_baseline']}."
    earned = found.get("trading")
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


def calibration_chart(bins: Sequence[Mapping[str, float]]) -> str:
    """Return the chart of mean outcome over mean prediction, in bins of equally many samples, with the diagonal."""
    low = min(min(one["predicted"], one["observed"]) for one in bins)
    high = max(max(one["predicted"], one["observed"]) for one in bins)
    span = padded(low, high)
    plot = Plot(HALF, HEIGHT, span, span)
    points = [
        plot.whisker(
            one["predicted"],
            one["observed"],
            (one["observed"], one["observed"]),
            "whisker buy",
            f"predicted {one['predicted']:.4g}, observed {one['observed']:.4g}, {one['samples']:,.0f} samples",
        )
        for one in bins
    ]
    corners = (
        float(plot.across(span[0])),
        float(plot.up(span[0])),
        float(plot.across(span[1])),
        float(plot.up(span[1])),
    )
    diagonal = '<path class="dash" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>'.format(*corners)
    axes = plot.value_axis() + plot.number_axis(short, most=6)
    return plot.picture(axes, diagonal, *points, title="mean outcome over mean prediction")


def windows_chart(windows: Sequence[Mapping[str, Any]]) -> str:
    """Return the chart of the difference from the best baseline in each window."""
    values = [window["difference"] for window in windows]
    plot = Plot(HALF, HEIGHT, (-0.6, len(values) - 0.4), padded(min(*values, 0.0), max(*values, 0.0)))
    width = 0.6 * (HALF - LEFT - RIGHT) / len(values)
    zero = float(plot.up(0.0))
    bars = []
    for place, (value, window) in enumerate(zip(values, windows, strict=True)):
        end = float(plot.up(value))
        when = f"{minute(window['begin_us'])} to {minute(window['end_us'])}"
        title = f"{when}: {fixed(value, 5)}, {window['samples']:,} samples"
        size = (width, abs(end - zero))
        kind = "gain" if value > 0 else "loss"
        bars.append(bar(float(plot.across(place)) - width / 2, min(end, zero), size, kind, title))
    begins = [minute(window["begin_us"])[-5:] for window in windows]
    return plot.picture(plot.value_axis(), *bars, plot.names(begins, 6), title="difference in each window")


def importance_chart(importance: Mapping[str, float]) -> str:
    """Return the chart of the importance of at most ``SHOWN`` signals, the most important first."""
    rows = sorted(importance.items(), key=lambda one: -one[1])[:SHOWN]
    low, high = min(0.0, *(value for _, value in rows)), max(0.0, *(value for _, value in rows))
    room, height = 190, TOP + ROW * len(rows) + 8
    scale = (HALF - room - RIGHT - 60) / ((high - low) or 1.0)
    marks = []
    for place, (name, value) in enumerate(rows):
        y = TOP + ROW * place
        zero = room + (0.0 - low) * scale
        left, width = min(zero, zero + value * scale), abs(value) * scale
        kind = "gain" if value > 0 else "loss"
        marks.append(f'<text class="tick end" x="{room - 8}" y="{y + 14}">{escape(name)}</text>')
        marks.append(bar(left, y + 3, (width, ROW - 8), kind, f"{name}: {fixed(value, 5)}"))
        marks.append(f'<text class="tick" x="{left + width + 6:.1f}" y="{y + 14}">{fixed(value, 4)}</text>')
    label = f'role="img" aria-label="{escape("importance of signals")}"'
    return f'<svg viewBox="0 0 {HALF} {height}" {label}>{"".join(marks)}</svg>'


def _tiles(content: Mapping[str, Any]) -> str:
    found = content["score"]
    verdict = ("usable", "gain") if content["usable"] else ("not usable", "loss")
    shown = [
        tile("Verdict", verdict[0], f"against {found['best_baseline']}, the best baseline", verdict[1]),
        tile(METRICS[found["metric"]], f"{found['value']:.5f}", f"{found['samples']:,} samples, out of sample"),
        tile(
            "Difference",
            fixed(found["difference"], 5),
            f"{interval(found['difference_ci95'], 3)}, {_UNITS[found['metric']]}",
            verdict[1],
        ),
    ]
    earned = found.get("trading")
    if earned and earned["trades"]:
        more = f"{earned['trades']:,} trades, net of half a spread"
        shown.append(
            tile("Trading on it", f"{fixed(earned['ticks'], 1)} ticks", more, "gain" if earned["ticks"] > 0 else "loss")
        )
    return tiles(*shown)


def _scores(found: Mapping[str, Any]) -> str:
    brier = found.get("brier")
    head = ["predictions of", METRICS[found["metric"]], *(["Brier score"] if brier else [])]
    rows = [["the predictor", f"{found['value']:.5f}", *([f"{brier['value']:.5f}"] if brier else [])]]
    for name, value in found["baselines"].items():
        rows.append([escape(name), f"{value:.5f}", *([f"{brier['baselines'][name]:.5f}"] if brier else [])])
    return grid(head, rows)


def _hint_of_calibration(content: Mapping[str, Any]) -> str:
    return f"Mean outcome over mean prediction, {WHAT[content['target']]}: ten bins of equally many samples."


def _hint_of_windows(found: Mapping[str, Any]) -> str:
    best = escape(found["best_baseline"])
    return f"{METRICS[found['metric']]}, difference from {best} in each window; above 0 is better."
