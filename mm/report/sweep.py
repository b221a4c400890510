"""``report.html`` of a sweep: the table, heat maps of the grid, and the best point's selection bias."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mm.backtest.metrics.bounds import BACK, FRONT
from mm.backtest.metrics.ranking import tie_of
from mm.backtest.metrics.verdict import colour, words
from mm.backtest.run_terms import QUOTING_OWN_MARKET, quoting_of
from mm.backtest.summary_text import tried
from mm.base.arrays import Floats
from mm.base.numbers import number, percent, probability, signed
from mm.instrument import assets_of
from mm.report import figures
from mm.report.contents import SERIES, SWEEP, read_content
from mm.report.frame import (
    About,
    Amount,
    Cell,
    boxed,
    card,
    chart,
    document,
    grid,
    header,
    in_row,
    listed,
    notes,
    nothing,
    origin,
    texts_of,
    tile,
    tiles,
    zoom_bar,
)
from mm.report.sweep_charts import PointsChart, grid_figures, pnl_figure, rank_name

KEYS = ("axes", "rows", "rank_by", "best", "block_s", "assumptions", "independent_trials", "walkforward")
KEYS_OF_ROWS = ("point", "rank", "tied", "pnl_quoting", "pnl_hold", "pnl_lower95", "pnl_first_half")
Row = Mapping[str, Any]
Axis = Mapping[str, Any]
BESIDE = 6  # maximum columns of a map that fits next to another
FEWER = "Fewer than two points have both numbers."
SHOWN = 500  # rows of the table
FEW = 5  # rows of the table in a notebook
NAMED = 5  # failed points named in a note
ENOUGH = 0.95  # usual threshold of a probability
Content = Mapping[str, Any]


def heat_maps(rows: Sequence[Row], axes: Sequence[Axis], rank_by: str) -> str:
    every = grid_figures(rows, axes, rank_by)
    drawn = [f"<div>{f'<h3>{escape(title)}</h3>' if title else ''}{chart(figure)}</div>" for title, figure in every]
    narrow = len(drawn) > 1 and all(len(figure["data"][0]["x"]) <= BESIDE for _, figure in every)
    return in_row(*drawn, kind="halves" if narrow else "wholes")


def page(folder: Path, about: About | None = None, more: Sequence[str] = ()) -> str:
    content = read_sweep(folder)
    start_us, columns, pnl = read_series(folder / SERIES)
    days = " to ".join(dict.fromkeys((content["days"][0], content["days"][-1])))
    rows, rank_by = content["rows"], content["rank_by"]
    cautions = [line for line in content["warnings"] if not line.startswith("null: ")]
    # PnL has the sign relevant to a trader, whatever the ranking.
    points = PointsChart(rows, content["axes"], list(dict.fromkeys((rank_by, "pnl_quoting"))), _unit(content))
    parts = [
        header(content["symbol"], days, f"sweep of {content['points']:,} points{(about or About()).name}"),
        _tiles(content),
        notes([*more, *cautions, *_failures(rows)]),
        _search_card(content),
        _table_card(content),
        _grid_cards(content),
        in_row(_halves_card(content, points), _selection_card(content)),
        _forward_card(content, points),
        _pnl_card(content, start_us, columns, pnl),
        in_row(*points.axis_cards()),
        _words_card(content),
        _best_card(content),
        origin(about) if about else "",
    ]
    return document(f"{content['symbol']} {days} sweep", parts, about.plotly if about else "")


def read_sweep(folder: Path) -> dict[str, Any]:
    return read_content(folder / SWEEP, KEYS, KEYS_OF_ROWS)


def read_series(path: Path) -> tuple[Floats, list[int], Floats]:
    """Return periods' starts (µs), points of the columns, and PnL; empty without a file."""
    if not path.exists():
        return np.empty(0), [], np.empty((0, 0))
    lines = path.read_text(encoding="utf-8").splitlines()
    columns = [int(name.removeprefix("point_")) for name in lines[0].split(",")[1:]]
    values = np.array([line.split(",") for line in lines[1:]], dtype=np.float64).reshape(-1, len(columns) + 1)
    return values[:, 0] * 1e6, columns, values[:, 1:]


