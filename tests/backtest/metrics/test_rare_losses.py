"""Losses that have not happened: how often nothing is called something, and something is found.

The null of market makers earns a little in most minutes and loses it all in a rare one; no t statistic sees it before.
"""

import numpy as np
import pytest

from mm.backtest.metrics.verdict import Sample, five_minutes, judge, robust_units, unseen, worst_in_units
from mm.trials.on_record import independent_trials
from null_pnl import (
    DESIGNS,
    HOURS,
    autocorrelated,
    bounds_of_the_chosen,
    noise,
    of_many_clips,
    rare,
    rare_among_small,
    sparse,
    tail_of,
)


def test_the_worst_block_is_measured_in_the_unit_of_its_design():
    """A larger clip has no larger loss; what was not played, or hardly traded, has no unit."""
    pnl = np.tile([[1.0], [-1.0]], (30, 1)) * np.array([[1.0, 100.0, 1.0, 1.0]])
    pnl[20:25, 0], pnl[40, 1], pnl[50, 2] = -3.0, -400.0, np.nan
    pnl[:, 3] = 0.0
    pnl[7, 3] = -1e6
    loss, column, block = worst_in_units(pnl, five_minutes([60]))
    units = robust_units(pnl)
    assert (column, block) == (0, 4)
    assert loss == pytest.approx(15.0 / units[0])
    assert units[1] == pytest.approx(100.0, rel=0.05)
    assert worst_in_units(pnl[:, 3:], five_minutes([60])) is None


def test_the_unit_does_not_contain_the_loss():
    """A loss of a thousand units changes it by less than a twentieth of a minute's worth."""
    changes = np.random.default_rng(2).normal(size=(240, 1))
    with_loss = changes.copy()
    with_loss[100] = -1_000.0
    assert robust_units(with_loss)[0] == pytest.approx(robust_units(changes)[0], rel=0.05)
    assert robust_units(7 * changes)[0] == pytest.approx(7 * robust_units(changes)[0])


@pytest.mark.slow
@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("null", [rare, rare_among_small, of_many_clips, noise, autocorrelated, sparse])
def test_a_worthless_design_is_not_chosen_for_what_it_has_not_lost(null, hours):
    """Of fifty worthless designs the bound of the chosen is above 0 in at most 5 % of sweeps."""
    random = np.random.default_rng(hours)
    above = np.array([bounds_of_the_chosen(null(random, (60 * hours, DESIGNS))) for _ in range(200)]) > 0
    assert above[:, 1].mean() <= 0.05
    if null is rare:
        assert above[:, 0].mean() > 0.9  # without the tail nearly every sweep finds one


@pytest.mark.slow
def test_a_design_that_earns_is_found_in_fourteen_hours():
    """.3 deviations a minute, among 49 without skill: in most sweeps, with the tail of all of them."""
    random, found = np.random.default_rng(3), 0
    for _ in range(100):
        pnl = random.standard_normal((840, DESIGNS))
        pnl[:, 0] += 0.3
        found += bounds_of_the_chosen(pnl)[1] > 0
    assert found > 75


@pytest.mark.slow
@pytest.mark.parametrize(("hours", "decided"), [(2, 0.6), (6, 0.25), (14, 0.03)])
def test_what_would_undo_it_stands_beside_most_verdicts_of_rare_losses(hours, decided):
    """One design of the null alone is above 0 as often as *decided*; each of them says what would undo it."""
    random, told = np.random.default_rng(5), []
    for pnl in rare(random, (60 * hours, 400)).T:
        found = judge(Sample.of(pnl))
        if found.text == "above 0":
            told.append(found.undone_by)
    assert len(told) / 400 >= decided
    losses = [found for found in told if found is not None]
    assert len(losses) > (0.7 if hours < 14 else 0.4) * len(told)  # noise alone loses in one minute of 44
    assert all(found["loss"] > 0 for found in losses)


@pytest.mark.slow
@pytest.mark.parametrize("hours", HOURS)
def test_the_verdict_of_a_chosen_design_allows_for_losses_of_the_others(hours):
    """Played alone after a sweep of fifty: with the trials and their worst five minutes, above 0 in at most 5 %."""
    random, above = np.random.default_rng(hours), np.zeros(2)
    for _ in range(200):
        pnl = rare(random, (60 * hours, DESIGNS))
        best, trials = pnl[:, int(pnl.sum(axis=0).argmax())], independent_trials(pnl)
        sample = Sample.of(best)
        judged = [judge(sample, trials=trials, tail=tail) for tail in (None, tail_of(pnl, sample))]
        above += [one.text == "above 0" for one in judged]
    assert above[1] / 200 <= 0.05 < above[0] / 200


@pytest.mark.slow
def test_the_share_of_worthless_designs_on_the_page_is_that_of_the_null():
    """A rare loss as large as the PnL of six hours leaves "above 0" in the share of runs that the page says."""
    random, minutes = np.random.default_rng(4), 360
    for times, share in ((1.0, 0.368), (10.0, 0.905)):
        loss = times * minutes
        pnl = np.where(random.random((minutes, 2_000)) < 1 / loss, 1.0 - loss, 1.0)
        unhurt = (pnl > 0).all(axis=0).mean()
        assert unhurt == pytest.approx(share, abs=0.03)
        assert f"{100 * share:.1f} %" in unseen({"text": "above 0"}, 60.0 * minutes)
