"""The report page in a browser: everything drawn, no errors, no requests."""

import numpy as np
import pytest
from drawn_runs import full_day, page_of, result_of
from hypothesis import HealthCheck, given, settings

from journals import Scribe, scribes, seeded
from legible import illegible
from mm.report.backtest import page
from mm.report.run_columns import columns_of
from mm.report.run_pages import Listing, index_page


@pytest.fixture
def opened(chrome, tmp_path):
    """Open a page of some HTML; it must have no errors, requests or overflow."""

    def look(html, **look):
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        observed = chrome.opened(path, **look)
        assert (observed.errors, observed.requests, observed.overflow) == ([], [], 0)
        return observed

    return look


def scribe_of(kind):
    if kind == "no fills":
        return seeded(60, fill_chance=0.0)
    scribe = Scribe()
    if kind == "one row":
        scribe.move(20_000)
    if kind != "empty":
        scribe.state()
    if kind == "never valid":
        scribe.wait(60_000_000)
        scribe.state()
    return scribe


# Not over time are the charts of the split, the markouts, the distances and the rates.
@pytest.mark.parametrize(
    ("kind", "charts"), [("empty", 0), ("never valid", 3), ("one row", 7), ("no fills", 7), ("fills", 10)]
)
def test_any_run_is_drawn_in_a_browser(opened, kind, charts):
    """Text where there is nothing to draw, and no script errors."""
    observed = opened(page_of(result_of(seeded(400) if kind == "fills" else scribe_of(kind))))
    assert observed.charts == charts
    assert "PnL by source" in observed.text


@pytest.mark.parametrize("look", [{"dark": True}, {"width": 380}])
def test_full_day_is_drawn_on_every_screen(opened, look):
    """With a schedule's A and k, eight quotes per second and many holes."""
    result = result_of(seeded(300, breaks=2))
    observed = opened(page(result.summary, full_day(seconds=20_000, n_fills=5_000)), **look)
    assert observed.charts == 12
    assert "our bid" in observed.text


def test_every_label_is_legible(chrome, tmp_path):
    """No label is over another or beyond its picture, with few fills or many."""
    path = tmp_path / "report.html"
    for run in (seeded(400), quoting(900), scribe_of("no fills")):
        path.write_text(page_of(result_of(run)), encoding="utf-8")
        assert illegible(chrome, path) == []


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scribes())
def test_script_has_no_errors_for_any_run(chrome, tmp_path, scribe):
    """Nothing is drawn at a coordinate that is not a number, at any zoom."""
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(scribe)), encoding="utf-8")
    press = (
        "document.querySelector('.timeline').dispatchEvent(new KeyboardEvent('keydown', {{key: '{}', bubbles: true}}))"
    )
    with chrome.tab(path) as tab:
        for key in ("+", "n", "ArrowLeft", "p", "0"):
            tab.value(press.format(key))
            tab.settle()
            drawn = tab.value("document.querySelector('.timeline').innerHTML")
            assert not any(word in drawn for word in ("NaN", "undefined", "Infinity", "∞"))
        assert tab.seen().errors == []


def quoting(seconds):
    """A run that requotes both sides every second and is filled on one side every seventh second."""
    scribe = Scribe()
    scribe.move(2_000_000)
    for second in range(seconds):
        scribe.state()
        orders = [(side, 1_000_000 - side * (20 + second % 9), 100) for side in (1, -1)]
        ids = [scribe.place(*order) for order in orders]
        scribe.wait(400_000)
        scribe.move(2_000_000 + second % 5)
        scribe.wait(500_000)
        for order_id, order in zip(ids, orders, strict=True):
            filled = second % 7 == 0 and order[0] == (1 if second % 2 else -1)
            if filled:
                scribe.fill(order_id, *order)
            scribe.order(
                "CLOSE_FILLED" if filled else "CANCEL_ACK", "FILLED" if filled else "CANCELLED", order_id, order
            )
        scribe.open = 0
        scribe.wait(100_000)
    scribe.state()
    return scribe


