"""The table of curves: its values match those of the cells."""

import numpy as np
import pytest

from benchmarks import curves
from mm.calibration.alternatives import gain_of
from mm.calibration.likelihood import Shape
from mm.calibration.reference_choice import EndCells
from mm.calibration.shapes import EXPONENTIAL, FAMILIES

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

BLOCKS, ENDS = 12, 40


def cells_of(seed, touches=(0.5, 1.0)):
    """Return fills of two states whose end distances follow two exponentials from the touch."""
    random = np.random.default_rng(seed)
    ends = np.arange(ENDS)
    rate = np.exp(-ends) + 0.03 * np.exp(-0.1 * ends)
    gain = np.tile(np.append(-np.diff(rate), rate[-1]), len(touches))
    near = (np.array(touches)[:, None] + ends).ravel()
    width = np.tile(np.append(np.ones(ENDS - 1), np.inf), len(touches))
    exposure = np.repeat(random.uniform(500, 2_000, (BLOCKS, len(touches))), ENDS, axis=1)
    return EndCells(Shape(near, width), exposure, random.poisson(exposure * gain).astype(float), ENDS)


def test_gains_has_one_line_per_reference_and_curve():
    """Gains over the exponential from the mid, with errors; two exponentials gain if they generated the fills."""
    mid = cells_of(0)
    best = EndCells(Shape(np.tile(np.arange(ENDS), 2).astype(float), mid.shape.width), mid.exposure_s, mid.fills, ENDS)
    lines = [line.split() for line in curves.gains({"mid": mid, "best": best})]
    assert [tuple(line[:2]) for line in lines] == curves.METHODS
    assert lines[0][2:] == ["+0.000", "±", "0.000"]
    two = next(family for family in FAMILIES if family.name == "two_exponentials")
    gain, error = gain_of(best.unseen(two) - mid.unseen(EXPONENTIAL), mid.fills.sum())
    (line,) = (line for line in lines if line[:2] == ["best", "two_exponentials"])
    assert line[2:] == [f"{gain:+.3f}", "±", f"{error:.3f}"]
    assert gain > 2 * error


def test_ratios_predict_observed_fills_by_end_distance():
    """The monotone curve from the touch predicts each row with many fills; totals equal the observed ones."""
    cells = cells_of(1)
    assert cells.predicted(EXPONENTIAL).sum() == pytest.approx(cells.fills.sum())
    rows = [line.split() for line in list(curves.ratios({"mid": cells, "best": cells}))[1:]]
    assert rows
    for row in rows:
        assert float(row[-3].replace(",", "")) >= curves.MIN_FILLS
        assert float(row[-1]) == pytest.approx(1, abs=0.1)
    assert any(abs(float(row[-2]) - 1) > 0.1 for row in rows), "the exponential misses a row"


def test_command_requires_folder_of_captures(monkeypatch):
    """The message is one line."""
    monkeypatch.setattr("sys.argv", ["curves", "nowhere"])
    with pytest.raises(SystemExit, match="CAPTURES is the folder"):
        curves.main()
