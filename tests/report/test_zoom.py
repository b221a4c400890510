"""Charts over time with zoom: the visible range is the requested one, in all charts at once."""

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
    """The page, open; it must have had nothing to complain of in the end."""
    with chrome.tab(path, **SIZE) as tab:
        yield tab
        seen = tab.seen()
        assert seen.errors == []
        assert seen.requests == []


def in_sight(tab):
    """Return the first and last instant in sight, in seconds of the hour."""
    shown = tab.value("Object.values(document.querySelector('.timeline').dataset).map(Number)")
    return [(one - START_MS) / 1_000 for one in shown]


def place(tab, second, chart=0, up=0.5):
    """Return the current position of a second of the hour in the window, at a share of a chart's height."""
    left, top, width, height = tab.value(BOX.format(chart))
    edge = float(tab.value("document.querySelector('.timeline path.rule').getAttribute('d').slice(1).split(' ')[0]"))
    begin, end = in_sight(tab)
    return left + edge + (second - begin) / (end - begin) * (width - edge - RIGHT), top + up * height


def read_at(tab, chart=0):
    """Return the text of a chart next to its keys."""
    return tab.value(f"[...document.querySelectorAll('figure')[{chart}].querySelectorAll('b')].map(b => b.textContent)")


def test_all_is_in_sight_at_first(tab):
    """And drawn: more than the still picture, which is one line."""
    assert in_sight(tab) == [0, 3_600]
    assert tab.seen().charts == 3
    assert "2025-12-16 07:00:00 – 08:00:00 UTC · 1 h 00 min" in tab.seen().text
    assert tab.value("document.querySelectorAll('.timeline path.off').length") == 3
    labels = (
        "[...document.querySelectorAll('.timeline svg')[1].querySelectorAll('.tick.end')].map(one => one.textContent)"
    )
    assert tab.value(labels) == ["1", "0", "1"]  # fills upwards, none, and downwards


def test_dragging_shows_what_was_marked(tab):
    """In all charts: the price in tens of seconds, the change from zero."""
    tab.drag(place(tab, 600), place(tab, 1_200))
    assert in_sight(tab) == pytest.approx([600, 1_200], abs=4)
    tab.drag(place(tab, 1_000, chart=2), place(tab, 900, chart=2))  # backwards, in another chart
    begin, end = in_sight(tab)
    assert [begin, end] == pytest.approx([900, 1_000], abs=2)
    tab.mouse("mouseMoved", *place(tab, 950.5))
    tab.settle()
    assert read_at(tab)[0] == "950"
    assert float(read_at(tab, 2)[0]) == 950 - int(begin)


def test_the_wheel_zooms_where_the_pointer_is(tab):
    """What is under the pointer stays there; the whole is the end of zooming out."""
    x, y = place(tab, 900)
    tab.wheel(x, y, -240)
    begin, end = in_sight(tab)
    assert end - begin == pytest.approx(1_800, rel=1e-6)
    assert place(tab, 900)[0] == pytest.approx(x, abs=1)
    for _ in range(4):
        tab.wheel(x, y, 240)
    assert in_sight(tab) == [0, 3_600]
    for _ in range(20):
        tab.wheel(x, y, -240)
    begin, end = in_sight(tab)
    assert end - begin == pytest.approx(1, rel=1e-6)


def test_shift_and_drag_moves_and_stops_at_the_ends(tab):
    """The span stays the same."""
    tab.drag(place(tab, 600), place(tab, 1_200))
    begin, end = in_sight(tab)
    tab.drag(place(tab, 1_100), place(tab, 1_000), shift=True)
    assert in_sight(tab) == pytest.approx([begin + 100, end + 100], abs=4)
    for _ in range(9):
        tab.drag(place(tab, in_sight(tab)[0] + 10), place(tab, in_sight(tab)[1] - 10), shift=True)
    assert in_sight(tab) == pytest.approx([0, end - begin], abs=1e-6)


def test_keys_do_what_hands_do(tab):
    """After a click into a chart, or by Tab."""
    tab.click(*place(tab, 1_800))
    tab.key("+")
    assert in_sight(tab) == [900, 2_700]
    tab.key("ArrowRight")
    assert in_sight(tab) == [1_350, 3_150]
    tab.key("ArrowLeft")
    tab.key("-")
    assert in_sight(tab) == [0, 3_600]
    tab.key("+")
    tab.key("0")
    assert in_sight(tab) == [0, 3_600]


def test_a_double_click_shows_all_again(tab):
    """Wherever one is."""
    tab.drag(place(tab, 600), place(tab, 700))
    tab.click(*place(tab, 650), clicks=2)
    assert in_sight(tab) == [0, 3_600]


def press(tab, do):
    tab.value(f"document.querySelector('[data-do=\"{do}\"]').click()")
    tab.settle()


def test_buttons_need_neither_wheel_nor_keys(tab):
    """For fingers."""
    press(tab, "600")
    assert in_sight(tab) == [1_500, 2_100]
    press(tab, "left")
    assert in_sight(tab) == [1_350, 1_950]
    press(tab, "in")
    assert in_sight(tab) == [1_500, 1_800]
    press(tab, "all")
    assert in_sight(tab) == [0, 3_600]


