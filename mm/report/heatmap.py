"""Numbers over two things as a table of colours: gains one way, losses the other, more of either stronger."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_FAINT, _STRONG = 0.10, 0.72


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

    def table(self, texts: Sequence[Sequence[str]], title: str, span: tuple[float, float] | None = None) -> str:
        """Return the table as HTML; its cells are as narrow as a screen needs, and no narrower than their texts.

        Args:
            texts: What stands in each cell.
            title: What a screen reader says.
            span: Least and greatest size of a value, where several maps share a scale; None takes this one's own.
        """
        names, labels = self.across[1], self.down[1]
        low, high = span or sizes(self.values)
        rows = []
        for row, label in enumerate(labels):
            cells = []
            for column, value in enumerate(self.values[row]):
                told = f"{self.across[0]} {names[column]}, {self.down[0]} {label}: {texts[row][column]}"
                strength = 0.0 if value is None else (abs(value) - low) / (high - low) if high > low else 1.0
                cells.append(_cell(value, strength, (texts[row][column], told), framed=self.best == (row, column)))
            rows.append(f'<tr><th scope="row">{_breaking(label)}</th>{"".join(cells)}</tr>')
        heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
        return (
            f'<table class="heat" aria-label="{escape(title)}" style="--columns:{len(names)}">'
            f'<tr><th></th><td class="name" colspan="{len(names)}">{escape(self.across[0])}</td></tr>'
            f'<tr class="cols"><td class="name">{_breaking(self.down[0])}</td>{heads}</tr>{"".join(rows)}</table>'
        )


def sizes(values: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Return the least and the greatest size of the *values*; the least is 0 where they have both signs."""
    known = [value for row in values for value in row if value is not None]
    if not known:
        return 0.0, 1.0
    mixed = min(known) < 0 < max(known)
    low, high = min(map(abs, known)), max(map(abs, known))
    return (0.0 if mixed or low == high else low), high or 1.0


def _cell(value: float | None, strength: float, told: tuple[str, str], *, framed: bool) -> str:
    """Return one cell, its colour of a *strength* from 0 to 1; *told* is what stands in it, and under the pointer."""
    kind = "off" if value is None else "loss" if value < 0 else "gain"
    share = "" if value is None else f' style="--share:{_FAINT + (_STRONG - _FAINT) * min(1.0, strength):.3f}"'
    text, title = map(escape, told)
    return f'<td class="{kind}{" best" if framed else ""}"{share} title="{title}">{text}</td>'


def _breaking(name: str) -> str:
    """Return a name so that on a narrow screen it may go on in the next line behind an underscore or a colon."""
    return escape(name).replace("_", "_<wbr>").replace(":", ":<wbr>")
