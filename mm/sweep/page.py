"""``report.html`` of a sweep: the table, the grid as colours, and how much of the best point is luck."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.page.frame import About, card, document, grid, notes, nothing, origin, tile, wide
from mm.page.numbers import number, percent, signed
from mm.sweep import charts
from mm.sweep.outputs import SERIES, SWEEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 40  # rows of the table
NAMED = 5  # failed points that a note names
ENOUGH = 0.95  # a probability that is usually asked for
Content = Mapping[str, Any]


def page(folder: Path, about: About | None = None, record: Mapping[str, Any] | None = None) -> str:
    """Return the page of the sweep in *folder*.

    Args:
        folder: With ``sweep.json`` and the files beside it.
        about: The command and the knobs; None where they are not known.
        record: ``on_record`` of the run's summary: the trials of all sweeps of these days; None where it is not known.
    """
    content = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    start_us, columns, pnl = _series(folder / SERIES)
    symbol, days = escape(content["symbol"]), " to ".join(dict.fromkeys((content["days"][0], content["days"][-1])))
    head = f"<header><h1>{symbol} {days}<small>sweep of {content['points']:,} points</small></h1></header>"
    rows = content["rows"]
    parts = [
        head,
        _tiles(content),
        notes([*_cautions(content, record), *_failures(rows)], "notes"),
        _grid_cards(content),
        '<div class="pair">' + _halves_card(content) + _luck_card(content) + "</div>",
        _forward_card(content),
        _courses_card(content, start_us, columns, pnl),
        card("Every axis by itself", _EACH, charts.axes(rows, content["axes"], content["rank_by"])),
        _table_card(content),
        _words_card(content, record),
        _best_card(content),
        origin(about) if about else "",
    ]
    return document(f"{content['symbol']} {days} sweep", parts)


_EACH = "A dot is a point of the grid; the line joins the medians."


def _series(path: Path) -> "tuple[NDArray[np.float64], list[int], NDArray[np.float64]]":
    """Return begin of each period in µs, the points of the columns, and what they gained; empty without a file."""
    if not path.exists():
        return np.empty(0), [], np.empty((0, 0))
    lines = path.read_text(encoding="utf-8").splitlines()
    columns = [int(name.removeprefix("point_")) for name in lines[0].split(",")[1:]]
    values = np.array([line.split(",") for line in lines[1:]], dtype=np.float64).reshape(-1, len(columns) + 1)
    return values[:, 0] * 1e6, columns, values[:, 1:]


def _tiles(content: Content) -> str:
    best, ahead = content["best"], content["walkforward"]
    failed = f"{content['failed']} points failed" if content["failed"] else "no point failed"
    sharpe = None if best is None else best["sharpe"]
    deflated = None if best is None else best["deflated_sharpe"]
    shown = [
        tile("Different trials", f"{content['trials']:,}", failed),
        tile("Best Sharpe ratio", number(sharpe, 3), "of a year, as it was picked", _kind(sharpe)),
        tile("Luck of as many", number(content["expected_best_sharpe"], 3), "expected of the best worthless one"),
        tile("Deflated Sharpe", "–" if deflated is None else f"{deflated:.3f}", "chance that the best beats that luck"),
        tile("Overfitting", percent(content["pbo"]), "chance that the best is below the median later"),
        tile(
            "Chosen by the past",
            signed(None if ahead is None else ahead["pnl"], 3),
            "no choice"
            if ahead is None
            else f"anew after {ahead['block']}; best in hindsight {signed(ahead['pnl_of_the_best_in_hindsight'], 3)}",
            _kind(None if ahead is None else ahead["pnl"]),
        ),
    ]
    return f'<div class="tiles">{"".join(shown)}</div>'


def _kind(value: float | None) -> str:
    return "" if not value else "gain" if value > 0 else "loss"


def _grid_cards(content: Content) -> str:
    """Return the grid as maps of colours over its two axes with most values; a map for each choice of the others."""
    maps = charts.maps(content["rows"], content["axes"], content["rank_by"])
    hint = (
        f"Each cell is the {content['rank_by']} of a point; the best is framed. A lonely good cell is luck more often "
        "than skill."
    )
    return card("The grid", hint, maps) if maps else ""


def _halves_card(content: Content) -> str:
    correlation = content["halves_rank_correlation"]
    told = (
        ""
        if correlation is None
        else f" Rank correlation {number(correlation, 2)}: near 1 the order lasts, near 0 it is chance."
    )
    chart = charts.against(content["rows"], "sharpe_first_half", "sharpe_second_half", "Sharpe ratio in both halves")
    return card("First half, second half", f"Sharpe ratio of each point in both halves of the time.{told}", chart)


def _forward_card(content: Content) -> str:
    """Return each point in sample against walk-forward; empty without a schedule."""
    if not any("walkforward_sharpe" in row for row in content["rows"]):
        return ""
    rows = content["rows"]
    sharpe = charts.against(rows, "sharpe", "walkforward_sharpe", "Sharpe ratio, in sample and walk-forward")
    gain = charts.against(rows, "pnl_total", "walkforward_pnl_total", "PnL, in sample and walk-forward")
    said = (
        "Across with the fit of all days, upwards with fits of the past alone. Nothing is quoted before the first "
        "window is full, so the walk-forward is of less time."
    )
    cards = (
        card("Sharpe ratio, in sample and walk-forward", said, sharpe),
        card("PnL, in sample and walk-forward", "The same for what each point gained, in the quote asset.", gain),
    )
    return f'<div class="pair">{"".join(cards)}</div>'


def _cautions(content: Content, record: Mapping[str, Any] | None) -> list[str]:
    told = [line for line in content["warnings"] if not line.startswith("null: ")]
    beyond = None if record is None else record["best_deflated_sharpe"]
    if record is not None and beyond is not None and beyond < ENOUGH and record["trials"] > content["trials"]:
        told.append(
            f"over all {record['trials']:,} trials on record for these days the best one's deflated Sharpe is "
            f"{beyond:.3f}, less than the usual {ENOUGH}"
        )
    return told


def _failures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    failed = [row for row in rows if row["status"] != "ok"]
    more = [f"{len(failed) - NAMED} more points failed; see sweep.csv"] if len(failed) > NAMED else []
    return [f"point {row['point']} failed: {row['error']}" for row in failed[:NAMED]] + more


def _luck_card(content: Content) -> str:
    luck = number(content["expected_best_sharpe"], 3)
    hint = f"Sharpe ratios of the trials. Dashed: {luck}, what the best of as many worthless ones would show."
    return card("How good is the best", hint, charts.spread(content["rows"], content["expected_best_sharpe"]))


def _courses_card(
    content: Content, start_us: "NDArray[np.float64]", columns: Sequence[int], pnl: "NDArray[np.float64]"
) -> str:
    if len(start_us) < 2:
        return card("Over time", "", nothing("The runs share no grid of time."))
    best = None if content["best"] is None else content["best"]["point"]
    chosen = charts.Course.of(content, start_us, columns, pnl)
    hint = "PnL of every trial. Blue is the best one in hindsight"
    anew = "; orange is what is chosen anew by the past, from the first choice on" if chosen else ""
    return card("Over time", f"{hint}{anew}.", wide(charts.courses(start_us, pnl, columns, best, chosen)))


def _table_card(content: Content) -> str:
    rows = content["rows"]
    axes = [axis["name"] for axis in content["axes"]]
    forwarded = "walkforward_sharpe" in (rows[0] if rows else {})
    head = ["rank", "point", *axes, "Sharpe", "deflated", "PSR", "PnL", "fills", "drawdown", "1st half", "2nd half"]
    cells = [_cells(row, axes, forwarded) for row in rows[:SHOWN]]
    more = f" The first {SHOWN} of {len(rows):,}; all are in sweep.csv." if len(rows) > SHOWN else ""
    hint = f"Ordered by {content['rank_by']}.{more}"
    return card("Points", hint, grid([*head, *(("w.-f. Sharpe", "w.-f. PnL") if forwarded else ())], cells))


def _cells(row: Mapping[str, Any], axes: Sequence[str], forwarded: bool) -> list[str]:
    deflated, psr = (row[name] for name in ("deflated_sharpe", "psr"))
    cells = [
        "failed" if row["status"] != "ok" else number(row["rank"]),
        str(row["point"]),
        *(escape(row[axis] or "–") for axis in axes),
        number(row["sharpe"]),
        "–" if deflated is None else f"{deflated:.3f}",
        "–" if psr is None else f"{psr:.3f}",
        signed(row["pnl_total"]),
        number(row["n_fills"], 9),
        number(row["max_drawdown"]),
        number(row["sharpe_first_half"]),
        number(row["sharpe_second_half"]),
    ]
    if forwarded:
        cells += [number(row["walkforward_sharpe"]), signed(row["walkforward_pnl_total"])]
    return cells


def _words_card(content: Content, record: Mapping[str, Any] | None) -> str:
    told = [
        "The best of many trials looks good by luck alone, the better the more there were: what the best worthless one "
        "is expected to show is set against it. Bailey and López de Prado, 2014.",
        "Overfitting: the time is cut into blocks; each half of them picks its best trial, and the other half ranks "
        "it. The share of picks at the median or below. Bailey, Borwein, López de Prado and Zhu, 2017.",
        "Chosen by the past: after each block the trial that was best so far is taken for the next one. "
        "No further backtest is played for it, so a change of trial costs nothing here.",
    ]
    if record is not None:
        beyond = record["best_deflated_sharpe"]
        told.append(
            f"On record for these days are {record['trials']:,} different trials, of this sweep and earlier ones; over "
            f"all of them the deflated Sharpe of the best one here is {'–' if beyond is None else f'{beyond:.3f}'}."
        )
    if (worst := content["worst_case"]) is not None:
        chosen = ", ".join(f"{k} {v}" for k, v in worst.items() if k not in ("point", content["rank_by"]))
        told.append(
            f"Best in its worst case over all that is assumed: {chosen}, with a {content['rank_by']} of "
            f"{number(worst[content['rank_by']])} there."
        )
    return card("What these numbers say", "", notes(told, "why"))


def _best_card(content: Content) -> str:
    if content["best"] is None:
        return ""
    command = f"<pre>{escape(content['best']['command'])}</pre>"
    return card("The best point as a whole backtest", "With its own orders, fills and page.", command)
