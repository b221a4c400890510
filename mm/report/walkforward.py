"""The page of a walk-forward, and of a schedule: what was fitted, how it did on unseen data, what it earned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.clock import iso
from mm.errors import BrokenFile
from mm.numbers import number, short, signed
from mm.report.cards import data_card, honesty_card
from mm.report.charts import split_chart
from mm.report.course import Course, course
from mm.report.frame import About, Row, card, document, grid, notes, nothing, origin, table, tile, wide
from mm.report.run_columns import RunColumns, read_columns
from mm.report.walkforward_charts import distance_chart, earned, equity_chart, parameter_chart, rate_chart, ratio_chart
from mm.walkforward.out_of_sample import SegmentRows, read_segments

SCHEDULE, METRICS, UNSEEN, BACKTEST = "poisson_schedule.json", "window_metrics.csv", "oos_metrics.json", "backtest"
INSIDE = (("buy", "1 is inside the interval"), ("sell", "1 is outside"))
SOURCES = (("buy", "fitted"), ("sell", "carried or default"), ("off", "none: nothing is quoted"))
Content = Mapping[str, Any]


def page(
    folder: Path, about: About | None = None, honesty: Content | None = None, run: RunColumns | None = None
) -> str:
    """Return the page of the run in *folder* as HTML.

    Args:
        folder: With the schedule and its metrics; a walk-forward's has a backtest's folder, too.
        about: The command and the knobs, to print at the end.
        honesty: The honesty block, where it was played after the run.
        run: The columns of the backtest, where they need not be read from its files.

    Raises:
        BrokenFile: If a file of the run cannot be read.
    """
    about = about or About()
    schedule, unseen = _content(folder / SCHEDULE), _content(folder / UNSEEN)
    rows = read_segments(folder / METRICS)
    traded = (folder / BACKTEST).is_dir()
    kind = "walk-forward" if traded else "schedule"
    title = f"{schedule['symbol']} {schedule['day']}"
    summary = _content(folder / BACKTEST / "summary.json") if traded else None
    if summary is not None and honesty is not None:
        summary = {**summary, "honesty": honesty}
    body = [_header(schedule, kind), _tiles(rows, unseen, summary), _notes(rows, summary)]
    if not len(rows):
        body.append(card("Segments", "", nothing("No segment: the day is not longer than the training window.")))
    else:
        if traded and run is None:
            run = read_columns(folder / BACKTEST, schedule["symbol"])
        over = course(run) if run is not None and len(run.state["recv_us"]) else None
        if over is not None:
            rows = replace(rows, extent=(min(over.x[0], rows.x[0]), max(over.x[1], rows.x[1])))
        if summary is not None:
            body += _traded(summary, over, rows, about.folder)
        body += [*_fitted(rows), *_unseen(rows, unseen), _data(rows, summary, run), _table(rows, over)]
    return document(f"{title} · {kind}", [*body, origin(about)])


def _content(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); make the run anew") from error
    return found


def _header(schedule: Content, kind: str) -> str:
    train, step = (number(schedule[f"{name}_min"]) for name in ("train_window", "step"))
    return (
        f"<header><h1>{escape(str(schedule['symbol']))} <small>{escape(str(schedule['day']))}</small></h1>"
        f'<p class="sub">{kind}: windows of {train} min, every {step} min, '
        f"{escape(str(schedule['fallback_policy']))}</p></header>"
    )


def _tiles(rows: SegmentRows, unseen: Content, summary: Content | None) -> str:
    sources = rows.words["source"]
    used = unseen["modes"][unseen["mode"]]
    clock = unseen["time_rescaling"]
    foreseen = rows.numbers["test_expected"]
    seen = float(rows.numbers["test_fills"][~np.isnan(foreseen)].sum())
    ratio = seen / float(np.nansum(foreseen)) if np.nansum(foreseen) > 0 else None
    tiles = []
    if summary is not None:
        pnl, ends = summary["pnl_total"] or 0.0, summary["sharpe_ci95"]
        tiles += [
            tile(
                "PnL " + escape(summary["quote_asset"]),
                signed(summary["pnl_total"]),
                f"after {number(summary['fees'])} fees",
                "gain" if pnl > 0 else "loss" if pnl < 0 else "",
            ),
            tile(
                "Sharpe, annual",
                number(summary["sharpe"], 3),
                "no interval" if ends is None else f"95 %: {number(ends[0], 3)} to {number(ends[1], 3)}",
            ),
        ]
    else:
        tiles += [_spread(rows, "k", "k, 1/tick"), _spread(rows, "A", "A, 1/s")]
    tiles += [
        tile("Segments fitted", f"{sources.count('fitted')} of {len(rows)}", _others(sources)),
        tile("Hits over foreseen", number(ratio, 3), f"{seen:,.0f} hits on unseen data"),
        tile("Log-likelihood a hit", number(used["loglik_per_fill"]), f"unseen, {escape(unseen['mode'])} windows"),
        tile("Model's clock", number(clock["mean_wait"], 3), "1 where the model holds"),
    ]
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _spread(rows: SegmentRows, name: str, told: str) -> str:
    values = rows.numbers[name][~np.isnan(rows.numbers[name])]
    ends = f"from {number(float(values.min()), 3)} to {number(float(values.max()), 3)}" if len(values) else "none"
    return tile(f"{told}, median", number(_median(rows, name)), ends)


def _others(sources: Sequence[str]) -> str:
    counts = [(name, sources.count(name)) for name in ("carried", "default", "none")]
    return ", ".join(f"{count} {name}" for name, count in counts if count) or "none carried"


def _notes(rows: SegmentRows, summary: Content | None) -> str:
    warnings = [] if summary is None else [line for line in summary["warnings"] if not line.startswith(NULL)]
    if len(rows) and np.isnan(rows.numbers["A"]).all():
        status, reason = rows.words["status"][-1], rows.words["reason"][-1]
        warnings.append(f"no segment has parameters, so there is nothing to trade on; the last one: {status}, {reason}")
    low, high = (rows.numbers[f"test_ratio_{end}"] for end in ("low", "high"))
    off, told = int(np.count_nonzero((low > 1) | (high < 1))), int(np.count_nonzero(~np.isnan(low)))
    if told and off > 0.2 * told:
        warnings.append(
            f"{off} of {told} segments met a number of hits that their fit's 95 % interval does not allow; "
            "of a right model it would be one in twenty"
        )
    return notes(warnings, "notes")


def _traded(summary: Content, over: Course | None, rows: SegmentRows, folder: str) -> list[str]:
    quote = escape(summary["quote_asset"] or "quote asset")
    equity = card(
        "Equity",
        f"Change since the start, in {quote}; ticks are where a segment begins, bars what each earned.",
        nothing("There are no state rows.") if over is None else wide(equity_chart(over, rows)),
        (("off", "nothing is quoted"),),
    )
    named = ("n_orders", "n_fills", "predicted_fills", "fill_ratio", "two_sided_uptime", "max_drawdown", "psr")
    numbers: list[Row] = [(name, number(summary.get(name), 6)) for name in named]
    own = f"{BACKTEST}/report.html"
    numbers.append(("the backtest's own page", f'<a href="{escape(folder + own)}">{own}</a>'))
    return [
        equity,
        '<div class="pair">'
        + card("Where the PnL came from", f"In {quote}, from zero to the total.", split_chart(summary))
        + card("The backtest in numbers", "Names are those of its summary.json.", table("", numbers))
        + "</div>",
        honesty_card(summary),
    ]


def _fitted(rows: SegmentRows) -> list[str]:
    return [
        card(
            "k over the day",
            "Of each segment, in 1/tick, with the 95 % interval of its training; a segment trades on what ended "
            "before it began.",
            wide(parameter_chart(rows, "k")),
            SOURCES,
        ),
        card("A over the day", "Likewise, in 1/s.", wide(parameter_chart(rows, "A")), SOURCES),
    ]


def _unseen(rows: SegmentRows, unseen: Content) -> list[str]:
    modes = [
        (
            f"<b>{escape(mode)}</b>" if mode == unseen["mode"] else escape(mode),
            number(one["loglik_per_fill"]),
            "used" if mode == unseen["mode"] else _gain(one["gain_over_used"], one["se_gain"]),
            number(one["foreseen"]),
            number(one["ratio"], 3),
        )
        for mode, one in unseen["modes"].items()
    ]
    return [
        card(
            "Out of sample",
            "Hits seen over hits foreseen in each segment, exact 95 % Poisson intervals; its fit had not seen them.",
            wide(ratio_chart(rows)),
            INSIDE,
        ),
        card(
            "In sample and out of sample",
            "Hits an order-hour, blue in the segment and grey in the training window before it; far apart, the market "
            "moved on faster than the windows.",
            wide(rate_chart(rows)),
        ),
        '<div class="pair">'
        + card(
            "By distance",
            "Unseen hits over those foreseen, by distance in ticks: where the curve has the wrong shape.",
            distance_chart(unseen["by_delta"]),
            INSIDE,
        )
        + card(
            "Other windows on the same data",
            f"Over {unseen['segments_compared']} segments and {unseen['fills_compared']:,.0f} hits; above 0 is better "
            "than what was used.",
            grid(("mode", "log-lik. a hit", "beside used", "foreseen", "ratio"), modes),
        )
        + "</div>",
    ]


def _gain(gain: float | None, error: float | None) -> str:
    return signed(gain, 3) if error is None else f"{signed(gain, 3)} ± {number(error, 2)}"


def _data(rows: SegmentRows, summary: Content | None, run: RunColumns | None) -> str:
    reasons: dict[str, int] = {}
    for status, reason, source in zip(rows.words["status"], rows.words["reason"], rows.words["source"], strict=True):
        if source != "fitted":
            reasons[f"{status}: {reason}".strip(": ")] = reasons.get(f"{status}: {reason}".strip(": "), 0) + 1
    poor = sum(status != "ok" for status in rows.words["status"])
    fitted: list[Row] = [
        ("segments whose fit has a warning", f"{poor} of {len(rows)}"),
        ("oldest parameters used", _age(rows)),
        ("dispersion in training, median", number(_median(rows, "train_dispersion"))),
        ("hits in a training window, fewest", number(_least(rows, "n_fills"))),
        *((reason, f"{count} segments") for reason, count in reasons.items()),
    ]
    quality = card("Fits", "What the segments traded on.", table("", fitted))
    if summary is None or run is None:
        return quality
    return f'<div class="pair">{data_card(summary, run)}{quality}</div>'


def _age(rows: SegmentRows) -> str:
    ages = rows.numbers["age_s"]
    return "–" if np.isnan(ages).all() else f"{number(float(np.nanmax(ages)) / 60, 3)} min"


def _median(rows: SegmentRows, name: str) -> float | None:
    values = np.sort(rows.numbers[name][~np.isnan(rows.numbers[name])])
    return float(values[len(values) // 2]) if len(values) else None


def _least(rows: SegmentRows, name: str) -> float | None:
    values = rows.numbers[name]
    return None if np.isnan(values).all() else float(np.nanmin(values))


def _table(rows: SegmentRows, over: Course | None) -> str:
    pnl = None if over is None else earned(over, rows)
    head = ["from", "source", "A", "k", "hits in training", "hits seen", "foreseen", "ratio", "95 %"]
    cells = []
    for i in range(len(rows)):
        one = {name: float(column[i]) for name, column in rows.numbers.items()}
        ends = (
            "–"
            if np.isnan(one["test_ratio"])
            else f"{number(one['test_ratio_low'], 3)} to " + number(one["test_ratio_high"], 3)
        )
        row = [
            iso(int(one["start_us"]))[:16].replace("T", " "),
            escape(rows.words["source"][i]),
            *(number(one[name]) for name in ("A", "k")),
            short(one["n_fills"]) if not np.isnan(one["n_fills"]) else "–",
            number(one["test_fills"]),
            number(one["test_expected"]),
            number(one["test_ratio"], 3),
            ends,
        ]
        cells.append([*row, signed(float(pnl[i]), 3)] if pnl is not None else row)
    hint = "Names and more columns are those of window_metrics.csv."
    return card("All segments", hint, grid([*head, "PnL"] if pnl is not None else head, cells))
