"""Parse an HTML page and check that it is well formed."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np

VOID = {"meta", "wbr"}
SCRIPT = re.compile(r"<script[^>]*>.*?</script>", re.DOTALL)
DATA = re.compile(r'<div class="chart"[^>]*><script type="application/json">(.*?)</script>', re.DOTALL)


class Tags(HTMLParser):
    """Checks the nesting of tags, in HTML and in embedded SVG."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.words, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(html):
    """Return the tags and words of a page; every tag must be closed in the right order."""
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.stack == []
    return tags


def without_scripts(html):
    """Return a page without its scripts and the data of its charts."""
    return SCRIPT.sub("", html)


def figures_of(html):
    """Return the figures of a page, from top to bottom, with their data as arrays."""
    return [decoded(json.loads(text)) for text in DATA.findall(html)]


def decoded(part):
    """Return a figure, or a part of one, with the arrays that it has in base64."""
    if isinstance(part, dict) and "bdata" in part:
        values = np.frombuffer(base64.b64decode(part["bdata"]), f"<{part['dtype']}")
        return values.reshape([int(size) for size in part.get("shape", str(len(values))).split(",")])
    if isinstance(part, dict):
        return {name: decoded(value) for name, value in part.items()}
    return [decoded(value) for value in part] if isinstance(part, list) else part


def named(figure, name):
    """Return the trace of a figure whose name begins with *name*."""
    return next(trace for trace in figure["data"] if trace.get("name", "").startswith(name))


def check_figure(figure):
    """Check that a figure's data can be drawn: equal lengths, no infinite numbers, all axes declared."""
    for trace in figure["data"]:
        if trace["type"] == "heatmap":
            continue
        x, y = trace["x"], trace["y"]
        assert len(x) == len(y), trace["name"]
        for values in (x, y):
            numbers = np.asarray([value for value in values if not isinstance(value, str)], dtype=float)
            assert not np.isinf(numbers).any(), trace["name"]
        assert len(x) <= 3 * 5_000 + 2
        assert f"yaxis{trace.get('yaxis', 'y').removeprefix('y')}" in figure["layout"]
        if "text" in trace and isinstance(trace["text"], list):
            assert len(trace["text"]) == len(x)
