"""Losses that have not happened: how often nothing is called something, and something is found.

The null of market makers earns a little in most minutes and loses it all in a rare one; no t statistic sees it before.
"""

import numpy as np
import pytest

from mm.backtest.metrics.ranking import mean_ends, worst_block
from mm.backtest.metrics.risk import undone_by, verdict
from mm.trials.on_record import independent_trials
from null_pnl import DESIGNS, HOURS, autocorrelated, bounds_of_the_chosen, noise, rare, sparse


def test_worst_block_is_the_least_of_any_design():
    """At the length of a block; a design that was not played then does not count."""
    pnl = np.zeros((60, 3))
    pnl[20:25, 1], pnl[40:45, 2] = -3.0, np.nan
    assert worst_block(pnl, [60]) == -15.0
    assert worst_block(pnl[:, :1], [60]) == 0.0
    assert worst_block(pnl[:2], [2]) is None


def test_the_tail_is_one_more_block_of_the_chosen():
    """By hand: the blocks and the worst one, by Student's t."""
    pnl = np.random.default_rng(1).normal(0.1, 1.0, (60, 1))
    blocks = np.append(pnl.reshape(12, 5).sum(axis=1), -9.0)
    low, high = mean_ends(pnl, [60], 1.0, -9.0)
    assert (low + high) / 2 == pytest.approx(blocks.mean())
    assert (high - low) / 2 == pytest.approx(2.178813 * blocks.std(ddof=1) / 13**0.5, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("null", [rare, noise, autocorrelated, sparse])
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
        text = verdict(pnl)["text"]
        if text == "above 0":
            told.append(undone_by(pnl, text))
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
        tail = worst_block(pnl, [len(pnl)]), 5
        above += [verdict(best, 1, trials)["text"] == "above 0", verdict(best, 1, trials, tail)["text"] == "above 0"]
    assert above[1] / 200 <= 0.05 < above[0] / 200
