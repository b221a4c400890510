"""Charts that zoom: their pictures, their data, and nothing from elsewhere."""

import base64
import json
import re
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from timelines import START_US, X, at, page, panels, picture

from mm.report import timeline as module
from mm.report.timeline import (
    Line,
    Marks,
    Near,
    Panel,
    Stays,
    TimelineAxis,
    changes,
    extremes,
    kept,
    packed,
    places,
    script,
    timeline,
    unit_of,
    whole,
)
from pages import read
from support import ROOT

NONE = np.empty((0, 2), np.int64)
NEAR = Near(np.empty(0, np.int64))


def data_of(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html).group(1))


def column(data, number):
    return unpacked(data["columns"][number])


def test_a_page_with_charts_is_whole_and_needs_nothing_else():
    """Every tag is closed; scripts are inside; the browser is told to refuse requests."""
    tags = read(page())
    assert [attrs.get("src") for tag, attrs in tags.seen if tag == "script"] == [None, None]
    assert not {tag for tag, _ in tags.seen} & {"link", "img", "iframe", "object"}
    assert {"content": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}.items() <= next(
        attrs for tag, attrs in tags.seen if tag == "meta" and "http-equiv" in attrs
    ).items()


def test_the_still_pictures_stand_where_no_script_runs():
    """And what moves them is hidden until one does."""
    tags = read(page())
    assert sum(tag == "svg" for tag, _ in tags.seen) == 3
    assert next(attrs for _, attrs in tags.seen if attrs.get("class") == "bar")["hidden"] is None


def test_values_and_instants_are_told_exactly():
    """What a script draws are the values themselves, in ms since the start."""
    data = data_of(timeline(panels(), X, NONE))
    line = data["panels"][0]["lines"][0]
    t, v = column(data, line["t"]), column(data, line["v"])
    value = np.where(v == 0, np.nan, line["low"] + (v - 1) * line["unit"])
    assert t[:3].tolist() == [0, 1_000, 2_000]
    assert value[:3].tolist() == [0, 1, 2]
    assert t[np.isnan(value)].tolist() == [2_400_000]
    assert (data["from"], data["until"]) == (X[0] / 1e3, X[1] / 1e3)
    stays = data["panels"][0]["stays"][0]
    assert set(column(data, stays["lasted"]).tolist()) == {9_000}
    words = data["panels"][0]["marks"][0]["tip"][1]
    assert [words["words"][i] for i in column(data, words["v"])] == ["<trade>", "book"]


def test_no_word_of_the_data_ends_the_script():
    """A reason with a tag in it stays text."""
    html = timeline(panels(), X, NONE)
    assert "<trade>" not in html
    assert "\\u003ctrade>" in html


def test_equal_columns_are_kept_once():
    """Parts of the PnL share their instants."""
    us, values = at(0, 1, 2), np.array([1.0, 2.0, 3.0])
    twice = [Line(name, "line", us, values, 1.0) for name in "ab"]
    data = data_of(timeline([Panel("", "", picture(100), 100, twice)], X, NONE))
    first, second = data["panels"][0]["lines"]
    assert first == second
    assert len(data["columns"]) == 3  # instants, values, and no excluded stretch