def _tiles(content: Content) -> str:
    best, ahead = content["best"], content["walkforward"]
    failed = f"{content['failed']} points failed" if content["failed"] else "no point failed"
    earned, own = (None, None) if best is None else (quoting_of(best), best["pnl_lower95"])
    chosen = None if best is None else best.get("pnl_lower95_chosen")
    judged, undone = (None if best is None else best.get(key) for key in ("verdict", "undone_by"))
    clear, told = colour(judged, undone), escape(words(judged, (best or {}).get("n_days", 1)))
    pnl, choices = None, "no choice"
    if ahead is not None:
        hindsight = signed(ahead["pnl_of_the_best_in_hindsight"], 3)
        pnl, choices = ahead["pnl"], f"in blocks of {ahead['block']}; best in hindsight {hindsight}"
    independent = f"{number(content['independent_trials'], 2)} independent; {failed}"
    why = "of the best; noise alone exceeds .95 in one sweep of twenty; the least over the fill assumptions"
    beyond, unit = "probability that the best is below the median out of sample", _unit(content)
    shown = [
        tile("Quoting PnL of the best", signed(earned, 4), "under its worst fill assumption", clear, unit),
        tile(
            "Lower bound of the chosen",
            signed(chosen, 4),
            f"{_bound(content)}; its own {signed(own, 4)}; its sum: {told}",
            clear,
            unit,
        ),
        *_bounds(best or {}, unit),
        tile(
            "Trials per assumption", f"{content.get('n_trials', content.get('trials')):,}", independent, unit="trials"
        ),
        tile("On these days", *_on_record(content, chosen), unit="trials"),
        tile("Deflated Sharpe", probability(content["deflated_sharpe"]), why),
        tile("Overfitting", percent(content["pbo"]), beyond),
        tile("Walk-forward choice", signed(pnl, 3), choices, unit=unit),
    ]
    return tiles(*shown)


def _bounds(best: Mapping[str, Any], unit: str) -> list[str]:
    ends = [best["bounds"][name]["pnl_quoting"] for name in (BACK, FRONT)] if best.get("bounds") else []
    if not ends or None in ends:
        return []
    back, front = (signed(end, 3) for end in ends)
    return [tile("Bounds of the chosen", f"{back} to {front}", "from the back of every queue to the front", unit=unit)]


def _unit(content: Content) -> str:
    return escape(assets_of(content.get("symbol", ""))[1])


def _on_record(content: Content, chosen: float | None) -> tuple[str, str]:
    trials = content.get("trials")
    if not isinstance(trials, Mapping):  # of a version that kept no ledger
        return "–", "no ledger"
    return f"{trials['on_these_days']:,}", escape(tried(trials, chosen))


def _bound(content: Content) -> str:
    block = content["block_s"]
    return "mean PnL per block, 95 %" if block is None else f"mean PnL per {block // 60} min, 95 %"


def _grid_cards(content: Content) -> str:
    maps = heat_maps(content["rows"], content["axes"], content["rank_by"])
    hint = (
        f"Each cell is the {rank_name(content['rank_by'])} of a point; the best is framed. A good cell between bad "
        "ones is chance more often than skill."
    )
    return card("The grid", hint, maps) if maps else ""


def _search_card(content: Content) -> str:
    searched = content.get("search")
    if searched is None:
        return ""
    history = searched["history"]
    known = [(row["design"], row["worth"]) for row in history if row["worth"] is not None]
    number_of, worth = np.array(known, np.float64).reshape(-1, 2).T
    best = (np.minimum if content["rank_by"].startswith("max_drawdown") else np.maximum).accumulate(worth)
    names = [name for name in history[0] if name not in ("design", "worth", "stopped")]
    texts = {row["design"]: ", ".join(f"{name} {row[name]}" for name in names) for row in history}
    tips = [f"design {int(at)}: {texts[int(at)]}: {signed(value)}" for at, value in zip(number_of, worth, strict=True)]
    drawn = figures.chart(
        [
            figures.points("design", number_of, worth, figures.MAIN, tips=tips),
            figures.line("best so far", number_of, best, figures.GAIN, line={"shape": "hv"}),
        ],
        figures.numbers_axis("design"),
        200,
    )
    head = ("design", *names, "a day in the search", "a day held out")
    rows: list[Sequence[Cell]] = [
        (
            str(row["design"]),
            *(escape(row[name]) for name in names),
            Amount(row["pnl_per_day"]),
            Amount(row["held_out_pnl_per_day"]),
        )
        for row in searched["held_out"]
    ]
    held = searched["held_out_days"]
    span = " to ".join(dict.fromkeys((held[0], held[-1]))) if held else ""
    beyond = f"Held out: {escape(span)}." if held else "No day was held out: the result is in-sample."
    hint = (
        f"The {rank_name(content['rank_by'])} of each design under its worst assumption, in the order of the search; "
        f"{searched['stopped']} of {searched['designs']} were given up after the first day. {beyond}"
    )
    return card("The search", hint, chart(drawn) + (grid(head, rows) if rows else ""))