def test_one_fill_after_the_other_is_shown(tab):
    """A minute around each; quotes, best prices and the fill itself are drawn singly."""
    tab.drag(place(tab, 900), place(tab, 1_100))
    seen = []
    for do in ("next", "next", "next", "back", "back", "back"):
        press(tab, do)
        begin, end = in_sight(tab)
        assert end - begin == 60
        seen.append((begin + end) / 2)
    assert seen == [1_200, 1_800, 1_800, 1_200, 600, 600]
    # a minute has seven quotes of ten seconds, and one triangle
    assert tab.value("document.querySelector('.timeline path.quote').getAttribute('d').match(/M/g).length") == 7
    assert tab.value("document.querySelector('.timeline path.buy').getAttribute('d').match(/M/g).length") == 1
    # the ask has stood since long before, and another one has come and gone
    assert tab.value("document.querySelector('.timeline path.ask').getAttribute('d').match(/M/g).length") == 1
    assert read_at(tab) == ["600", "590", "4,000", "1", "0"]


def test_a_fill_tells_what_it_was(tab):
    """Under the pointer; words with angle brackets stay words. Away from it the tip goes."""
    press(tab, "600")
    press(tab, "next")
    box = tab.value(BOX.format(0))
    ends = tab.value("document.querySelector('.timeline path.buy').getAttribute('d').slice(1).split('l')[0]")
    x, y = map(float, ends.split(" "))
    tab.mouse("mouseMoved", box[0] + x, box[1] + y + 4)
    tip = "(one => one.hidden ? null : one.innerText)(document.querySelector('.tip'))"
    assert tab.value(tip).split() == ["07:30:00.000", "UTC", "number", "3", "because", "book"]
    tab.mouse("mouseMoved", box[0] + x + 100, box[1] + y)
    assert tab.value(tip) is None


def test_a_name_hides_what_it_stands_for(tab):
    """And the scale takes what room that leaves; a second click, or Enter, brings it back."""
    highest = "[...document.querySelector('.timeline svg').querySelectorAll('.tick.end')].at(-1).textContent"
    assert tab.value(highest) == "4,000"
    hide = "document.querySelectorAll('figcaption span')[2].{}; "
    tab.value(hide.format("click()"))
    assert tab.value("document.querySelectorAll('.timeline path.ask').length") == 0
    assert tab.value(highest) == "3,000"
    tab.value(hide.format("focus()"))
    tab.key("Enter")
    assert tab.value("document.querySelectorAll('.timeline path.ask').length") == 1
    assert in_sight(tab) == [0, 3_600]


def test_what_is_excluded_is_a_hole_and_shaded(tab):
    """No line crosses it."""
    tab.drag(place(tab, 2_300), place(tab, 2_500))
    line = tab.value("document.querySelector('.timeline path.price').getAttribute('d')")
    assert line.count("M") == 2
    tab.mouse("mouseMoved", *place(tab, 2_430))
    assert read_at(tab)[0] == "–"
    begin, end = in_sight(tab)
    shade = tab.value("document.querySelector('.timeline path.off').getAttribute('d')")
    wide = float(shade.split("h")[1].split("V")[0])
    assert wide == pytest.approx(60 / (end - begin) * (place(tab, end)[0] - place(tab, begin)[0]), abs=1)


@pytest.mark.parametrize("look", [{"dark": True}, {"width": 380}, {"width": 2_000}])
def test_every_screen_shows_the_charts(chrome, path, look):
    """Dark or light, narrow or wide; text keeps its size, and nothing hangs over."""
    with chrome.tab(path, **(SIZE | look)) as tab:
        seen = tab.seen()
        assert (seen.errors, seen.requests, seen.charts, seen.overflow) == ([], [], 3, 0)
        width = tab.value(BOX.format(0))[2]
        assert tab.value("document.querySelector('.timeline svg').viewBox.baseVal.width") == pytest.approx(width, abs=1)
        press(tab, "60")
        assert tab.seen().overflow == 0


def test_a_narrower_window_is_drawn_anew(tab):
    """Turning a phone, or drawing a window smaller."""
    before = tab.value(BOX.format(0))[2]
    tab.call("Emulation.setDeviceMetricsOverride", width=600, height=900, deviceScaleFactor=1, mobile=False)
    tab.settle()
    tab.settle()
    after = tab.value(BOX.format(0))[2]
    assert after < before
    assert tab.value("document.querySelector('.timeline svg').viewBox.baseVal.width") == pytest.approx(after, abs=1)


def test_without_scripts_the_still_pictures_are_seen(chrome, path):
    """And no button that would do nothing."""
    with chrome.tab(path, **SIZE, scripts=False) as tab:
        seen = tab.seen()
        assert seen.charts == 3
        assert "1 min" not in seen.text


def test_a_finger_moves_what_is_in_sight(tab):
    """Sideways; up and down it scrolls the page as ever."""
    press(tab, "600")
    x, y = place(tab, 1_900)
    to, _ = place(tab, 1_700)
    tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for share in (0.1, 0.3, 0.6, 1.0):
        tab.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x + share * (to - x), "y": y}])
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    tab.settle()
    begin, end = in_sight(tab)
    assert end - begin == pytest.approx(600)
    assert begin == pytest.approx(1_500 + 200, abs=25)
