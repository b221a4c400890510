"""Charts over time with zoom: all charts show the requested range at the same time."""

import pytest
from timelines import START_US, page

SIZE = {"width": 1280, "height": 1200}
START_MS, HOUR_MS = START_US / 1_000, 3_600_000
BOX = """(one => [one.left, one.top, one.width, one.height])(
  document.querySelectorAll('.timeline svg')[{}].getBoundingClientRect())"""
RIGHT = 22


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page as a file."""
    path = tmp_path_factory.mktemp("zoom") / "page.html"
    path.write_text(page(), encoding="utf-8")
    return path


@pytest.fixture
def tab(chrome, path):
    """The page, open; at the end it must have no errors and no requests."""
    with chrome.tab(path, **SIZE) as tab:
        yield tab
        observed = tab.seen()
        assert observed.errors == []
        assert observed.requests == []


def visible_range(tab):
    """Return the first and last visible time, in seconds of the hour."""
    shown = tab.value("Object.values(document.querySelector('.timeline').dataset).map(Number)")
    return [(ms - START_MS) / 1_000 for ms in shown]


def place(tab, second, chart=0, up=0.5):
    """Return the current position of a second of the hour in the window, at a share of a chart's height."""
    left, top, width, height = tab.value(BOX.format(chart))
    edge = float(tab.value("document.querySelector('.timeline path.rule').getAttribute('d').slice(1).split(' ')[0]"))
    begin, end = visible_range(tab)
    return left + edge + (second - begin) / (end - begin) * (width - edge - RIGHT), top + up * height


def read_at(tab, chart=0):
    """Return the text of a chart next to its keys."""
    return tab.value(f"[...document.querySelectorAll('figure')[{chart}].querySelectorAll('b')].map(b => b.textContent)")


def test_whole_range_is_visible_at_first(tab):
    """And drawn in detail: more than the still picture, which is one line."""
    assert visible_range(tab) == [0, 3_600]
    assert tab.seen().charts == 3
    assert "2025-12-16 07:00:00 – 08:00:00 UTC · 1 h 00 min" in tab.seen().text
    assert tab.value("document.querySelectorAll('.timeline path.off').length") == 3
    labels = (
        "[...document.querySelectorAll('.timeline svg')[1].querySelectorAll('.tick.end')].map(one => one.textContent)"
    )
    assert tab.value(labels) == ["1", "0", "1"]  # fills upwards, none, and downwards


def test_dragging_zooms_to_the_marked_range(tab):
    """In all charts: the price in tens of seconds, the change from zero."""
    tab.drag(place(tab, 600), place(tab, 1_200))
    assert visible_range(tab) == pytest.approx([600, 1_200], abs=4)
    tab.drag(place(tab, 1_000, chart=2), place(tab, 900, chart=2))  # backwards, in another chart
    begin, end = visible_range(tab)
    assert [begin, end] == pytest.approx([900, 1_000], abs=2)
    tab.mouse("mouseMoved", *place(tab, 950.5))
    tab.settle()
    assert read_at(tab)[0] == "950"
    assert float(read_at(tab, 2)[0]) == 950 - int(begin)


def test_wheel_zooms_around_the_pointer(tab):
    """The position under the pointer stays; zooming out ends at the whole range."""
    x, y = place(tab, 900)
    tab.wheel(x, y, -240)
    begin, end = visible_range(tab)
    assert end - begin == pytest.approx(1_800, rel=1e-6)
    assert place(tab, 900)[0] == pytest.approx(x, abs=1)
    for _ in range(4):
        tab.wheel(x, y, 240)
    assert visible_range(tab) == [0, 3_600]
    for _ in range(20):
        tab.wheel(x, y, -240)
    begin, end = visible_range(tab)
    assert end - begin == pytest.approx(1, rel=1e-6)


def test_shift_drag_moves_the_range_and_stops_at_the_ends(tab):
    """The span stays the same."""
    tab.drag(place(tab, 600), place(tab, 1_200))
    begin, end = visible_range(tab)
    tab.drag(place(tab, 1_100), place(tab, 1_000), shift=True)
    assert visible_range(tab) == pytest.approx([begin + 100, end + 100], abs=4)
    for _ in range(9):
        tab.drag(place(tab, visible_range(tab)[0] + 10), place(tab, visible_range(tab)[1] - 10), shift=True)
    assert visible_range(tab) == pytest.approx([0, end - begin], abs=1e-6)


def test_keys_zoom_and_move(tab):
    """After a click into a chart, or by Tab."""
    tab.click(*place(tab, 1_800))
    tab.key("+")
    assert visible_range(tab) == [900, 2_700]
    tab.key("ArrowRight")
    assert visible_range(tab) == [1_350, 3_150]
    tab.key("ArrowLeft")
    tab.key("-")
    assert visible_range(tab) == [0, 3_600]
    tab.key("+")
    tab.key("0")
    assert visible_range(tab) == [0, 3_600]


def test_double_click_shows_the_whole_range(tab):
    """From any range."""
    tab.drag(place(tab, 600), place(tab, 700))
    tab.click(*place(tab, 650), clicks=2)
    assert visible_range(tab) == [0, 3_600]


def press_button(tab, do):
    tab.value(f"document.querySelector('[data-do=\"{do}\"]').click()")
    tab.settle()


