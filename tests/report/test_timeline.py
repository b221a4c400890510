"""Charts that zoom: their pictures, their data, and no external resources."""

import json
import re
import tomllib

import numpy as np
import pytest
from timelines import START_US, X, at, page, panels, picture, unpacked

from mm.report import timeline as module
from mm.report.drawn_columns import Near
from mm.report.timeline import Line, Marks, Panel, Spans, TimelineAxis, places, script, timeline
from pages import read
from support import ROOT

NONE = np.empty((0, 2), np.int64)
NEAR = Near(np.empty(0, np.int64))


def data_of(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html).group(1))


def column(data, number):
    return unpacked(data["columns"][number])


def test_page_with_charts_is_valid_and_self_contained():
    """Every tag is closed, scripts are inline, and the page's policy forbids requests."""
    tags = read(page())
    assert [attrs.get("src") for tag, attrs in tags.seen if tag == "script"] == [None, None]
    assert not {tag for tag, _ in tags.seen} & {"link", "img", "iframe", "object"}
    assert {"content": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}.items() <= next(
        attrs for tag, attrs in tags.seen if tag == "meta" and "http-equiv" in attrs
    ).items()


def test_still_pictures_are_shown_without_scripts():
    """And the controls are hidden until the script runs."""
    tags = read(page())
    assert sum(tag == "svg" for tag, _ in tags.seen) == 3
    assert next(attrs for _, attrs in tags.seen if attrs.get("class") == "bar")["hidden"] is None


def test_values_and_times_are_encoded_exactly():
    """The script draws the values themselves, in ms since the start."""
    data = data_of(timeline(panels(), X, NONE))
    line = data["panels"][0]["lines"][0]
    t, v = column(data, line["t"]), column(data, line["v"])
    value = np.where(v == 0, np.nan, line["low"] + (v - 1) * line["unit"])
    assert t[:3].tolist() == [0, 1_000, 2_000]
    assert value[:3].tolist() == [0, 1, 2]
    assert t[np.isnan(value)].tolist() == [2_400_000]
    assert (data["from"], data["until"]) == (X[0] / 1e3, X[1] / 1e3)
    spans = data["panels"][0]["spans"][0]
    assert set(column(data, spans["lasted"]).tolist()) == {9_000}
    words = data["panels"][0]["marks"][0]["tip"][1]
    assert [words["words"][i] for i in column(data, words["v"])] == ["<trade>", "book"]


def test_text_in_the_data_cannot_end_the_script():
    """A reason with a tag in it spans text."""
    html = timeline(panels(), X, NONE)
    assert "<trade>" not in html
    assert "\\u003ctrade>" in html


def test_equal_columns_are_stored_once():
    """Parts of the PnL share their times."""
    us, values = at(0, 1, 2), np.array([1.0, 2.0, 3.0])
    twice = [Line(name, "line", us, values, 1.0) for name in "ab"]
    data = data_of(timeline([Panel("", "", picture(100), 100, twice)], X, NONE))
    first, second = data["panels"][0]["lines"]
    assert first == second
    assert len(data["columns"]) == 3  # times, values, and no excluded time


def test_long_columns_are_thinned_and_keep_peaks(monkeypatch):
    """The page of a month has a bounded size and states how many rows are left out."""
    monkeypatch.setattr(module, "MOST_BYTES", 2_000)
    monkeypatch.setattr(module, "MOST_ROWS", (3_000, 100))
    seconds = np.arange(3_000)
    values = seconds % 7 + 0.0
    values[1_234] = 99.0
    us = at(*seconds)
    html = timeline([Panel("", "", picture(100), 100, [Line("a", "line", us, values, 1.0)])], X, NONE)
    data = data_of(html)
    drawn = data["panels"][0]["lines"][0]
    assert len(column(data, drawn["t"])) <= 100
    assert column(data, drawn["v"]).max() == 100
    assert f"a {len(column(data, drawn['t']))} of 3,000" in html


