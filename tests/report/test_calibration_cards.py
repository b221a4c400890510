"""The lower cards of the calibration page."""

import re

import pytest

from mm.calibration.calibrate import AdverseMove
from mm.report.calibration_cards import further_cards
from pages import read

CURVES = {
    "best": "isotonic",
    "sentence": "the exponential does not fit: <isotonic>",
    "curves": [
        {"name": "exponential", "aic": -100.0, "unseen": 0.0, "unseen_se": 0.0},
        {"name": "power_law", "aic": -120.5, "unseen": None, "unseen_se": None},
        {"name": "isotonic", "aic": -150.0, "unseen": 0.062, "unseen_se": 0.019},
    ],
}
VOLATILITY = {
    "sigma_ticks_per_sqrt_s": 0.153,
    "se_sigma": 0.02,
    "bounce_ticks": 0.014,
    "signature": [
        {"step_s": 1, "variance_per_s": 0.04},
        {"step_s": 60, "variance_per_s": 0.01},
        {"step_s": 300, "variance_per_s": None},
    ],
}
SPREADS = [
    {"from_ticks": 1, "to_ticks": 1, "share": 0.785, "A": 0.06, "k": 1.43, "n_fills": 4217, "status": "poor_fit"},
    {"from_ticks": 3, "to_ticks": None, "share": 0.2, "A": None, "k": None, "n_fills": 0, "status": "no_fills"},
]
DAYS = [{"day": "20240723", "A": 0.1033, "k": 1.35, "n_fills": 2014, "status": "ok"}]


def moves(*rows):
    """Moves of both sides within 5 s, each (delta, mean move, standard error)."""
    return [AdverseMove(delta, "both", 5, 100, mean, error, delta - mean) for delta, mean, error in rows]


def html(content, found=()):
    text = "".join(further_cards(content, list(found)))
    assert not re.search(r"\bnan\b|\binf\b|None", text)
    return text


def cells(text):
    """Return the words of every table row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]


def test_curves_are_told_beside_the_best_of_them():
    """AIC is a difference, a gain has its error, and the plain sentence stands above, as text."""
    rows = cells(html({"alternatives": CURVES}))
    assert rows[1:4] == [["exponential", "50", "0"], ["power law", "29.5", "–"], ["isotonic", "0", "+0.062 ± 0.019"]]
    assert "the exponential does not fit: &lt;isotonic&gt;" in html({"alternatives": CURVES})


def test_spreads_and_days_are_tables():
    """An open end is "or more"; what has no fit has dashes."""
    rows = cells(html({"by_spread": SPREADS, "by_day": DAYS}))
    assert ["1", "78.5 %", "0.06", "1.43", "4,217", "poor_fit"] in rows
    assert ["3 to more", "20 %", "–", "–", "0", "no_fills"] in rows
    assert ["20240723", "0.1033", "1.35", "2,014", "ok"] in rows


def test_the_signature_shows_steps_with_a_variance():
    """0.2 and 0.1 ticks per root second; a step nobody could sample has no point."""
    text = html({"volatility": VOLATILITY})
    assert re.findall(r"sampled every (\d+) s: ([\d.]+)", text) == [("1", "0.2"), ("60", "0.1")]
    assert "0.153 ± 0.02" in text


def test_moves_after_fills_have_a_bar_each():
    """A move that leaves the chart is left out rather than drawn over its neighbours."""
    found = moves((0.5, 0.3, 0.02), (1.0, 0.6, 0.05), (1.5, 0.8, 0.1), (2.0, 0.9, 0.1), (40.0, 900.0, 300.0))
    told = re.findall(r"<title>([\d.]+) ticks: ", html({}, found))
    assert told == ["0.5", "1", "1.5", "2"]


@pytest.mark.parametrize("found", [(), moves((1.0, 0.1, None))])
def test_what_is_not_there_is_said(found):
    """A day without a fill, or one block of it, has its page, too."""
    words = read(f"<html><body>{html({}, found)}</body></html>").words
    for line in (
        "There is too little to compare curves on.",
        "Too few fills to follow.",
        "The mid was never seen long enough.",
        "No spread was long enough in place.",
    ):
        assert line in words