def _halves_card(content: Content, points: PointsChart) -> str:
    correlation = content["halves_rank_correlation"]
    order = (
        ""
        if correlation is None
        else f" Rank correlation {number(correlation, 2)}: near 1 the ranking is stable, near 0 it is chance."
    )
    names = "in the first half", "PnL in the second half"
    figure = points.compare("pnl_first_half", "pnl_second_half", names)
    hint = f"Quoting PnL of each point in both halves; the line is where they are equal.{order}"
    return card("First half, second half", hint, chart(figure, FEWER))


def _forward_card(content: Content, points: PointsChart) -> str:
    if not any("walkforward_pnl_quoting" in row for row in content["rows"]):
        return ""
    names = ("in sample", "PnL, walk-forward")
    gain = points.compare("pnl_quoting", "walkforward_pnl_quoting", names)
    hint = (
        "Quoting PnL: across with the fit of all days, upwards with fits of past data only. Nothing is quoted before "
        "the first window is full, so the walk-forward covers less time."
    )
    return card("PnL, in sample and walk-forward", hint, chart(gain, FEWER))


def _failures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    failed = [row for row in rows if row["status"] != "ok"]
    more = [f"{len(failed) - NAMED} more points failed; see sweep.csv"] if len(failed) > NAMED else []
    return [f"point {row['point']} failed: {row['error']}" for row in failed[:NAMED]] + more


def _selection_card(content: Content) -> str:
    names = [axis["name"] for axis in content["axes"] if axis["name"] in (content["assumptions"] or [{}])[0]]
    shown = names or ["FILL_MODEL"]
    cells = [
        [
            *(escape(row[name] or "–") for name in shown),
            number(row["trials"], 9),
            number(row["independent_trials"], 2),
            probability(row["deflated_sharpe"]),
            percent(row["pbo"]),
        ]
        for row in content["assumptions"]
    ]
    hint = "The best is compared with the expected best of as many trials without skill, within each fill assumption."
    head = [*shown, "trials", "independent", "deflated", "overfitting"]
    return card(
        "Selection bias of the best", hint, grid(head, cells, "listing") if cells else nothing("No point has a result.")
    )


def _pnl_card(content: Content, start_us: Floats, columns: Sequence[int], pnl: Floats) -> str:
    if len(start_us) < 2:
        return card("Over time", "", nothing("The runs have no common time grid."))
    ahead = "; orange is the choice from past data only, from the first choice on" if content["walkforward"] else ""
    hint = f"PnL of every trial. Blue is the best one in hindsight{ahead}."
    return card("Over time", hint, zoom_bar() + chart(pnl_figure(content, start_us, columns, pnl)))


def findings_card(content: Content) -> str:
    return boxed(_tiles(content) + _table_card(content, FEW))


COLUMNS: Sequence[tuple[str, Callable[[Row], Cell]]] = (
    ("lower bound", lambda row: Amount(row["pnl_lower95"])),
    ("tied", tie_of),
    ("PnL", lambda row: Amount(quoting_of(row))),
    ("of the hold", lambda row: Amount(row["pnl_hold"])),
    ("fills", lambda row: number(row["n_fills"])),
    ("drawdown", lambda row: Amount(row.get("max_drawdown_all_legs", row["max_drawdown"]), plus=False)),
    ("deflated", lambda row: probability(row["deflated_sharpe"])),
    ("1st half", lambda row: Amount(row["pnl_first_half"])),
    ("2nd half", lambda row: Amount(row["pnl_second_half"])),
)
MONEY = ("lower bound", "PnL", "of the hold", "drawdown", "1st half", "2nd half", "own market", "w.-f. PnL")
FORWARDED = ("w.-f. PnL", lambda row: Amount(row["walkforward_pnl_quoting"]))