def test_long_columns_are_thinned_so_that_peaks_stay(monkeypatch):
    """The page of a month has a bounded size, and states what it left out."""
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
def test_a_page_holds_as_many_rows_as_it_has_room_for(monkeypatch, rows, most_bytes):
    """What a search finds is the first size that fits, from the largest down; the least where none does."""
    monkeypatch.setattr(module, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(module, "MOST_ROWS", (2_000, 1_000, 500, 250, 100, 50))
    line = Line("a", "line", at(*range(rows)), np.arange(rows) % 7 + 0.0, 1.0)
    fills = Marks("f", "buy", 1, at(*range(0, rows, 9)), np.zeros(-(-rows // 9)), 1.0)
    panels = [Panel("", "", picture(100), 100, [line], marks=[fills])]
    tried = [
        module._written(panels, most, Near(fills.us), X, NONE, module.TimelineAxis())[0] for most in module.MOST_ROWS
    ]
    fitting = next((text for text in tried if len(text) <= most_bytes), tried[-1])
    assert fitting in timeline(panels, X, NONE)


def test_what_is_near_a_fill_stays_whole(monkeypatch):
    """A reader who zooms to a fill finds every change of the price around it, and none where nothing is counted."""
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


@given(
    arrays(np.int64, st.integers(0, 200), elements=st.integers(0, 10**9)),
    arrays(np.int64, st.integers(0, 5), elements=st.integers(0, 10**9)),
    st.integers(1, 100),
)
def test_rows_that_stay_are_few_and_in_order(us, near, most):
    """Whatever lies near what."""
    rows = kept(np.sort(us), most, Near(np.unique(near)), module.evenly)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= max(most, 1) + 1
    assert len(us) > most or rows.tolist() == list(range(len(us)))


@given(
    st.lists(st.integers(0, 200_000_000), min_size=1, max_size=30),
    st.lists(st.integers(0, 200_000_000), max_size=4),
    st.integers(0, 30),
)
def test_rows_near_a_fill_are_those_that_a_plain_count_finds(us, near, most):
    """Within the longest stretch that takes half at most, and the last row before each."""
    us = sorted(us)
    found = []
    for one in reversed(module.CLOSE_S):
        close = {at for at, when in enumerate(us) if any(abs(when - other) <= one * 1_000_000 for other in near)}
        close |= {at - 1 for at in close if at}
        if 2 * len(close) <= most:
            found = sorted(close)
            break
    rows = kept(np.array(us), most, Near(np.unique(np.array(near, np.int64))), lambda _rows, _few: np.arange(0))
    assert rows.tolist() == (list(range(len(us))) if len(us) <= most else found)


def test_an_axis_of_numbers_keeps_them_to_a_thousandth():
    """The places of a chart over distance; its buttons are not those of time."""
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


def test_quotes_left_out_leave_no_hole():
    """One of three is drawn, each until the last of those left out ended."""
    us = at(*range(7))
    stays = Stays("b", "quote", us, us + 900_000, np.arange(7.0), 1.0)
    some = stays.thinned(3, NEAR)
    assert some.values.tolist() == [0, 3, 6]
    assert ((some.until_us - START_US) / 1e6).tolist() == [2.9, 5.9, 6.9]
    assert stays.thinned(7, NEAR) is stays


def test_marks_can_be_told_one_of_several():
    """With what is told of them."""
    told = [("n", np.arange(6.0), 1.0), ("why", list("abcdef"), 1.0)]
    marks = Marks("m", "buy", 1, at(*range(6)), np.arange(6.0), 1.0, told).thinned(2, NEAR)
    assert (marks.us - START_US).tolist() == [0, 3_000_000]
    assert [part[1][1] for part in marks.tip] == [3.0, "d"]


@pytest.mark.parametrize("value", [np.nan, 5.0])
def test_a_chart_of_one_row_or_of_none_is_told(value):
    """Nothing to draw is no error."""
    line = Line("a", "line", at(0), np.array([value]), 1.0)
    empty = Stays("b", "quote", at(), at(), np.empty(0), 1.0)
    marks = Marks("m", "buy", 1, at(), np.empty(0), 1.0, [("n", np.empty(0), 1.0), ("why", [], 1.0)])
    read(timeline([Panel("", "", picture(100), 100, [line], [empty], [marks])], X, NONE))


def test_the_script_is_installed_with_the_package():
    """A page that is made from a wheel zooms, too."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "*.js" in told["tool"]["setuptools"]["package-data"]["*"]


def test_the_script_is_plain_and_of_the_house():
    """Four files of this package, each short, in one function; it asks nothing of anyone."""
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


COLUMNS = arrays(np.int64, st.integers(0, 60), elements=st.integers(-(2**50), 2**50))
TYPES = {1: "<i1", 2: "<i2", 4: "<i4"}


def unpacked(column):
    """Return the numbers again, as the page's script does."""
    steps = np.frombuffer(base64.b64decode(column["steps"]), TYPES[column["bytes"]]).astype(np.float64)
    steps[np.frombuffer(base64.b64decode(column["at"]), "<u4")] = np.frombuffer(base64.b64decode(column["far"]), "<f8")
    return np.cumsum(steps).astype(np.int64)


@given(COLUMNS)
def test_a_packed_column_is_read_back_as_it_was(numbers):
    """Whatever the size of its steps."""
    assert unpacked(packed(numbers)).tolist() == numbers.tolist()


@pytest.mark.parametrize(("step", "width"), [(100, 1), (127, 1), (128, 2), (32_767, 2), (32_768, 4)])
def test_steps_take_as_few_bytes_as_they_fit_in(step, width):
    """A day of prices is a byte or two a row."""
    numbers = np.arange(1_000, dtype=np.int64) * step
    assert packed(numbers)["bytes"] == width


def test_a_rare_leap_does_not_widen_all_steps():
    """A hole in the data costs twelve bytes, not a wider column."""
    numbers = np.arange(1_000, dtype=np.int64)
    numbers[500:] += 10**12
    assert packed(numbers)["bytes"] == 1
    assert unpacked(packed(numbers)).tolist() == numbers.tolist()


@given(
    arrays(np.float64, st.integers(0, 30), elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))),
    st.sampled_from([0.01, 0.5, 1.0]),
)
def test_values_come_back_to_the_unit_and_holes_as_holes(values, unit):
    """0 is a hole; all else is counted from the least value, which is 1."""
    numbers, low = whole(values, unit)
    back = np.where(numbers == 0, np.nan, low + (numbers - 1) * unit)
    assert np.allclose(back, values, atol=unit / 2 * 1.000001, equal_nan=True)


@given(st.floats(1e-9, 1e9), st.floats(-1e3, 1e3))
def test_a_unit_tells_six_digits_of_the_range(reach, low):
    """Between a millionth and a ten-millionth of it."""
    unit = unit_of(np.array([low, np.nan, low + reach]))
    exact = (low + reach) - low
    assert exact == 0 or 1e-7 < unit / exact <= 1.0000001e-6
    assert unit_of(np.full(3, np.nan)) == unit_of(np.empty(0)) == 1.0


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 3)))
def test_what_repeats_is_left_out(values):
    """A step function is the same without the rows that change nothing."""
    at = changes(values)
    again = values[at][np.searchsorted(at, np.arange(len(values)), side="right") - 1]
    assert again.tolist() == values.tolist()
    assert (np.diff(values[at]) != 0).all()


@given(
    arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 2**45)),
    st.integers(4, 100),
)
def test_thinning_keeps_the_peaks_and_the_ends(values, most):
    """The least and the greatest of all rows are among the kept, which are not too many."""
    kept = extremes(values, most)
    assert len(kept) <= max(4, most)
    assert (np.diff(kept) > 0).all()
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    near = 2 ** ((2**45).bit_length() - 38)  # peaks that differ by less count as one
    assert values.min() <= values[kept].min() <= values.min() + near
    assert values.max() - near <= values[kept].max() <= values.max()