def test_minute_shows_individual_quotes_and_fills(chrome, tmp_path):
    """As many quotes and fills as the run has, and the mid to the last digit."""
    result = result_of(quoting(900))
    path = tmp_path / "report.html"
    path.write_text(page_of(result), encoding="utf-8")
    run = columns_of(result)
    count = "document.querySelector('.timeline path.{}').getAttribute('d').match(/M/g).length"
    with chrome.tab(path) as tab:
        tab.value("document.querySelector('[data-do=\"60\"]').click()")
        tab.settle()
        begin, end = tab.value("Object.values(document.querySelector('.timeline').dataset).map(Number)")
        assert end - begin == 60_000
        for side, quote, fill in ((1, "bid", "buy"), (-1, "ask", "sell")):
            standing = run.quotes[side]
            inside = (standing.us // 1_000 <= end) & (standing.until_us // 1_000 > begin)
            assert tab.value(count.format(quote)) == inside.sum() in (60, 61)
            fills = run.fills["recv_us"][run.fills["side"] == fill.upper()] // 1_000
            assert tab.value(count.format(fill)) == ((fills >= begin) & (fills <= end)).sum() in (4, 5)
        mid = run.later(np.array([int(end) * 1_000]))[0]
        assert float(tab.value("document.querySelector('[data-line]').textContent").replace(",", "")) == mid
        assert tab.seen().errors == []


ORDER = "[...document.querySelectorAll('.listing tr')].slice(1).map((row) => Number(row.cells[0].textContent))"


def test_click_on_a_heading_sorts_the_table(chrome, tmp_path):
    """By numbers and by words, and in reverse at the second click."""
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(seeded(1_300))), encoding="utf-8")
    click = "document.querySelectorAll('.listing .cols > *')[{}].click()"
    with chrome.tab(path) as tab:
        before = tab.value(ORDER)
        assert before == sorted(before)
        tab.value(click.format(0))
        tab.value(click.format(0))
        assert tab.value(ORDER) == before[::-1]
        tab.value(click.format(2))
        sides = tab.value(
            "[...document.querySelectorAll('.listing tr')].slice(1).map((row) => row.cells[2].textContent)"
        )
        assert sides == sorted(sides)
        assert tab.seen().errors == []


@pytest.mark.parametrize("width", [800, 1400, 1920, 2560])
def test_page_uses_the_width_of_the_window(chrome, tmp_path, width):
    """Charts over time are as wide as the window, and nothing overflows."""
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(seeded(400))), encoding="utf-8")
    with chrome.tab(path, width=width) as tab:
        used = tab.value("document.querySelector('.timeline svg').getBoundingClientRect().width")
        assert used > min(0.88 * width, 2_000)
        assert tab.seen().overflow == 0


def test_timestamps_are_sorted_as_text(chrome, tmp_path):
    """The year of a date is not a number to sort by, nor is the beginning of a RUN_ID."""
    path = tmp_path / "index.html"
    started = ["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    runs = [Listing(["backtest", "X", "20260101", f"2026T{i}", "ok", at], None, {}) for i, at in enumerate(started)]
    path.write_text(index_page(runs, "out"), encoding="utf-8")
    with chrome.tab(path) as tab:
        tab.value("document.querySelector('.cols > *').click()")
        shown = tab.value("[...document.querySelectorAll('table tr')].slice(1).map((row) => row.cells[0].textContent)")
        assert shown == [at[:19].replace("T", " ") for at in sorted(started)]


def test_index_results_fit_without_scrolling(chrome, tmp_path):
    """In a window of 800 px, with the numbers of a sweep, which are the longest."""
    path = tmp_path / "index.html"
    headlines = {"trials": 9, "best.pnl_total": -2.505, "best.sharpe": -2737.6, "walkforward.pnl": -1.983}
    cells = ["walkforward", "SIMUSDT", "20260101", "20260101T000000Z", "ok", "2026-01-03T00:00:00Z"]
    path.write_text(index_page([Listing(cells, None, headlines)], "out"), encoding="utf-8")
    with chrome.tab(path, width=800) as tab:
        assert tab.value("(one => one.scrollWidth - one.clientWidth)(document.querySelector('.wide'))") == 0
