"""Reading the text and the charts of a page."""

from typing import Any


def text_of(at: Any) -> str:
    """Return the text of a page, one line per element."""
    kinds = ("title", "subheader", "markdown", "caption", "text", "error", "info", "warning", "success", "code")
    metrics = [f"{element.label} {element.value}" for element in at.metric]
    return "\n".join([*(str(element.value) for kind in kinds for element in at.get(kind)), *metrics])


def charts_of(at: Any) -> int:
    """Return the number of charts of a page."""
    return len(at.get("arrow_vega_lite_chart")) + len(at.get("vega_lite_chart"))
