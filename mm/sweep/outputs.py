"""The files of a sweep's run folder, and its table on the terminal."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from mm.clock import US_PER_S
from mm.page.numbers import number, signed
from mm.sweep.findings import Findings, Luck, Row
from mm.sweep.panel import Panel

SWEEP, TABLE, POINTS, SERIES = "sweep.json", "sweep.csv", "points.ndjson", "pnl_60s.csv"
SHOWN = 20  # rows on the terminal
_COLUMNS = (
    ("sharpe", "Sharpe"),
    ("deflated_sharpe", "deflated"),
    ("pnl_total", "PnL"),
    ("n_fills", "fills"),
    ("max_drawdown", "drawdown"),
    ("sharpe_first_half", "1st half"),
    ("sharpe_second_half", "2nd half"),
)
_FORWARDED = (("walkforward_sharpe", "w.-f. Sharpe"), ("walkforward_pnl_total", "w.-f. PnL"))


def write(folder: Path, found: Findings, head: dict[str, Any]) -> dict[str, int | None]:
    """Write the files of a sweep but its page; return the rows of each, None where it is no table.

    Args:
        folder: The run's.
        found: What goes into them.
        head: What ``sweep.json`` begins with (symbol, days).
    """
    text = json.dumps({**head, **found.content}, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / SWEEP).write_text(text + "\n", encoding="utf-8")
    (folder / TABLE).write_text(as_csv(found.rows), encoding="utf-8")
    (folder / POINTS).write_text("".join(map(_line, found.points)), encoding="utf-8")
    rows: dict[str, int | None] = {SWEEP: None, TABLE: len(found.rows), POINTS: None}
    if found.panel is not None:
        (folder / SERIES).write_text(_series(found.panel, found.columns), encoding="utf-8")
        rows[SERIES] = len(found.panel.pnl)
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    """Return *rows* as a CSV file; what is not defined is empty."""
    text = StringIO()
    if rows:
        table = csv.DictWriter(text, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return text.getvalue()


def _line(one: Any) -> str:
    outcome = {name: value for name, value in one.outcome.items() if name in ("summary", "error", "traceback")}
    more = {} if one.forwarded is None else {"walkforward": {k: v for k, v in one.forwarded.items() if k != "series"}}
    return (
        json.dumps({"point": one.number, **one.texts, "digest": one.trial, **outcome, **more}, allow_nan=False) + "\n"
    )


def _series(panel: Panel, columns: Sequence[int]) -> str:
    """Return the PnL of each different trial over each 60 s, a column for the point that stands for it."""
    lines = [",".join(["start_s", *(f"point_{number}" for number in columns)])]
    for start_us, values in zip(panel.start_us.tolist(), panel.pnl.tolist(), strict=True):
        lines.append(",".join([f"{start_us / US_PER_S:.6f}", *map(repr, values)]))
    return "\n".join(lines) + "\n"


def table(found: Findings) -> list[str]:
    """Return the ranked table for a terminal, a line for each row; the last ones of many are left out."""
    axes = [axis["name"] for axis in found.content["axes"]]
    forwarded = _FORWARDED if any(name in (found.rows or [{}])[0] for name, _ in _FORWARDED) else ()
    columns = (*_COLUMNS, *forwarded)
    cells = [["rank", "point", *axes, *(title for _, title in columns)]]
    for row in found.rows[:SHOWN]:
        rank = _cell("rank", row["rank"]) if row["status"] == "ok" else row["status"]
        chosen = [row[axis] or "–" for axis in axes]
        cells.append([rank, str(row["point"]), *chosen, *(_cell(name, row[name]) for name, _ in columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    hidden = len(found.rows) - SHOWN
    return [*lines, f"… {hidden} more in {TABLE}"] if hidden > 0 else lines


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name == "deflated_sharpe":
        return f"{value:.3f}"
    return signed(value) if "pnl" in name else number(value)


def words(found: Findings, record: Luck) -> list[str]:
    """Return what stands below the table: how much of the best row is luck, and what choosing by the past came to.

    Args:
        found: What the sweep found.
        record: All trials that were ever played on these days, this sweep's among them.
    """
    content, lines = found.content, []
    best, trials = content["best"], content["trials"]
    lines.append(
        f"{trials} different trials; the best of as many worthless ones would show a Sharpe ratio of "
        f"{number(content['expected_best_sharpe'])}"
    )
    if record.trials > trials and best is not None:
        deflated = record.deflated(summary_of(found, best))
        lines.append(
            f"{record.trials} trials on record for these days, this sweep's among them: over all of them the best "
            f"one's deflated Sharpe is {'–' if deflated is None else f'{deflated:.3f}'}"
        )
    if content["pbo"] is not None:
        lines.append(f"probability of backtest overfitting: {content['pbo']:.2f}")
    if (ahead := content["walkforward"]) is not None:
        lines.append(
            f"chosen anew after {ahead['block']}, by the past alone: PnL {signed(ahead['pnl'])}; the best in hindsight "
            f"{signed(ahead['pnl_of_the_best_in_hindsight'])}, the median point {signed(ahead['pnl_of_the_median'])}"
        )
    if (worst := content["worst_case"]) is not None:
        lines.append(_worst(worst, content["rank_by"]))
    return [*lines, *(f"note: {line}" for line in content["warnings"] if not line.startswith("null: "))]


def _worst(worst: Row, rank_by: str) -> str:
    chosen = " ".join(f"{name}={value}" for name, value in worst.items() if name not in ("point", rank_by))
    return f"best in its worst case: {chosen}, {rank_by} {number(worst[rank_by])} (point {worst['point']})"


def summary_of(found: Findings, row: Row) -> dict[str, Any]:
    """Return the summary of the point that a *row* tells of."""
    summary: dict[str, Any] = found.points[row["point"] - 1].outcome["summary"]
    return summary
