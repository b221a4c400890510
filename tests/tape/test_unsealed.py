"""A day whose recording has ended is sealed; a run on one that is not says so."""

import pytest
from day_stories import PLAIN, at, write_day

from mm.backtest.io import load_day

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
