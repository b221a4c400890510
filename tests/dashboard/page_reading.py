"""What tests read from a page."""

from typing import Any


def text_of(at: Any) -> str:
    """Return the text of a page, one line per element."""
    kinds = ("title", "subheader", "markdown", "caption", "text", "error", "info", "warning", "success", "code")
    metrics = [f"{one.label} {one.value}" for one in at.metric]
    return "\n".join([*(str(one.value) for kind in kinds for one in at.get(kind)), *metrics])


def charts_of(at: Any) -> int:
    """Return how many charts a page has."""
    return len(at.get("arrow_vega_lite_chart")) + len(at.get("vega_lite_chart"))
