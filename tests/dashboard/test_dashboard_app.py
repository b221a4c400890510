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


def test_the_first_page_lists_what_there_is(app, made):
    """Days, and runs with what they found."""
    at = app(made / "data", made / "out")
    assert not at.exception
    assert {one.label: one.value for one in at.metric}["Finished runs"] == "5"
    rows = at.dataframe[0].value
    assert rows["run"].tolist()[-1] == "/runs?run=base"
    assert "pnl_total" in rows["found"].tolist()[-1]


def test_there_is_a_path_for_each_page():
    """The addresses that others link to."""
    assert list(PAGES) == ["market", "runs", "calibration", "backtest", "risk"]


def test_empty_folders_say_what_to_do(app, tmp_path):
    at = app(tmp_path / "data", tmp_path / "out")
    assert not at.exception
    assert "start one on Backtest" in text_of(at)
