"""The document of a page: its charts, and where plotly's JavaScript comes from."""

import gzip
import re
from base64 import b64decode

import pytest

from mm.report import figures
from mm.report.frame import PLOTLY, chart, document, plotly_address, plotly_script
from pages import figures_of, read

FIGURE = figures.chart([figures.line("a", [0, 1], [1, 2])], figures.numbers_axis("x"))


def test_page_contains_plotly_only_if_it_has_a_chart():
    """Compressed, once, and complete."""
    html = document("two", [chart(FIGURE), chart(FIGURE)])
    read(html)
    (packed,) = re.findall(r'data-gzip="1">([^<]*)<', html)
    assert gzip.decompress(b64decode(packed)) == plotly_script().read_bytes()
    assert len(figures_of(html)) == 2
    assert len(document("none", [chart(None, "Nothing.")])) < 40_000


def test_missing_figure_is_a_text():
    assert chart(None, "No <b>fills</b>.") == '<p class="none">No <b>fills</b>.</p>'


@pytest.mark.parametrize("folder", ["", "backtest/S YM/1_a"])
def test_one_copy_of_plotly_serves_all_pages(tmp_path, folder):
    """It is written once, and again if it is another version."""
    assert plotly_address("inline", tmp_path, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    address = plotly_address("directory", tmp_path, tmp_path / folder)
    assert address == "../" * (3 if folder else 0) + PLOTLY
    (tmp_path / PLOTLY).write_text("old")
    plotly_address("directory", tmp_path, tmp_path / folder)
    assert (tmp_path / PLOTLY).read_bytes() == plotly_script().read_bytes()
