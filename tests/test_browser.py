"""The browser test harness detects problems of a page."""

import os

import pytest

from browser import browser, started

CHART = '<div class="js-plotly-plot"><svg viewBox="0 0 9 9" width="90"><g class="mlayer"><path d="{}"/></g></svg></div>'


@pytest.fixture
def page(tmp_path):
    """Return a function that writes an HTML page with the given body."""

    def write(html):
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><title>t</title><body>{html}</body>", encoding="utf-8")
        return path

    return write


def test_plain_page_reports_no_errors_or_requests(chrome, page):
    """The text is the visible text of the page."""
    result = chrome.opened(page("<h1>Hello</h1>"))
    assert (result.errors, result.requests, result.charts, result.canvases) == ([], [], 0, 0)
    assert result.text == "Hello"
    assert result.load_ms > 0
    assert result.overflow == 0


@pytest.mark.parametrize("script", ["console.error('broken')", "throw new Error('broken')", "console.warn('broken')"])
def test_exceptions_and_console_messages_are_reported_as_errors(chrome, page, script):
    """Exceptions and console errors and warnings are reported."""
    assert "broken" in chrome.opened(page(f"<script>{script}</script>")).errors[0]


@pytest.mark.parametrize(
    "html",
    ['<img src="http://127.0.0.1:9/a.png">', "<script>fetch('http://127.0.0.1:9/a.png').catch(() => 0)</script>"],
)
def test_external_requests_are_reported(chrome, page, html):
    """Failed requests are reported, too."""
    assert chrome.opened(page(html)).requests == ["http://127.0.0.1:9/a.png"]


def test_only_visible_nonempty_charts_are_counted(chrome, page):
    """An empty or hidden chart is not counted."""
    html = CHART.format("M0 0L9 9") + CHART.format("") + f"<div hidden>{CHART.format('M0 0L9 9')}</div>"
    assert chrome.opened(page(html)).charts == 1


def test_tab_options_set_color_scheme_width_and_scripts(chrome, page):
    """Tabs open light or dark, wide or narrow, with or without scripts."""
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


def test_input_events_reach_the_page(chrome, page):
    """The page receives wheel, click, drag and key events."""
    kinds = ("wheel", "click", "dblclick", "pointermove", "keydown")
    with chrome.tab(page(f"<script>seen = []; {listener_script(kinds)}</script>")) as tab:
        tab.wheel(100, 100, -50)
        tab.click(100, 100, clicks=2)
        tab.drag((100, 100), (200, 100), shift=True)
        tab.key("ArrowLeft")
        assert set(tab.value("seen")) == {"wheel", "click", "dblclick", "pointermove", "keydown"}


def listener_script(kinds):
    return "".join(f"addEventListener('{kind}', () => seen.push('{kind}'));" for kind in kinds)


def test_errors_of_a_closed_page_are_not_reported_for_the_next(chrome, page):
    """Each page reports only its own errors."""
    chrome.opened(page("<script>console.error('of the first')</script>"))
    assert chrome.opened(page("second")).errors == []


def test_browser_process_ends_with_its_context(page):
    """The process no longer exists after the context manager exits."""
    program = browser()
    if program is None:
        pytest.skip("no browser on PATH (chromium, chromium-browser or google-chrome): pages are not looked at")
    with started(program) as chrome:
        chrome.opened(page("x"))
    with pytest.raises(ProcessLookupError):
        os.kill(chrome.pid, 0)
