"""A chart that stands on its own: in a notebook, or in a file that some other page shows."""

import re

from mm.report.style import STYLE

_FONT = 'svg { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; background: #ffffff; }'


def alone(picture: str) -> str:
    """Return the SVG *picture* of a `Plot` with the page's light colours in it, so that it needs no page around it."""
    used = {word for words in re.findall(r'class="([^"]+)"', picture) for word in words.split()}
    colours = STYLE[STYLE.index(":root {") : STYLE.index("}") + 1]
    rules = [line for line in STYLE.splitlines() if line.startswith("svg") or _speaks_of(line, used)]
    style = "\n".join([colours.replace("light dark", "light"), _FONT, *rules])
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>\n{style}\n</style>", 1
    )


def _speaks_of(line: str, used: set[str]) -> bool:
    """Tell whether a rule of the style sheet begins with one of the classes *used*."""
    first = re.match(r"\.([\w-]+)", line)
    return first is not None and line.endswith("}") and first[1] in used
