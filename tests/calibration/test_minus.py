"""Minus signs: printed numbers use the typographic minus, files use the hyphen."""

import json

from mm import Points, fit_poisson
from mm.calibration.goodness import table

POINTS = Points.of([-1, 1, 2, 3, 5, 8], [1000.0] * 6, [200, 62, 45, 20, 22, 1])
FIT = fit_poisson(POINTS)


def test_terminal_output_uses_minus_sign():
    """Distances, residuals and small p-values; no hyphen precedes a digit."""
    output = table(POINTS, FIT) + FIT.summary()
    assert "\u2212" in table(POINTS, FIT)
    numbers = [word for word in output.replace(",", " ").split() if any(map(str.isdigit, word))]
    assert not [word for word in numbers if word.startswith("-") or ("e-" in word and word[0].isdigit())]


def test_json_uses_hyphen():
    """JSON has no other minus."""
    content = json.dumps(FIT.to_json())
    assert "\\u2212" not in content
    assert json.loads(content)["min_delta_ticks"] == -1
