"""The page of ``mm check lookahead``: the tests, the cuts on the day's mid, and each difference."""

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import changes
from mm.clock import iso
from mm.evaluate.run_comparison import OPENED, TESTS, Finding, Report
from mm.instrument import E8
from mm.report.frame import card, document, grid, header, minute, notes, nothing, tile, tiles
from mm.report.svg import WIDE, Plot, padded, steps
from mm.report.timeline import Line, Marks, Panel, TimelineAxis, script, timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

HEIGHT, CLOSE_MS = 280, 4_000.0


def lookahead_page(tape: "Tape", models: tuple[str, ...], report: Report) -> str:
    """Return the page.

    Args:
        tape: The day.
        models: The names of the quote model and of the fill model, or of the signal.
        report: The results of the tests.
    """
    failed = [test for test in report.played if report.failed(test)]
    played = sum(report.played.values())
    verdict = ("failed", ", ".join(failed), "loss") if failed else ("passed", "no difference before a cut", "gain")
    body = [
        header(tape.symbol, ", ".join(tape.days), f"look-ahead check of {' with '.join(map(escape, models))}"),
        tiles(
            tile("Verdict", *verdict),
            tile("Comparisons", f"{played:,}", f"{len(report.findings):,} of them differ"),
            tile("Cuts", f"{len(report.cuts):,}", "instants after which the tapes differ"),
        ),
        notes(report.notes, "notes"),
        card(
            "Tests",
            "Until two days differ, the orders and fills of a model, or the rows of a signal, must be the same.",
            _tests(report),
        ),
        _over_time(tape, report),
        card("Differences", "In orders, fills or signals, with the market at each.", _findings(report.findings)),
    ]
    return document(f"{tape.symbol} · look-ahead", body, script())


def _tests(report: Report) -> str:
    rows = []
    for test, what in TESTS.items():
        if test in report.played:
            bad = len(report.failed(test))
            of = "–" if test == OPENED else f"{report.played[test]:,}"
            verdict = f'<b class="{"loss" if bad else "gain"}">{"failed" if bad else "passed"}</b>'
            rows.append([f"{escape(test)}: {escape(what)}", of, f"{bad:,}", verdict])
    return grid(["test", "comparisons", "different", "verdict"], rows)


def _findings(findings: list[Finding]) -> str:
    def sentence(finding: Finding) -> str:
        cut = "" if finding.cut_us is None else f", on a day that differs from {iso(finding.cut_us)} on"
        return f"{finding.test}{cut}: {finding.message}"

    return notes([sentence(finding) for finding in findings], "why") or nothing("No differences.")


def _over_time(tape: "Tape", report: Report) -> str:
    """Return the chart of the day's mid with the cuts and the differences."""
    us, mid, tick = _mid(tape)
    known = mid[~np.isnan(mid)]
    if not len(known):
        return card("Cuts", "", nothing("The book was never valid."))
    differing = sorted((finding.us, finding.test) for finding in report.findings if finding.us is not None)
    cuts = sorted(report.cuts)
    points = [
        _marks("cut", "cross unsent", cuts, [iso(cut) for cut in cuts]),
        _marks("the model differs", "cross", [at for at, _ in differing], [test for _, test in differing]),
    ]
    points = [
        replace(marks, values=mid[np.clip(np.searchsorted(us, marks.us, side="right") - 1, 0, None)], unit=tick / 2)
        for marks in points
        if len(marks.us)
    ]
    at = np.append(changes(mid.view(np.int64)), len(us) - 1)
    line = Line("mid", "price", us[at], mid[at], tick / 2)
    x = (float(tape.start_us), float(max(tape.end_us, tape.start_us + 1)))
    plot = Plot(WIDE, HEIGHT, x, padded(float(known.min()), float(known.max())))
    drawn = [plot.marks(one.us.astype(np.float64), np.asarray(one.values), 1, one.kind, "cross") for one in points]
    price = plot.line(*steps(line.us, line.values), "price")
    picture = plot.picture(plot.value_axis(), plot.time_axis(), price, *drawn, title="Mid and cuts over time")
    panel = Panel("Mid and cuts", escape(tape.instrument.quote_asset), picture, HEIGHT, [line], marks=points)
    hint = f"{minute(int(x[0]))} – {minute(int(x[1]))} UTC. Drag to zoom; the buttons go from cut to cut."
    return card("Cuts", hint, timeline([panel], x, None, TimelineAxis(stop="cut", close_ms=CLOSE_MS)))


def _mid(tape: "Tape") -> tuple["NDArray[np.int64]", "NDArray[np.float64]", float]:
    """Return the instants of changes of the best prices, the mid from each on (NaN: none), and the tick."""
    us = tape.event_us[tape.top_event]
    first = max(0, int(np.searchsorted(us, tape.start_us, side="right")) - 1)
    bid, ask = tape.top_bid_ticks[first:], tape.top_ask_ticks[first:]
    tick = tape.instrument.tick_e8 / E8
    return np.maximum(us[first:], tape.start_us), np.where((bid > 0) & (ask > 0), (bid + ask) * tick / 2, np.nan), tick


def _marks(name: str, kind: str, at: list[int], labels: list[str]) -> Marks:
    """Return crosses at instants; their values are set later."""
    return Marks(name, kind, 1, np.array(at, dtype=np.int64), np.zeros(len(at)), 1.0, [(name, labels, 1.0)], "cross")
