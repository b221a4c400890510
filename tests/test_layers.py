"""Pages run no engine; the layers of modules are contracts of import-linter, in pyproject.toml."""

import pytest

from support import ROOT, run_python

ENGINES = {"mm.backtest._engine", "mm.backtest._paper_venue", "mm.live._live_engine", "mm.sim.matching._core"}


def test_dashboard_app_loads_no_engine() -> None:
    """Includes modules that are imported indirectly."""
    pytest.importorskip("streamlit", reason="streamlit is not installed: [dashboard]")
    code = "import sys, mm.dashboard.app; print(*sys.modules)"
    done = run_python("-W", "ignore", "-c", code, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "mm.dashboard.runs_page" in done.stdout.split()
    assert not ENGINES & set(done.stdout.split())