def points_table(content: Content, most: int, left_out: str = "") -> list[list[str]]:
    columns = (
        [str(name), *texts_of(cells)] for name, *cells in zip(*points_cells(content, most, left_out), strict=True)
    )
    return list(map(list, zip(*columns, strict=True)))


def points_cells(content: Content, most: int, left_out: str = "") -> list[list[Cell]]:
    rows, axes = content["rows"], [axis["name"] for axis in content["axes"]]
    columns = [column for column in COLUMNS if column[0] != left_out]
    own = ("own market", lambda row: Amount(row[QUOTING_OWN_MARKET]))
    columns += [own] if rows and QUOTING_OWN_MARKET in rows[0] else []
    columns += [FORWARDED] if rows and "walkforward_pnl_quoting" in rows[0] else []
    columns += [(name, _symbol_pnl(key)) for name, key in _of_symbols(content).items()] if rows else []
    table: list[list[Cell]] = [["rank", "point", *axes, *(title for title, _ in columns)]]
    for row in rows[:most]:
        rank = "failed" if row["status"] != "ok" else number(row["rank"])
        cells = (row[axis] or "–" for axis in axes)
        table.append([rank, str(row["point"]), *cells, *(text(row) for _, text in columns)])
    return table


def _of_symbols(content: Content) -> dict[str, str]:
    keys = {symbol: f"pnl_quoting_{symbol}" for symbol in content.get("symbol", "").split("+")}
    return {symbol: key for symbol, key in keys.items() if any(key in row for row in content["rows"])}


def _symbol_pnl(key: str) -> Callable[[Row], Cell]:
    return lambda row: Amount(row.get(key))


def _bound_first(row: list[Cell], at: int) -> list[Cell]:
    """Move the lower bound from behind the axes beside the rank, where a phone shows it."""
    rank, *rest = row
    return [rank, rest.pop(at - 1), *rest]


def _table_card(content: Content, most: int = SHOWN) -> str:
    rows = content["rows"]
    table = points_cells(content, most)
    names, *cells = (_bound_first(row, table[0].index("lower bound")) for row in table)
    unit = _unit(content)
    money = (*MONEY, *_of_symbols(content))
    head = [f"{name}, {unit}" if unit and name in money else str(name) for name in names]
    more = f" The first {most} of {len(rows):,}; all are in sweep.csv." if len(rows) > most else ""
    sorts = "; click on a head to sort" if most > FEW else ""  # notebooks run no scripts
    hint = (
        f"Designs by {rank_name(content['rank_by'])} under their worst fill assumption{sorts}. "
        f"Lower bound: {_bound(content)}. "
        f"Tied: not told apart from the first design, with all pairs of designs at 95 % at once.{more}"
    )
    return card(
        "Points",
        hint,
        grid(head, [[escape(cell) if isinstance(cell, str) else cell for cell in row] for row in cells], "listing"),
    )


def _words_card(content: Content) -> str:
    lines = [
        "The best of many trials looks good by selection alone, and better the more trials there are: it is compared "
        "with the expected best of as many trials without skill. Bailey and López de Prado, 2014.",
        "Overfitting: the time is cut into blocks; each half of them picks its best trial, and the other half ranks "
        "it. Shown is the share of picks at the median or below. Bailey, Borwein, López de Prado and Zhu, 2017.",
        "Walk-forward choice: after each block the trial that was best so far is used for the next one. "
        "No further backtest is played for it, so a change of trial costs nothing here.",
    ]
    if (worst := content["worst_case"]) is not None:
        chosen = ", ".join(f"{k} {v}" for k, v in worst.items() if k not in ("point", content["rank_by"]))
        lines.append(
            f"Best worst case over all assumptions: {chosen}, with a {rank_name(content['rank_by'])} of "
            f"{number(worst[content['rank_by']])} there."
        )
    return card("How to read these numbers", "", listed(lines, "why"))


def _best_card(content: Content) -> str:
    if content["best"] is None:
        return ""
    command = f"<pre>{escape(content['best']['command'])}</pre>"
    return card("The best point as a whole backtest", "With its own orders, fills and page.", command)
