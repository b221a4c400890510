"""The script of the dashboard: its navigation and its first page."""

import sys

import pytest
from page_reading import text_of
from streamlit.testing.v1 import AppTest

from mm.commands.dashboard import APP
from mm.dashboard.app import PAGES


@pytest.fixture
def app(monkeypatch):
    """Run the script for two folders."""

    def run(data_root, out_root):
        monkeypatch.setattr(sys, "argv", [str(APP), str(data_root), str(out_root)])
        return AppTest.from_file(str(APP), default_timeout=60).run()

    return run


def test_first_page_lists_days_and_runs(app, made):
    """Runs with their headline numbers."""
    at = app(made / "data", made / "out")
    assert not at.exception
    assert {metric.label: metric.value for metric in at.metric}["Finished runs"] == "5"
    rows = at.dataframe[0].value
    assert rows["run"].tolist()[-1] == "/runs?run=base"
    assert rows["page"].tolist()[-1] == "/page?run=base"
    assert "PnL of quoting" in rows["result"].tolist()[-1]


def test_each_page_has_its_path():
    """Other pages link to these addresses."""
    assert list(PAGES) == ["market", "runs", "calibration", "backtest", "risk", "page"]


def test_empty_folders_show_the_next_step(app, tmp_path):
    at = app(tmp_path / "data", tmp_path / "out")
    assert not at.exception
    assert "start one on Backtest" in text_of(at)
