"""An hour of time charts whose every value is known, for tests."""

import base64

import numpy as np

from mm.report.frame import card, document
from mm.report.svg import Plot
from mm.report.timeline import Line, Marks, Panel, Spans, script, timeline

START_US = 1_765_868_400_000_000  # 07:00 UTC
HOUR_S = 3_600
X = (float(START_US), float(START_US + HOUR_S * 1_000_000))
TYPES = {1: "<i1", 2: "<i2", 4: "<i4"}


def unpacked(column):
    """Return the unpacked numbers, decoded as the page's script does."""
    steps = np.frombuffer(base64.b64decode(column["steps"]), TYPES[column["bytes"]]).astype(np.float64)
    steps[np.frombuffer(base64.b64decode(column["at"]), "<u4")] = np.frombuffer(base64.b64decode(column["far"]), "<f8")
    return np.cumsum(steps).astype(np.int64)


def at(*seconds):
    return START_US + (np.array(seconds) * 1_000_000).astype(np.int64)


def picture(height):
    plot = Plot(1072, height, X, (0, 1))
    return plot.picture(plot.line(at(0, HOUR_S), np.array([0.0, 1.0]), "line"), title="still")


def panels():
    """A value equal to the number of the second; quotes of ten seconds; three fills; a change since the left edge."""
    seconds = np.arange(HOUR_S)
    value = seconds.astype(np.float64)
    value[2_400:2_460] = np.nan
    tens = np.arange(0, HOUR_S, 10)
    tip = [("number", np.array([1.0, 3.0]), 1.0), ("because", ["<trade>", "book"], 1.0)]
    buys = Marks("our buys", "buy", 1, at(600, 1_800), np.array([590.0, 1_790.0]), 1.0, tip)
    sells = Marks("our sells", "sell", -1, at(1_200), np.array([1_210.0]), 1.0, [("number", np.array([2.0]), 1.0)])
    bids = Spans("our bid", "quote bid", at(*tens), at(*(tens + 9)), tens - 10.0, 1.0)
    asks = Spans("our ask", "quote ask", at(0, 10), at(HOUR_S, 20), np.array([4_000.0, 20.0]), 1.0)
    line = Line("second", "price", at(*seconds), value, 1.0)
    since = Line("since", "line", line.us, value, 1.0)
    return [
        Panel("Price", "in seconds", picture(290), 290, [line], [bids, asks], [buys, sells]),
        Panel("Fills", "", picture(84), 84, marks=[buys, sells], counts=True),
        Panel("Change", "since", picture(170), 170, [since], zero=True, since=True),
    ]


def page():
    """Return a page with these charts alone."""
    charts = timeline(panels(), X, np.stack([at(2_400), at(2_460)], axis=1))
    return document("An hour", [card("Over time", "", charts)], script())
