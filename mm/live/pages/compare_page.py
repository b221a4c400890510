"""The comparison of runs as a table for the terminal, and as one page."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from mm.backtest.metrics.bounds import BACK, FRONT
from mm.backtest.metrics.numbers import Summary
from mm.base.numbers import duration, number, percent, signed
from mm.clock import US_PER_S, iso
from mm.live.pages.compare import Agreement, RunComparison, RunData, RunFigures
from mm.report.figures import SERIES, Figure, Trace, step, time_axis
from mm.report.figures import chart as figure_of
from mm.report.frame import base_asset, card, chart, document, grid, header, notes, quote_asset, tile, tiles, zoom_bar

Cells = tuple[str, Callable[[RunFigures], str]]
HEIGHT = 240
_EQUITY = "Change since the start of the common time; equal lines overlap."


def _p(found: dict[str, float | None]) -> str:
    if found["p50"] is None:
        return "–"
    return " / ".join(number(found[name], 3) for name in ("p50", "p90", "p99")) + " ms"


def _bounds(run: RunFigures, key: str, text: Callable[[Any], str]) -> str:
    ends = [] if run.bounds is None else [run.bounds[name][key] for name in (BACK, FRONT)]
    return " to ".join("–" if end is None else text(end) for end in ends) or "–"


def half(ends: list[float] | None) -> str:
    return "" if ends is None else f" ± {number((ends[1] - ends[0]) / 2)}"


ROWS: tuple[Cells, ...] = (
    ("feed latency", lambda run: run.feed or "–"),
    ("decisions", lambda run: "–" if run.decisions is None else f"{run.decisions:,}"),
    ("orders placed", lambda run: f"{run.placed:,}"),
    ("rejected", lambda run: f"{sum(run.rejects.values()):,}"),
    ("quoting both sides", lambda run: percent(run.quoted_share["both"])),
    ("fills, buys + sells", lambda run: f"{run.fills['BUY']:,} + {run.fills['SELL']:,}"),
    ("quantity", lambda run: number(run.quantity)),
    ("of placed quantity", lambda run: percent(run.fill_ratio)),
    ("half-spread at the fill, ticks", lambda run: signed(run.half_spread_ticks, 3)),
    ("markout after 1 s, ticks", lambda run: signed(run.markout_ticks["1"], 3)),
    ("markout after 5 s, ticks", lambda run: signed(run.markout_ticks["5"], 3)),
    ("markout after 30 s, ticks", lambda run: signed(run.markout_ticks["30"], 3)),
    ("quoting PnL", lambda run: signed(run.pnl_quoting)),
    ("PnL of the account", lambda run: signed(run.pnl)),
    ("fees", lambda run: number(run.fees)),
    ("order to acceptance, 50 / 90 / 99 %", lambda run: _p(run.ack_ms)),
    ("cancel to effect, 50 / 90 / 99 %", lambda run: _p(run.cancel_ms)),
)
BOUNDS: tuple[Cells, ...] = (
    ("bounds of the whole run: quoting PnL", lambda run: _bounds(run, "pnl_quoting", signed)),
    ("bounds: fills, back to front", lambda run: _bounds(run, "n_fills", "{:,}".format)),
    ("bounds: share filled", lambda run: _bounds(run, "fill_ratio", percent)),
    ("bounds: markout after 5 s", lambda run: _bounds(run, "markout_5s", signed)),
    ("bounds: open, of the chosen PnL", lambda run: percent(run.open_share)),
)
AGREEMENT: tuple[tuple[str, Callable[[Agreement], str]], ...] = (
    ("equal rows of orders", lambda one: percent(one.equal_rows)),
    ("equal quotes, of seconds with both", lambda one: percent(one.equal_quotes)),
    ("distance of quotes, ticks", lambda one: number(one.quote_gap_ticks, 3)),
    ("only one of the two quotes", lambda one: percent(one.one_sided)),
    (
        "fills matched / missing / extra",
        lambda one: f"{one.matched_fills:,} / {one.unmatched_fills:,} / {one.extra_fills:,}",
    ),
    ("slippage of matched fills, ticks", lambda one: signed(one.slippage_ticks, 3)),
    ("fills difference", lambda one: f"{one.fills_difference:+,}{half(one.fills_ci95)}"),
    ("quoting PnL difference", lambda one: signed(one.pnl_difference) + half(one.pnl_ci95)),
)


def _rows(runs: Sequence[RunFigures]) -> list[list[str]]:
    told = (*ROWS, *BOUNDS) if any(run.bounds for run in runs) else ROWS
    rows = [[name, *(cell(run) for run in runs)] for name, cell in told]
    reasons = dict.fromkeys(reason for run in runs for reason in run.rejects)
    below = 1 + next(at for at, row in enumerate(rows) if row[0] == "rejected")
    rows[below:below] = [[f"– {reason}", *(f"{run.rejects.get(reason, 0):,}" for run in runs)] for reason in reasons]
    return rows


def comparison_text(found: RunComparison) -> str:
    head = ["", *(f"{run.kind} {run.run_id}" for run in found.runs)]
    second = [[name, "reference", *(cell(one) for one in found.agreement)] for name, cell in AGREEMENT]
    rows = [head, *_rows(found.runs), *second]
    wide_ = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, wide_, strict=True)).rstrip() for row in rows]
    seconds = (found.end_us - found.begin_us) / US_PER_S
    title = f"{found.symbol}, {iso(found.begin_us)} to {iso(found.end_us)} ({duration(seconds)})"
    return "\n".join([title, *lines, *said(found)])


def said(found: RunComparison) -> list[str]:
    lines = [f"{one.run_id}: {one.first_difference}" for one in found.agreement if one.first_difference]
    if found.explained:
        parts = ", ".join(f"{name} {signed(value)}" for name, value in found.explained.items())
        lines.append(f"quoting PnL from the trade to its replay: {signed(sum(found.explained.values()))} = {parts}")
    return [*lines, *(f"note: {note}" for note in found.notes)]


def comparison_page(found: RunComparison, runs: Sequence[RunData]) -> str:
    names = [f"{run.kind} {run.run_id}" for run in found.runs]
    span = f"{iso(found.begin_us)} – {iso(found.end_us)}, {duration((found.end_us - found.begin_us) / US_PER_S)}"
    gaps = [
        tile(
            escape(name),
            "–" if one.equal_quotes is None else percent(one.equal_quotes),
            f"equal quotes; {one.matched_fills:,} of {one.matched_fills + one.unmatched_fills:,} fills matched",
        )
        for name, one in zip(names[1:], found.agreement, strict=True)
    ]
    body = [
        header(found.symbol, " · ".join(dict.fromkeys(run.kind for run in found.runs)), escape(span)),
        tiles(tile("Reference", escape(names[0]), "the first run"), *gaps),
        notes(said(found)),
        *comparison_cards(found, runs),
    ]
    return document(f"{found.symbol} · comparison", body)


def comparison_cards(found: RunComparison, runs: Sequence[RunData]) -> list[str]:
    names = [f"{run.kind} {run.run_id}" for run in found.runs]
    terms = Summary.read({"symbol": found.symbol})
    base, quote = base_asset(terms), quote_asset(terms)
    figures = [[escape(cell) for cell in row] for row in _rows(found.runs)]
    agreement = [[escape(name), *(escape(cell(one)) for one in found.agreement)] for name, cell in AGREEMENT]
    return [
        card(
            "Equity",
            f"{_EQUITY} In {quote}.",
            zoom_bar() + chart(equity_figure(found, runs), "No run has a valid book."),
        ),
        card(
            "Numbers",
            f"Over the time that all runs cover. Money in {quote}, quantities in {base}.",
            grid(["", *names], figures),
        ),
        card("Against the reference", f"Differences of each run; money in {quote}.", grid(["", *names[1:]], agreement)),
    ]


def equity_figure(found: RunComparison, runs: Sequence[RunData]) -> Figure | None:
    traces = list[Trace]()
    for run, shown, colour in zip(runs, found.runs, SERIES, strict=False):
        us = np.asarray(run.columns.state["recv_us"], np.int64)
        equity = np.asarray(run.columns.state["equity"], np.float64)
        inside = (us >= found.begin_us) & (us <= found.end_us) & ~np.isnan(equity)
        if inside.any():
            name = escape(f"{shown.kind} {shown.run_id}")
            traces.append(step(name, us[inside], equity[inside] - equity[inside][0], colour))
    return figure_of(traces, time_axis(found.begin_us, found.end_us), HEIGHT) if traces else None
