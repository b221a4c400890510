"""The page of ``mm check lookahead``: the tests, the cuts on the day's mid, and each difference."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mm.clock import iso
from mm.instrument import E8
from mm.probes.run_comparison import OPENED, TESTS, Finding, Report
from mm.report.figures import LOSS, SOFT, Panel, ms, points, stacked, step, time_axis
from mm.report.frame import card, chart, document, grid, header, listed, minute, notes, nothing, tile, tiles, zoom_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

HEIGHT, CLOSE_S = 280, 4


def lookahead_page(tape: "Tape", models: tuple[str, ...], report: Report) -> str:
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
        notes([*report.notes, f"unseen: {'; '.join(report.unseen)}"]),
        card(
            "Tests",
            "Until two days differ, the orders and fills of a model, or the rows of a signal, must be the same.",
            _tests(report),
        ),
        _over_time(tape, report),
        card("Differences", "In orders, fills or signals, with the market at each.", _findings(report.findings)),
    ]
    return document(f"{tape.symbol} · look-ahead", body)


def _tests(report: Report) -> str:
    rows = []
    for test, what in TESTS.items():
        if test in report.played:
            bad = len(report.failed(test))
            of = "–" if test == OPENED else f"{report.played[test]:,}"
            verdict = f'<b class="{"loss" if bad else "gain"}">{"failed" if bad else "passed"}</b>'
            if report.is_note(test):
                verdict = "differs: a note"
            rows.append([f"{escape(test)}: {escape(what)}", of, f"{bad:,}", verdict])
    return grid(["test", "comparisons", "different", "verdict"], rows)


def _findings(findings: list[Finding]) -> str:
    def sentence(finding: Finding) -> str:
        cut = "" if finding.cut_us is None else f", on a day that differs from {iso(finding.cut_us)} on"
        return f"{finding.test}{cut}: {finding.message}"

    return listed([sentence(finding) for finding in findings], "why") or nothing("No differences.")


def _over_time(tape: "Tape", report: Report) -> str:
    us, mid = _mid(tape)
    if np.isnan(mid).all():
        return card("Cuts", "", nothing("The book was never valid."))
    differing = sorted((finding.us, finding.test) for finding in report.findings if finding.us is not None)
    cuts = sorted(report.cuts)
    kinds = (
        ("cut", SOFT, cuts, [f"cut at {iso(cut)}" for cut in cuts]),
        ("the model differs", LOSS, [at for at, _ in differing], [test for _, test in differing]),
    )
    traces = [step("mid", us, mid, SOFT, np.array(cuts, dtype=np.int64))]
    for name, colour, at, tips in kinds:
        if at:
            when = np.array(at, dtype=np.int64)
            values = mid[np.clip(np.searchsorted(us, when, side="right") - 1, 0, None)]
            mark = {"symbol": "x-thin", "size": 9, "line": {"color": colour, "width": 2}}
            traces.append(points(name, ms(when), values, colour, tips=tips, marker=mark, meta={"stop": True}))
    x = (float(tape.start_us), float(max(tape.end_us, tape.start_us + 1)))
    panel = Panel(f"Mid and cuts, {escape(tape.instrument.quote_asset)}", "", traces, HEIGHT)
    hint = f"{minute(int(x[0]))} – {minute(int(x[1]))} UTC. Drag to zoom; the buttons go from cut to cut."
    return card("Cuts", hint, zoom_bar("cut", CLOSE_S) + chart(stacked([panel], time_axis(*x))))


def _mid(tape: "Tape") -> tuple["NDArray[np.int64]", "NDArray[np.float64]"]:
    us = tape.event_us[tape.top_event]
    first = max(0, int(np.searchsorted(us, tape.start_us, side="right")) - 1)
    bid, ask = tape.top_bid_ticks[first:], tape.top_ask_ticks[first:]
    tick = tape.instrument.tick_e8 / E8
    return np.maximum(us[first:], tape.start_us), np.where((bid > 0) & (ask > 0), (bid + ask) * tick / 2, np.nan)
