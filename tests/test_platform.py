"""Where the project runs, and what its public functions say."""

import pydoc

import pytest

import mm
from mm.base.knobs import knobs
from mm.errors import DataError
from mm.play.python import GROUPS
from support import ROOT, run_python


def test_windows_is_refused_by_name():
    """Not by a module that Windows lacks."""
    process = run_python("-c", "import sys; sys.platform = 'win32'; import mm", cwd=ROOT)
    assert process.returncode == 1
    assert "not on Windows" in process.stderr.splitlines()[-1]


def test_help_of_backtest_lists_every_knob():
    text = pydoc.getdoc(mm.backtest)
    assert [knob.name for group in GROUPS for knob in knobs(group) if f"{knob.name} [" not in text] == []


def test_runs_to_compare_must_exist(tmp_path):
    """As for the command, which `mm.compare` is."""
    with pytest.raises(DataError, match="nowhere"):
        mm.compare("nowhere", "neither", out_root=tmp_path)
