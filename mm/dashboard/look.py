"""The dashboard's look: stylesheet and colours of the pages of runs, and these pages."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v1 import html as framed

from mm.report.contents import PAGE
from mm.report.frame import font, inlined, notes, palette, scoped
from mm.runs.finished import RunFolder

OWN = "mm"  # class of what has the rules of the pages
PAGE_PX = 1_400
# Colours of the pages under the names of streamlit's theme.
THEME = {
    "primaryColor": "main",
    "backgroundColor": "ground",
    "secondaryBackgroundColor": "card",
    "textColor": "ink",
    "borderColor": "edge",
    "linkColor": "main",
}
# Metrics look like the tiles of a page; less space is above the title.
_METRICS = """
[data-testid="stMainBlockContainer"] {padding-top: 4rem;}
[data-testid="stApp"] h1 {font-size: 27px; letter-spacing: -.015em;}
[data-testid="stApp"] h2, [data-testid="stApp"] h3 {font-size: 19px;}
[data-testid="stMetric"] {
  background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 13px 15px 12px; height: 100%;
}
[data-testid="stMetricValue"] {font-size: clamp(17px, 1.6vw, 21px); font-weight: 600; color: var(--ink);}
[data-testid="stMetricValue"] > div {white-space: normal; line-height: 1.25;}
[data-testid="stMetricLabel"] p {white-space: normal; font-size: 13px; color: var(--soft);}
"""


def theme() -> dict[str, Any]:
    colours = palette()
    return {"theme_font": font()} | {
        f"theme_{scheme}_{option}": colours[name][place]
        for option, name in THEME.items()
        for place, scheme in enumerate(("light", "dark"))
    }


def dress() -> None:
    colours = "".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in palette().items())
    st.html(f"<style>[data-testid='stApp'] {{{colours}}}{_METRICS}{scoped(OWN)}</style>")


def show_notes(lines: Sequence[str]) -> None:
    if lines:
        st.html(f'<div class="{OWN}">{notes(lines)}</div>')


def page_of(run: RunFolder) -> Path | None:
    path = run.folder / PAGE
    return path if path.is_file() else None


def show_page(path: Path) -> None:
    """Show it in a frame that can reach neither dashboard nor network; offer the file."""
    text = inlined(path.read_text(encoding="utf-8"))
    st.download_button("Save the page", text, file_name=f"{path.parent.name}.html", mime="text/html")
    style = "border:0;width:100%;height:100%;position:absolute;inset:0"
    framed(f'<iframe sandbox="allow-scripts" srcdoc="{escape(text)}" style="{style}"></iframe>', height=PAGE_PX)
