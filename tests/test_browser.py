"""The harness that looks at pages sees what is wrong with one."""

import os

import pytest

from browser import browser, started

SVG = '<svg viewBox="0 0 9 9" width="90"><path d="{}"/></svg>'


@pytest.fixture
def page(tmp_path):
    """Writes a page of some HTML."""

    def write(html):
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><title>t</title><body>{html}</body>", encoding="utf-8")
        return path

    return write


def test_a_quiet_page_has_nothing_to_tell(chrome, page):
    """What a page shows is read as a reader reads it."""
    seen = chrome.opened(page("<h1>Hello</h1>"))
    assert (seen.errors, seen.requests, seen.charts, seen.canvases) == ([], [], 0, 0)
    assert seen.text == "Hello"
    assert seen.load_ms > 0
    assert seen.overflow == 0


@pytest.mark.parametrize("script", ["console.error('broken')", "throw new Error('broken')", "console.warn('broken')"])
def test_errors_are_seen(chrome, page, script):
    """Thrown or told to the console."""
    assert "broken" in chrome.opened(page(f"<script>{script}</script>")).errors[0]


@pytest.mark.parametrize(
    "html",
    ['<img src="http://127.0.0.1:9/a.png">', "<script>fetch('http://127.0.0.1:9/a.png').catch(() => 0)</script>"],
)
def test_requests_that_leave_the_page_are_seen(chrome, page, html):
    """Whether they are answered or not."""
    assert chrome.opened(page(html)).requests == ["http://127.0.0.1:9/a.png"]


def test_only_pictures_with_something_drawn_are_charts(chrome, page):
    """An SVG element is no proof that anything was drawn."""
    html = SVG.format("M0 0L9 9") + SVG.format("") + f"<div hidden>{SVG.format('M0 0L9 9')}</div>"
    assert chrome.opened(page(html)).charts == 1


def test_pages_are_opened_as_they_are_asked_for(chrome, page):
    """Light or dark, wide or narrow, with scripts or without."""
    path = page("<div style='width: 500px'>wide</div><script>document.body.append('ran')</script>")
    dark = "matchMedia('(prefers-color-scheme: dark)').matches"
    with chrome.tab(path, width=400, dark=True) as tab:
        assert tab.value(dark) is True
        assert tab.seen().overflow > 0
        assert "ran" in tab.seen().text
    with chrome.tab(path, scripts=False) as tab:
        assert tab.value(dark) is False
        assert tab.seen().overflow == 0
        assert "ran" not in tab.seen().text


def test_hands_reach_the_page(chrome, page):
    """Wheel, click, drag and keys arrive as a reader's would."""
    kinds = ("wheel", "click", "dblclick", "pointermove", "keydown")
    with chrome.tab(page(f"<script>seen = []; {listening(kinds)}</script>")) as tab:
        tab.wheel(100, 100, -50)
        tab.click(100, 100, clicks=2)
        tab.drag((100, 100), (200, 100), shift=True)
        tab.key("ArrowLeft")
        assert set(tab.value("seen")) == {"wheel", "click", "dblclick", "pointermove", "keydown"}


def listening(kinds):
    return "".join(f"addEventListener('{kind}', () => seen.push('{kind}'));" for kind in kinds)


def test_a_page_that_is_closed_says_no_more_of_the_next(chrome, page):
    """What one page did is not told of another."""
    chrome.opened(page("<script>console.error('of the first')</script>"))
    assert chrome.opened(page("second")).errors == []


def test_the_browser_ends_with_its_test(page):
    """No process and no profile is left behind."""
    program = browser()
    if program is None:
        pytest.skip("no browser on PATH (chromium, chromium-browser or google-chrome): pages are not looked at")
    with started(program) as chrome:
        chrome.opened(page("x"))
    with pytest.raises(ProcessLookupError):
        os.kill(chrome.pid, 0)