@pytest.mark.parametrize("rows", [1, 5, 60, 700, 3_000])
@pytest.mark.parametrize("most_bytes", [10, 900, 1_500, 4_000, 10_000, 10**6])
def test_page_has_as_many_rows_as_fit(monkeypatch, rows, most_bytes):
    """The search finds the first size that fits, from the largest down; the smallest if none fits."""
    monkeypatch.setattr(module, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(module, "MOST_ROWS", (2_000, 1_000, 500, 250, 100, 50))
    line = Line("a", "line", at(*range(rows)), np.arange(rows) % 7 + 0.0, 1.0)
    fills = Marks("f", "buy", 1, at(*range(0, rows, 9)), np.zeros(-(-rows // 9)), 1.0)
    panels = [Panel("", "", picture(100), 100, [line], marks=[fills])]
    tried = [
        module._written(panels, most, Near(fills.us), X, NONE, module.TimelineAxis())[0] for most in module.MOST_ROWS
    ]
    assert [written.size for written in tried] == [len(written.text()) for written in tried]
    tried = [written.text() for written in tried]
    fitting = next((text for text in tried if len(text) <= most_bytes), tried[-1])
    assert fitting in timeline(panels, X, NONE)


def test_rows_near_a_fill_are_not_thinned(monkeypatch):
    """A reader who zooms to a fill finds every change of the price around it; counted marks stay complete too."""
    monkeypatch.setattr(module, "MOST_BYTES", 2_000)
    monkeypatch.setattr(module, "MOST_ROWS", (3_000, 300))
    seconds = np.arange(3_000)
    line = Line("a", "line", at(*seconds), seconds % 7 + 0.0, 1.0)
    fills = Marks("f", "buy", 1, at(1_500), np.array([3.0]), 1.0)
    counted = Marks("f", "buy", 1, at(*range(500)), np.zeros(500), 1.0, stop=False)
    panels = [
        Panel("", "", picture(100), 100, [line], marks=[fills]),
        Panel("", "", picture(100), 100, marks=[counted], counts=True),
    ]
    data = data_of(timeline(panels, X))
    drawn = data["panels"][0]["lines"][0]
    t, v = column(data, drawn["t"]) // 1_000, column(data, drawn["v"])
    close = (t >= 1_440) & (t <= 1_560)
    assert t[close].tolist() == list(range(1_440, 1_561))
    assert v[close].tolist() == [second % 7 + 1 for second in range(1_440, 1_561)]
    assert len(t) <= 300
    assert len(column(data, data["panels"][1]["marks"][0]["t"])) == 500


def test_numeric_axis_keeps_values_to_a_thousandth():
    """The positions of a chart over distance; it has no time buttons."""
    ticks = np.array([0.5, 1.0, 17.25])
    line = Line("rate", "line", places(ticks), np.log10([0.5, 0.1, 0.01]), 1e-6, straight=True)
    panel = Panel("", "", picture(100), 100, [line], log=True)
    html = timeline([panel], (0.0, float(places(np.array(20.0)))), axis=TimelineAxis("ticks", ""))
    data = data_of(html)
    drawn = data["panels"][0]["lines"][0]
    assert (column(data, drawn["t"]) / 1_000).tolist() == ticks.tolist()
    values = drawn["low"] + (column(data, drawn["v"]) - 1) * drawn["unit"]
    assert 10**values == pytest.approx([0.5, 0.1, 0.01], rel=1e-5)
    assert (data["unit"], data["until"]) == ("ticks", 20_000)
    assert "1 min" not in html


def test_thinned_quotes_leave_no_hole():
    """One of three is drawn, each until the last of the omitted ones ended."""
    us = at(*range(7))
    spans = Spans("b", "quote", us, us + 900_000, np.arange(7.0), 1.0)
    some = spans.thinned(3, NEAR)
    assert some.values.tolist() == [0, 3, 6]
    assert ((some.until_us - START_US) / 1e6).tolist() == [2.9, 5.9, 6.9]
    assert spans.thinned(7, NEAR) is spans


def test_thinned_marks_keep_their_tips():
    """With their details."""
    tip = [("n", np.arange(6.0), 1.0), ("why", list("abcdef"), 1.0)]
    marks = Marks("m", "buy", 1, at(*range(6)), np.arange(6.0), 1.0, tip).thinned(2, NEAR)
    assert (marks.us - START_US).tolist() == [0, 3_000_000]
    assert [part[1][1] for part in marks.tip] == [3.0, "d"]


@pytest.mark.parametrize("value", [np.nan, 5.0])
def test_chart_of_one_row_or_none_is_drawn(value):
    """Nothing to draw is not an error."""
    line = Line("a", "line", at(0), np.array([value]), 1.0)
    empty = Spans("b", "quote", at(), at(), np.empty(0), 1.0)
    marks = Marks("m", "buy", 1, at(), np.empty(0), 1.0, [("n", np.empty(0), 1.0), ("why", [], 1.0)])
    read(timeline([Panel("", "", picture(100), 100, [line], [empty], [marks])], X, NONE))


def test_script_is_installed_with_the_package():
    """A page that is made from a wheel zooms too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "*.js" in project["tool"]["setuptools"]["package-data"]["*"]


def test_script_is_short_and_makes_no_requests():
    """The files are part of this package, each short, in one function, without requests."""
    text = script()
    assert text.startswith('"use strict";')
    assert not re.search(
        r"fetch|XMLHttpRequest|import\(|https?:|eval\(|new Function|setTimeout|</", re.sub("</(text|g)>", "", text)
    )
    for path in module._SCRIPTS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("// ")
        assert len(lines) <= 300
        assert max(map(len, lines)) <= 120


def test_page_is_written_once_if_the_next_size_is_far_too_large(monkeypatch):
    """A size whose rows need more than the limit by far is not written only to be discarded."""
    sizes = []

    def written(panels, most, **others):
        sizes.append(most)
        return write(panels, most, **others)

    write = module._written
    monkeypatch.setattr(module, "_written", written)
    monkeypatch.setattr(module, "MOST_BYTES", 3_000)
    monkeypatch.setattr(module, "MOST_ROWS", (4_000, 2_000, 200, 20))
    rows = np.arange(3_000)
    timeline([Panel("", "", picture(100), 100, [Line("a", "line", at(*rows), rows * 37 % 101 + 0.0, 1.0)])], X, NONE)
    assert sizes == [200]
