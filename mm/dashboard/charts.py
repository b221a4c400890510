"""Reports' figures on the pages, and a zoom that reads the data again."""

from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from mm.clock import US_PER_MS, iso
from mm.report.figures import Figure

SHORTEST_US = 1_000
CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]]}
Span = tuple[int, int]
"""First and last visible instant, µs."""


def draw(figure: Figure, key: str | None = None) -> None:
    st.plotly_chart(figure, key=key, config=CONFIG)


class Zoom:
    """The visible span of a page's charts; dragging over one shortens it for all."""

    def __init__(self, name: str, whole: Span) -> None:
        self._key, self._whole = f"zoom {name}", (whole[0], max(whole[1], whole[0] + SHORTEST_US))

    @property
    def span(self) -> Span:
        span: Span = st.session_state.get(self._key, self._whole)
        return span

    def bar(self) -> None:
        first, last = self.span
        caption, wider, whole = st.columns([6, 1, 1], vertical_alignment="center")
        caption.caption(f"{iso(first)[:23]} to {iso(last)[11:23]} UTC. Drag over a chart to zoom; all charts follow.")
        zoomed = self.span != self._whole
        wider.button("Zoom out", key=f"{self._key} wider", on_click=self.widen, disabled=not zoomed, width="stretch")
        whole.button("Whole", key=f"{self._key} whole", on_click=self.reset, disabled=not zoomed, width="stretch")

    def draw(self, title: str, figure: Figure) -> None:
        key = f"{self._key} {title} {self.span}"
        figure["layout"] |= {"dragmode": "select", "selectdirection": "h"}
        choose = partial(self._dragged, key)
        st.plotly_chart(figure, key=key, on_select=choose, selection_mode="box", config=CONFIG)

    def choose(self, first_ms: float, last_ms: float) -> None:
        """Choose at least one millisecond; instants outside are clipped."""
        first, last = (round(end * US_PER_MS) for end in sorted((first_ms, last_ms)))
        first = min(max(first, self._whole[0]), self._whole[1] - SHORTEST_US)
        st.session_state[self._key] = (first, min(max(last, first + SHORTEST_US), self._whole[1]))

    def widen(self) -> None:
        first, last = self.span
        more = 3 * (last - first) // 2
        self.choose((first - more) / US_PER_MS, (last + more) / US_PER_MS)

    def reset(self) -> None:
        st.session_state.pop(self._key, None)

    def _dragged(self, key: str) -> None:
        boxes = st.session_state[key].selection.get("box") or []
        ends = boxes[0].get("x") if boxes else None
        if ends and len(ends) == 2:
            self.choose(*map(_ms, ends))


def _ms(end: Any) -> float:
    if isinstance(end, int | float):
        return float(end)
    return float(np.datetime64(str(end).replace(" ", "T"), "us").astype(np.int64)) / US_PER_MS
