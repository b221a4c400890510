"""A sweep as one picture: its grid as a heat map, its best points, and the PnL of its trials over time."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mm.numbers import number
from mm.report.frame import ChartPart, Heatmap, nothing, sizes
from mm.report.svg import WIDE, Plot, bar
from mm.report.sweep import PastChoice, maps, pnl_curves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.report.svg import Floats

RANKED = 15  # points in the ranking
_NAMES, _LINE, _CELL = 330, 26, 34  # widths of the names, heights of a bar and of a cell
_FAINT, _STRONG = 0.12, 0.85
Content = Mapping[str, Any]


def sweep_parts(
    content: Content, start_us: "Floats | None" = None, columns: Sequence[int] = (), pnl: "NDArray[Any] | None" = None
) -> list[ChartPart]:
    """Return the charts of a sweep, from top to bottom.

    Args:
        content: ``sweep.json``.
        start_us: Start of each period of *pnl*; None if unknown.
        columns: The points of the columns of *pnl*.
        pnl: PnL of each trial (columns) in each period (rows), in the quote asset.
    """
    rank_by = content["rank_by"]
    every = maps(content["rows"], content["axes"], rank_by)
    span = sizes([line for _, one in every for line in one.values])
    note = f"{escape(rank_by)}; the best is framed"
    parts = [ChartPart(title or "The grid", note, _heat(one, span)) for title, one in every]
    parts.append(ChartPart("Ranking", f"the best points by {escape(rank_by)}", ranking(content)))
    if start_us is not None and pnl is not None and len(start_us) > 1:
        best = None if content["best"] is None else content["best"]["point"]
        chosen = PastChoice.of(content, start_us, columns, pnl)
        keys = (("line", "best in hindsight"), ("line chosen", "walk-forward choice"))
        parts.append(ChartPart("PnL of every trial", "", pnl_curves(start_us, pnl, columns, best, chosen), keys))
    return parts


def _heat(one: Heatmap, span: tuple[float, float]) -> str:
    """Draw a map; *span* is the range of sizes of values on all maps; the maximum has the strongest colour."""
    (across, names), (down, labels) = one.across, one.down
    wide = min(150.0, (WIDE - _NAMES - 20) / len(names))
    low, high = span
    marks = [
        f'<text class="tick end" x="{_NAMES - 10}" y="16">{escape(down)}</text>',
        f'<text class="tick" x="{_NAMES}" y="16">{escape(across)}</text>',
    ]
    for column, name in enumerate(names):
        x = _NAMES + (column + 0.5) * wide
        marks.append(f'<text class="tick mid" x="{x:.1f}" y="34">{escape(_cut(name, wide))}</text>')
    for row, label in enumerate(labels):
        y = 42 + row * _CELL
        marks.append(f'<text class="tick end" x="{_NAMES - 10}" y="{y + 21}">{escape(_cut(label, _NAMES))}</text>')
        for column, value in enumerate(one.values[row]):
            x = _NAMES + column * wide
            if value is None:
                continue
            share = (abs(value) - low) / (high - low) if high > low else 1.0
            kind, tip = "loss" if value < 0 else "gain", f"{label}, {names[column]}"
            cell = bar(x + 1, y + 1, (wide - 2, _CELL - 2), kind, tip)
            marks.append(f'<g fill-opacity="{_FAINT + (_STRONG - _FAINT) * share:.3f}">{cell}</g>')
            marks.append(f'<text class="name mid" x="{x + wide / 2:.1f}" y="{y + 21}">{number(value, 3)}</text>')
            if one.best == (row, column):
                frame = f"M{x + 1:.1f} {y + 1}h{wide - 2:.1f}v{_CELL - 2}h{2 - wide:.1f}z"
                marks.append(f'<path class="error" d="{frame}"/>')
    return Plot(WIDE, 50 + _CELL * len(labels), (0, 1), (0, 1)).picture(*marks, title=f"{down} over {across}")


def ranking(content: Content) -> str:
    """Draw the best points as bars from zero, the best at the top."""
    rank_by, axes = content["rank_by"], [axis["name"] for axis in content["axes"]]
    rows = [row for row in content["rows"] if row["status"] == "ok" and row[rank_by] is not None][:RANKED]
    if not rows:
        return nothing("No point has a result.")
    values = [float(row[rank_by]) for row in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    scale = (WIDE - _NAMES - 110) / ((high - low) or 1.0)
    zero, marks = _NAMES - low * scale, []
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        y = 6 + place * _LINE
        name = f"{row['rank']}. " + ", ".join(f"{axis}={row[axis]}" for axis in axes)
        marks.append(f'<text class="tick end" x="{_NAMES - 10}" y="{y + 15}">{escape(_cut(name, _NAMES))}</text>')
        left, wide = min(zero, zero + value * scale), abs(value) * scale
        if wide:
            kind = "gain" if value > 0 else "loss"
            marks.append(bar(left, y + 2, (wide, _LINE - 7), kind, f"{name}: {number(value)}"))
        marks.append(f'<text class="value end" x="{WIDE - 22}" y="{y + 15}">{number(value)}</text>')
    marks.append(f'<path class="zero" d="M{zero:.1f} 4V{6 + len(rows) * _LINE}"/>')
    return Plot(WIDE, 14 + len(rows) * _LINE, (0, 1), (0, 1)).picture(*marks, title=f"Best points by {rank_by}")


def _cut(text: str, width: float) -> str:
    """Return a *text* cut to a *width*."""
    most = max(3, int(width / 7.4))
    return text if len(text) <= most else text[: most - 1] + "…"
