"""Results in notebooks: a few lines of text, an HTML card, and charts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from mm.base.atomic_file import write_atomic
from mm.errors import UsageError

DRAWING = "mm.report.notebook"
PLOTLY = "application/vnd.plotly.v1+json"
MOST_LINES, WIDEST = 5, 118


@dataclass(frozen=True)
class Picture:
    """Charts, as returned by ``plot()``: a notebook shows them interactively, and they can be saved as a page.

    Attributes:
        charts: Heading and plotly figure of each, plain dictionaries in plotly's schema.
        note: Why there are no charts.
    """

    title: str
    charts: Sequence[tuple[str, dict[str, Any]]] = field(repr=False)
    note: str = ""

    def figure(self, place: int = 0) -> Any:
        """Return one chart as a ``plotly.graph_objects.Figure``, to change it or to write it as an image."""
        from plotly.graph_objects import Figure

        return Figure(self.charts[place][1])

    def page(self) -> str:
        """Return an HTML page of the charts."""
        html: str = _drawing().picture_page(self)
        return html

    def save(self, path: str | Path) -> Path:
        """Write a page of the charts to *path* and return it; UsageError unless it ends in ``.html``."""
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise UsageError(
                f"{path}: pages are .html, not {path.suffix or 'a name without suffix'!r}; "
                "figure().write_image() of plotly writes other formats"
            )
        write_atomic(path, self.page().encode())
        return path

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for bundle in self.bundles():
            display(bundle, raw=True)  # type: ignore[no-untyped-call]

    def bundles(self) -> list[dict[str, Any]]:
        """Return what a notebook displays: each chart by its type."""
        charts = [{PLOTLY: figure, "text/plain": heading} for heading, figure in _drawing().plain_charts(self)]
        return charts or [{"text/plain": f"{self.title}: {self.note}"}]

    def __repr__(self) -> str:
        return f"Picture of {self.title}: {len(self.charts)} charts; .save('name.html') or .figure()"


class Shown:
    """Base of objects that a notebook displays: at most five lines of text, or an HTML card."""

    __slots__ = ()

    def lines(self) -> Iterator[str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        lines = list(self.lines())
        if len(lines) > MOST_LINES:
            lines = [*lines[: MOST_LINES - 1], f"… {len(lines) - MOST_LINES + 1} more lines: print it"]
        return "\n".join(line if len(line) <= WIDEST else line[: WIDEST - 1] + "…" for line in lines)

    def _repr_html_(self) -> str:
        html: str = _drawing().card_of(self)
        return html


def picture_of(thing: object) -> Picture:
    picture: Picture = _drawing().picture_of(thing)
    return picture


def _drawing() -> Any:
    return import_module(DRAWING)
