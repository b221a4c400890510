"""The report page in a browser: everything drawn, no errors, no requests."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from drawn_runs import drawn, full_day, page_of, result_of
from journals import Scribe, scribes, seeded
from legible import illegible
from mm.report import figures, frame


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


# Equity, the charts over time, the split, the returns, those by inventory; the markouts, distances, rates and draws.
@pytest.mark.parametrize(
    ("kind", "charts"), [("empty", 0), ("never valid", 1), ("one row", 2), ("no fills", 4), ("fills", 9)]
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
    observed = opened(page_of(result, full_day(seconds=20_000, n_fills=5_000)), **look)
    assert observed.charts == 10
    assert {"our bid", "our sells", "spread captured"} <= set(observed.text.split("\n"))  # the legends


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
    with chrome.tab(path) as tab:
        for seconds in (60, 600, 0):
            tab.value(f"document.querySelector('[data-span-s=\"{seconds}\"]')?.click()")
            tab.settle()
            drawn = tab.value("[...document.querySelectorAll('.chart')].map(one => one.innerHTML).join()")
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


RANGES = "[...document.querySelectorAll('.chart')].slice(0, 2).map(one => one.layout.xaxis.range.map(instant))"
INSTANT = "const instant = (one) => typeof one === 'number' ? one : Date.parse(one.replace(' ', 'T') + 'Z');"


def test_charts_over_time_zoom_together(chrome, tmp_path):
    """A minute around a fill in both, with the range of prices of that minute; then all again."""
    result = result_of(quoting(900))
    path = tmp_path / "report.html"
    html, run = drawn(result)
    path.write_text(html, encoding="utf-8")
    fills = run.fills["recv_us"] / 1e3
    with chrome.tab(path) as tab:
        whole = tab.value(f"(() => {{ {INSTANT} return {RANGES}; }})()")
        tab.value("document.querySelector('[data-stop=\"1\"]').click()")
        tab.settle()
        equity, market = tab.value(f"(() => {{ {INSTANT} return {RANGES}; }})()")
        assert equity == market
        assert market[1] - market[0] == pytest.approx(60_000, abs=1)
        assert np.abs(fills - sum(market) / 2).min() < 1
        low, high = tab.value("document.querySelectorAll('.chart')[1].layout.yaxis.range")
        prices = [run.quotes[side].price for side in (1, -1)]
        assert low < min(one.min() for one in prices)
        assert high > max(one.max() for one in prices)
        tab.value("document.querySelector('[data-span-s=\"0\"]').click()")
        tab.settle()
        assert tab.value(f"(() => {{ {INSTANT} return {RANGES}; }})()") == whole
        assert tab.seen().errors == []


def test_dragging_in_one_chart_zooms_the_others(chrome, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(quoting(900))), encoding="utf-8")
    with chrome.tab(path, height=2_000) as tab:
        left, top, width = tab.value(
            "(one => [one.left, one.top, one.width])"
            "(document.querySelectorAll('.chart')[1].querySelector('.nsewdrag').getBoundingClientRect())"
        )
        tab.drag((left + 0.25 * width, top + 50), (left + 0.5 * width, top + 52))
        tab.value("new Promise(done => setTimeout(done, 300))")
        equity, market = tab.value(f"(() => {{ {INSTANT} return {RANGES}; }})()")
        assert equity == pytest.approx(market)
        assert market[1] - market[0] == pytest.approx(0.25 * 900_000, rel=0.05)
        assert tab.seen().errors == []


def test_switch_changes_between_light_and_dark(chrome, tmp_path):
    """The charts follow."""
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(seeded(300))), encoding="utf-8")
    colours = (
        "[getComputedStyle(document.body).backgroundColor, document.querySelector('.chart .xtick text').style.fill]"
    )
    with chrome.tab(path) as tab:
        light = tab.value(colours)
        tab.value("document.getElementById('theme').click()")
        tab.settle()
        dark = tab.value(colours)
        assert all(a != b for a, b in zip(light, dark, strict=True))


def test_page_beside_a_copy_of_plotly_is_drawn(chrome, tmp_path):
    """Read from the folder of the runs, as its policy allows."""
    folder = tmp_path / "backtest" / "X"
    folder.mkdir(parents=True)
    path = folder / "report.html"
    path.write_text(
        page_of(result_of(seeded(300)), plotly=frame.plotly_address("directory", tmp_path, folder)), encoding="utf-8"
    )
    observed = chrome.opened(path)
    assert (observed.errors, observed.requests) == ([], [])
    assert observed.charts >= 6
    assert [one.name for one in tmp_path.glob("*.js")] == ["plotly.min.js"]


ORDER = "[...document.querySelectorAll('.listing tr')].slice(1).map((row) => Number(row.cells[0].textContent))"


def test_click_on_a_heading_sorts_the_table(chrome, tmp_path):
    """By numbers and by words, and in reverse at the second click."""
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(seeded(1_300))), encoding="utf-8")
    click = "document.querySelectorAll('.listing .cols > *')[{}].click()"
    with chrome.tab(path) as tab:
        before = tab.value(ORDER)
        assert before == sorted(before, reverse=True)  # the newest first
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
    run = full_day(seconds=2_000, n_fills=500)
    path.write_text(page_of(result_of(seeded(300)), run), encoding="utf-8")
    with chrome.tab(path, width=width) as tab:
        used = tab.value("document.querySelectorAll('.chart')[1].getBoundingClientRect().width")
        assert used > min(0.88 * width, 2_000)
        assert tab.seen().overflow == 0


@pytest.mark.parametrize("width", [700, 1600])
def test_legend_lies_between_its_title_and_its_drawing_area(chrome, tmp_path, width):
    """Room for a legend of three lines, which a narrow page needs, is a gap where it has one."""
    lines = [figures.line(f"quotes number {number}", [0, 1], [number, 1]) for number in range(9)]
    panels = [figures.Panel("Prices", "USDT", lines, 200), figures.Panel("Fills", "", lines[:1], 100)]
    path = tmp_path / "report.html"
    chart = frame.chart(figures.stacked(panels, figures.numbers_axis("s")))
    path.write_text(frame.document("chart", [frame.card("Over time", "", chart)]), encoding="utf-8")
    with chrome.tab(path, width=width) as tab:
        box = "document.querySelector('.js-plotly-plot %s').getBoundingClientRect()"
        title = tab.value(f"{box % '.annotation'}.bottom")
        top, bottom = tab.value(f"{box % '.legend'}.top"), tab.value(f"{box % '.legend'}.bottom")
        offset = "document.querySelector('.js-plotly-plot')._fullLayout.yaxis._offset"
        drawn = tab.value(f"{box % '.main-svg'}.top + {offset}")
    assert -5 < top - title < 20
    assert -5 < drawn - bottom < 20


@pytest.mark.parametrize("width", [380, 1000, 1300])
def test_no_headline_is_wider_than_its_tile(chrome, tmp_path, width):
    """Words, such as those of a verdict, take a second line."""
    path = tmp_path / "report.html"
    path.write_text(page_of(result_of(seeded(40))), encoding="utf-8")
    with chrome.tab(path, width=width) as tab:
        tiles = "[...document.querySelectorAll('.tile b')]"
        over = tab.value(f"{tiles}.filter((one) => one.scrollWidth > one.clientWidth).length")
        texts = tab.value(f"{tiles}.map((one) => one.textContent).join()")
    assert over == 0, texts
    assert "too short to test" in texts
