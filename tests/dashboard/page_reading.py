"""Reading the text and the charts of a page."""

import json
from typing import Any

from pages import decoded


def text_of(at: Any) -> str:
    """Return the text of a page, one line per element."""
    kinds = ("title", "subheader", "markdown", "caption", "text", "error", "info", "warning", "success", "code")
    metrics = [f"{element.label} {element.value}" for element in at.metric]
    return "\n".join([*(str(element.value) for kind in kinds for element in at.get(kind)), *metrics])


def figures_of(at: Any) -> list[dict[str, Any]]:
    """Return the figures of a page."""
    return [decoded(json.loads(chart.proto.spec)) for chart in at.get("plotly_chart")]


def titles_of(at: Any) -> list[str]:
    """Return the titles of the panels of all figures."""
    texts = [one["text"] for figure in figures_of(at) for one in figure["layout"].get("annotations", ())]
    return [text.split("</b>")[0].removeprefix("<b>") for text in texts]
