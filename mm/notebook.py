"""Display of results in notebooks: a few lines of text, an HTML card, and charts as a picture.

Results are defined in many layers, all below the one that draws them; so the drawing module (`mm.report.notebook`) is
imported here by name, when something is first drawn.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mm.atomic_file import write_atomic
from mm.dataclass import dataclass, field
from mm.errors import UsageError

DRAWING = "mm.report.notebook"
MOST_LINES, WIDEST = 5, 118


@dataclass(frozen=True)
class Picture:
    """Charts as one picture, as returned by ``plot()``: a notebook displays it, and it can be saved.

    Attributes:
        title: What the charts show.
        svg: The picture as a self-contained SVG file.
        page: Returns an HTML page of the same charts; charts over time can be zoomed.
    """

    title: str
    svg: str = field(repr=False)
    page: Callable[[], str] = field(repr=False, compare=False)

    def save(self, path: str | Path) -> Path:
        """Write the picture and return its path.

        Args:
            path: Ends in ``.svg`` for the picture, or in ``.html`` for a page with the same charts.

        Raises:
            UsageError: If it has another suffix.
        """
        path = Path(path)
        kinds = {".svg": lambda: self.svg, ".html": self.page}
        if path.suffix.lower() not in kinds:
            raise UsageError(f"{path}: pictures are .svg or .html, not {path.suffix or 'a name without suffix'!r}")
        write_atomic(path, kinds[path.suffix.lower()]().encode())
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="max-width:1120px;overflow-x:auto">{self.svg}</div>'

    def __repr__(self) -> str:
        return f"Picture of {self.title}: {len(self.svg) / 1000:.0f} kB of SVG; .save('name.svg') or .save('name.html')"


class Shown:
    """Base of objects that a notebook displays: at most five lines of text, or an HTML card."""

    __slots__ = ()

    def lines(self) -> Iterator[str]:
        """Yield the most important results, one line each."""
        raise NotImplementedError

    def __repr__(self) -> str:
        found = list(self.lines())
        if len(found) > MOST_LINES:
            found = [*found[: MOST_LINES - 1], f"… {len(found) - MOST_LINES + 1} more lines: print it"]
        return "\n".join(line if len(line) <= WIDEST else line[: WIDEST - 1] + "…" for line in found)

    def _repr_html_(self) -> str:
        html: str = _drawing().card_of(self)
        return html


def picture_of(thing: object) -> Picture:
    """Return the charts of a result, a fit, a schedule or a tape; raise TypeError for anything else."""
    picture: Picture = _drawing().picture_of(thing)
    return picture


def _drawing() -> Any:
    return import_module(DRAWING)
