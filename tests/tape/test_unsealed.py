"""A day whose recording has ended is sealed; a run on one that is not says so."""

import json
import shutil

import pytest
from day_stories import PLAIN, write_day

from day_files import defects_of
from mm import DayFolder, load_day
from simulation import simulate_day


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Return a simulated day without a manifest."""
    folder = simulate_day(tmp_path_factory.mktemp("ended"), hours=0.05, seed=5)
    folder.manifest.unlink()
    return folder


@pytest.mark.parametrize("missing", [True, False])
def test_ended_day_without_seal_has_one_warning(ended, tmp_path, missing):
    """Its files may have been damaged, duplicated or shifted, but were not."""
    folder = DayFolder(tmp_path, ended.symbol, ended.day)
    shutil.copytree(ended.path, folder.path)
    if not missing:
        manifest = {"symbol": folder.symbol, "day": folder.day, "sealed": False, "runs": [], "files": []}
        folder.manifest.write_text(json.dumps({"schema_version": 1, **manifest}))
    (warning,) = load_day(folder).meta.warnings
    assert ": unsealed: " in warning


def shifted(row):
    cells = row.split(",")
    for at, by in ((0, 3_600_000), (1, 3_600_000), (5, 3_600_000), (9, 3_600_000_000)):
        cells[at] = str(int(cells[at]) + by)
    return ",".join(cells)


CHANGES = {
    "duplicated": lambda rows: [*rows[:50], rows[49], *rows[50:]],
    "lost": lambda rows: rows[:50] + rows[51:],
    "shifted by an hour": lambda rows: [*rows[:10], *map(shifted, rows[10:20]), *rows[20:]],
    "swapped": lambda rows: [*rows[:50], rows[51], rows[50], *rows[52:]],
    "of another price": lambda rows: [*rows[:50], rows[50].replace(rows[50].split(",")[6], "0.01"), *rows[51:]],
}


@pytest.mark.parametrize("name", CHANGES)
def test_unsealed_day_says_what_the_check_finds(ended, tmp_path, name):
    """Each defect is a warning in the same words, in the tape and so in every run on it."""
    folder = DayFolder(tmp_path, ended.symbol, ended.day)
    shutil.copytree(ended.path, folder.path)
    head, *rows = folder.trades.read_text().splitlines()
    folder.trades.write_text("\n".join([head, *CHANGES[name](rows)]) + "\n")
    defects = [defect for defect in defects_of(folder) if defect.kind != "unsealed"]
    assert defects
    warnings = load_day(folder, cache=tmp_path / "tapes").meta.warnings
    assert all(any(defect.message in warning for warning in warnings) for defect in defects[:3])
    assert load_day(folder, cache=tmp_path / "tapes").meta.warnings == warnings


def test_recording_in_progress_has_no_warning(tmp_path):
    """It has no seal yet."""
    assert load_day(write_day(tmp_path, PLAIN)).meta.warnings == ()


def test_simulated_day_without_manifest_is_a_defect(tmp_path):
    """As a recorded and an imported one; with its manifest it has none."""
    folder = simulate_day(tmp_path, hours=0.02, seed=5)
    assert not defects_of(folder)
    folder.manifest.unlink()
    assert [defect.kind for defect in defects_of(folder)] == ["unsealed"]
