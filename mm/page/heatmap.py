"""Numbers over two things as a table of colours: gains one way, losses the other, more of either stronger."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _TOP, _ROW = 96, 44, 40
_WIDEST, _NARROWEST = 132, 46
_FAINT, _STRONG = 0.10, 0.72
_LETTER = 6.6  # width of one in a label


@dataclass(frozen=True)
class Heatmap:
    """A table of colours.

    Attributes:
        across: What the columns are of, and their labels.
        down: What the rows are of, and their labels.
        values: By row and column; None is left empty.
        best: Row and column of the cell that is framed; None: none is.
    """

    across: tuple[str, Sequence[str]]
    down: tuple[str, Sequence[str]]
    values: Sequence[Sequence[float | None]]
    best: tuple[int, int] | None = None

    def picture(self, texts: Sequence[Sequence[str]], title: str, span: tuple[float, float] | None = None) -> str:
        """Return the whole SVG.

        Args:
            texts: What stands in each cell.
            title: What a screen reader says.
            span: Least and greatest size of a value, where several maps share a scale; None takes this one's own.
        """
        names, labels = self.across[1], self.down[1]
        cell = min(_WIDEST, max(_NARROWEST, (1072 - _LEFT) / max(len(names), 1)))
        left = max(_LEFT, 16 + _LETTER * max(map(len, [*labels, self.down[0]])))
        width, height = left + cell * len(names) + 2, _TOP + _ROW * len(labels) + 2
        scale = span or sizes(self.values)
        marks = [
            f'<text class="tick" x="{left:.0f}" y="14">{escape(self.across[0])}</text>',
            f'<text class="tick end" x="{left - 10:.0f}" y="{_TOP - 10}">{escape(self.down[0])}</text>',
        ]
        for column, name in enumerate(names):
            at = left + cell * (column + 0.5)
            marks.append(f'<text class="tick mid" x="{at:.1f}" y="{_TOP - 10}">{escape(name)}</text>')
        for row, label in enumerate(labels):
            y = _TOP + _ROW * row
            marks.append(f'<text class="tick end" x="{left - 10:.0f}" y="{y + 24}">{escape(label)}</text>')
            for column, value in enumerate(self.values[row]):
                framed = self.best == (row, column)
                spot = (left + cell * column, y, cell)
                said = f"{self.across[0]} {names[column]}, {self.down[0]} {label}: {texts[row][column]}"
                marks.append(_cell(spot, value, scale, (texts[row][column], said), framed))
        return (
            f'<svg class="heat" viewBox="0 0 {width:.0f} {height}" style="max-width:{width:.0f}px;--own:{width:.0f}px" '
            f'role="img" aria-label="{escape(title)}">{"".join(marks)}</svg>'
        )


def sizes(values: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Return the least and the greatest size of the *values*; the least is 0 where they have both signs."""
    known = [value for row in values for value in row if value is not None]
    if not known:
        return 0.0, 1.0
    mixed = min(known) < 0 < max(known)
    low, high = min(map(abs, known)), max(map(abs, known))
    return (0.0 if mixed or low == high else low), high or 1.0


def _cell(
    spot: tuple[float, float, float],
    value: float | None,
    scale: tuple[float, float],
    told: tuple[str, str],
    framed: bool,
) -> str:
    """Return one cell at *spot* (left, top, width); *told* is what stands in it, and under the pointer."""
    left, top, width = spot
    low, high = scale
    share = 0.0 if value is None else (abs(value) - low) / (high - low) if high > low else 1.0
    kind = "off" if value is None else "loss" if value < 0 else "gain"
    opacity = "" if value is None else f' fill-opacity="{_FAINT + (_STRONG - _FAINT) * min(1.0, share):.3f}"'
    inside = f'<text class="{"value" if framed else "name"} mid" x="{left + width / 2:.1f}" y="{top + 24:.1f}">'
    frame = (
        f'<path class="line" d="M{left + 2:.1f} {top + 2:.1f}h{width - 4:.1f}v{_ROW - 4}h{4 - width:.1f}z"/>'
        if framed
        else ""
    )
    return (
        f'<rect class="{kind}" x="{left + 1:.1f}" y="{top + 1:.1f}" width="{width - 2:.1f}" height="{_ROW - 2}" '
        f'rx="3"{opacity}><title>{escape(told[1])}</title></rect>{frame}{inside}{escape(told[0])}</text>'
    )