def test_buttons_zoom_and_move(tab):
    """For touch screens."""
    press_button(tab, "600")
    assert visible_range(tab) == [1_500, 2_100]
    press_button(tab, "left")
    assert visible_range(tab) == [1_350, 1_950]
    press_button(tab, "in")
    assert visible_range(tab) == [1_500, 1_800]
    press_button(tab, "all")
    assert visible_range(tab) == [0, 3_600]


def test_next_and_back_step_through_fills(tab):
    """A minute around each; quotes, best prices and the fill itself are drawn individually."""
    tab.drag(place(tab, 900), place(tab, 1_100))
    centres = []
    for do in ("next", "next", "next", "back", "back", "back"):
        press_button(tab, do)
        begin, end = visible_range(tab)
        assert end - begin == 60
        centres.append((begin + end) / 2)
    assert centres == [1_200, 1_800, 1_800, 1_200, 600, 600]
    # a minute has seven quotes of ten seconds, and one triangle
    assert tab.value("document.querySelector('.timeline path.quote').getAttribute('d').match(/M/g).length") == 7
    assert tab.value("document.querySelector('.timeline path.buy').getAttribute('d').match(/M/g).length") == 1
    # the ask has stood since long before, and another one has come and gone
    assert tab.value("document.querySelector('.timeline path.ask').getAttribute('d').match(/M/g).length") == 1
    assert read_at(tab) == ["600", "590", "4,000", "1", "0"]


def test_tip_of_a_fill_shows_its_details(tab):
    """Under the pointer; text with angle brackets stays text. Away from the fill the tip disappears."""
    press_button(tab, "600")
    press_button(tab, "next")
    box = tab.value(BOX.format(0))
    ends = tab.value("document.querySelector('.timeline path.buy').getAttribute('d').slice(1).split('l')[0]")
    x, y = map(float, ends.split(" "))
    tab.mouse("mouseMoved", box[0] + x, box[1] + y + 4)
    tip = "(one => one.hidden ? null : one.innerText)(document.querySelector('.tip'))"
    assert tab.value(tip).split() == ["07:30:00.000", "UTC", "number", "3", "because", "book"]
    tab.mouse("mouseMoved", box[0] + x + 100, box[1] + y)
    assert tab.value(tip) is None


def test_click_on_a_legend_name_hides_its_series(tab):
    """And the scale adapts; a second click, or Enter, shows the series again."""
    highest = "[...document.querySelector('.timeline svg').querySelectorAll('.tick.end')].at(-1).textContent"
    assert tab.value(highest) == "4,000"
    hide = "document.querySelectorAll('figcaption span')[2].{}; "
    tab.value(hide.format("click()"))
    assert tab.value("document.querySelectorAll('.timeline path.ask').length") == 0
    assert tab.value(highest) == "3,000"
    tab.value(hide.format("focus()"))
    tab.key("Enter")
    assert tab.value("document.querySelectorAll('.timeline path.ask').length") == 1
    assert visible_range(tab) == [0, 3_600]


def test_excluded_time_is_a_hole_and_shaded(tab):
    """No line crosses it."""
    tab.drag(place(tab, 2_300), place(tab, 2_500))
    line = tab.value("document.querySelector('.timeline path.price').getAttribute('d')")
    assert line.count("M") == 2
    tab.mouse("mouseMoved", *place(tab, 2_430))
    assert read_at(tab)[0] == "–"
    begin, end = visible_range(tab)
    shade = tab.value("document.querySelector('.timeline path.off').getAttribute('d')")
    wide = float(shade.split("h")[1].split("V")[0])
    assert wide == pytest.approx(60 / (end - begin) * (place(tab, end)[0] - place(tab, begin)[0]), abs=1)


@pytest.mark.parametrize("look", [{"dark": True}, {"width": 380}, {"width": 2_000}])
def test_charts_are_drawn_on_every_screen(chrome, path, look):
    """Dark or light, narrow or wide; text keeps its size, and nothing overflows."""
    with chrome.tab(path, **(SIZE | look)) as tab:
        observed = tab.seen()
        assert (observed.errors, observed.requests, observed.charts, observed.overflow) == ([], [], 3, 0)
        width = tab.value(BOX.format(0))[2]
        assert tab.value("document.querySelector('.timeline svg').viewBox.baseVal.width") == pytest.approx(width, abs=1)
        press_button(tab, "60")
        assert tab.seen().overflow == 0


def test_charts_are_redrawn_for_a_narrower_window(tab):
    """After turning a phone or shrinking a window."""
    before = tab.value(BOX.format(0))[2]
    tab.call("Emulation.setDeviceMetricsOverride", width=600, height=900, deviceScaleFactor=1, mobile=False)
    tab.settle()
    tab.settle()
    after = tab.value(BOX.format(0))[2]
    assert after < before
    assert tab.value("document.querySelector('.timeline svg').viewBox.baseVal.width") == pytest.approx(after, abs=1)


def test_still_pictures_are_shown_if_scripts_are_disabled(chrome, path):
    """And no button without function."""
    with chrome.tab(path, **SIZE, scripts=False) as tab:
        observed = tab.seen()
        assert observed.charts == 3
        assert "1 min" not in observed.text


def test_finger_drag_moves_the_visible_range(tab):
    """Sideways; up and down still scrolls the page."""
    press_button(tab, "600")
    x, y = place(tab, 1_900)
    to, _ = place(tab, 1_700)
    tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for share in (0.1, 0.3, 0.6, 1.0):
        tab.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x + share * (to - x), "y": y}])
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    tab.settle()
    begin, end = visible_range(tab)
    assert end - begin == pytest.approx(600)
    assert begin == pytest.approx(1_500 + 200, abs=25)
