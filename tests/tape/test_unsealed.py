"""A day whose recording has ended is sealed; a run on one that is not says so."""

import pytest
from day_stories import PLAIN, at, write_day

from mm.backtest.io import load_day
from mm.dayfolder.check import check_day
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session

STOP = ("event", at(6), "run_stop", 1, {"reason": "signal"})


@pytest.mark.parametrize("missing", [True, False])
def test_ended_day_without_seal_has_one_warning(tmp_path, missing):
    """Its files may have been damaged, duplicated or shifted."""
    folder = write_day(tmp_path, [*PLAIN, STOP])
    if missing:
        folder.manifest.unlink()
    assert [line for line in load_day(folder).meta.warnings if ": unsealed: " in line] == [
        *load_day(folder).meta.warnings
    ]
    assert len(load_day(folder).meta.warnings) == 1


def test_recording_in_progress_has_no_warning(tmp_path):
    """It has no seal yet."""
    assert load_day(write_day(tmp_path, PLAIN)).meta.warnings == ()


def test_simulated_day_without_manifest_is_a_defect(tmp_path):
    """As a recorded and an imported one; with its manifest it has none."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(), Session("SIMUSDT", "20260105", 0.02, 5))
    assert check_day(folder).ok
    folder.manifest.unlink()
    assert [defect.kind for defect in check_day(folder).defects] == ["unsealed"]
