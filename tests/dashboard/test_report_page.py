"""The page of a run on the dashboard, in a frame of its own."""

import re
import shutil
from html import unescape

from page_reading import text_of

from mm.dashboard.look import theme
from mm.report.frame import inlined, palette
from pages import figures_of


def framed(at):
    """Return the HTML that the page gives to the browser as a frame."""
    (frame,) = at.get("iframe")
    return frame.proto.srcdoc


def test_page_of_a_run_is_framed_without_the_rights_of_the_dashboard(opened, made):
    """It is the file of the run; its scripts can reach neither the dashboard nor the network."""
    at = opened("report_page", run="base")
    assert not at.exception
    outer = framed(at)
    (rights,) = re.findall(r'sandbox="([^"]*)"', outer)
    assert rights == "allow-scripts"
    inner = unescape(re.findall(r'srcdoc="([^"]*)"', outer)[0])
    page = (made / "out/backtest/SIMUSDT/20260105_base/report.html").read_text(encoding="utf-8")
    assert inner == page
    assert len(figures_of(inner)) > 5


def test_run_without_a_page_says_how_to_draw_it(opened, made, tmp_path):
    """Only runs with one are listed."""
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "out/backtest/SIMUSDT/20260105_base/report.html").unlink()
    at = opened("report_page", tmp_path, run="base")
    assert not at.exception
    assert "mm report base" in at.error[0].value
    none = opened("report_page", tmp_path / "nothing")
    assert "has a page" in text_of(none)


def test_page_with_plotly_beside_it_is_whole_in_the_frame():
    """A frame has no folder from which the file could come."""
    html = inlined('<p>a</p><script src="../../plotly.min.js"></script><p>b</p>')
    assert 'data-gzip="1"' in html
    assert "src=" not in html.partition("data-gzip")[0]


def test_colours_of_the_dashboard_are_those_of_the_pages():
    """One stylesheet: light and dark."""
    options, colours = theme(), palette()
    for name in ("ground", "card", "ink", "main"):
        assert set(colours[name]) <= set(options.values())
