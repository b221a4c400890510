"""PnL by minute of designs that are worth nothing, and what is concluded of the best of some."""

import math

import numpy as np

from mm.backtest.metrics.ranking import mean_ends
from mm.backtest.metrics.verdict import Sample, Tail, five_minutes, judge, worst_in_units
from mm.trials.on_record import independent_trials

DESIGNS, HOURS = 50, (2, 6, 14)


def rare(random, shape):
    """Earn 1 ± .5 a minute, and lose 300 in one of 300."""
    return np.where(random.random(shape) < 1 / 300, -299.0, 1.0) + 0.5 * random.standard_normal(shape)


def rare_among_small(random, shape):
    """The same, with small losses in every third minute between."""
    return np.where(random.random(shape) < 1 / 300, -299.0, 1.0) + 2.0 * random.standard_normal(shape)


def of_many_clips(random, shape):
    """The same, with clips from 1 to 100."""
    return rare_among_small(random, shape) * np.geomspace(1, 100, shape[1])


def at_once(random, shape):
    """One jump for all designs, in one minute of 300."""
    jump = np.where(random.random((shape[0], 1)) < 1 / 300, -300.0, 0.0)
    return jump + 1.0 + 2.0 * random.standard_normal(shape)


def noise(random, shape):
    return random.standard_normal(shape)


def autocorrelated(random, shape, rho=0.3):
    series = random.standard_normal(shape)
    for at in range(1, shape[0]):
        series[at] += rho * series[at - 1]
    return series


def sparse(random, shape):
    """Earn or lose in one minute of ten."""
    return np.where(random.random(shape) < 0.1, random.standard_normal(shape), 0.0)


def bounds_of_the_chosen(pnl):
    """Return the bound of the best of some designs that allows for the choice, without and with the pooled tail."""
    best, trials = int(np.argmax(mean_ends(pnl, [len(pnl)])[0])), independent_trials(pnl)
    sample = Sample.of(pnl[:, best])
    judged = [judge(sample, trials=trials, tail=tail) for tail in (None, tail_of(pnl, sample))]
    return [one.content["lower95"] for one in judged]


def tail_of(pnl, sample):
    """The worst five minutes of any design, as large as they were for the design of *sample*."""
    worst = worst_in_units(pnl, five_minutes([len(pnl)]))
    return worst and Tail(worst[0] * sample.unit, "another")


def drifting(random, shape, share=1 / 3, half_life=30.0):
    """A part of the variance is a level that returns by half in so many minutes."""
    keep, level = 2 ** (-1 / half_life), np.zeros((shape[0] + 500, shape[1]))
    for at in range(1, len(level)):
        level[at] = keep * level[at - 1] + math.sqrt(1 - keep**2) * random.standard_normal(shape[1])
    return math.sqrt(1 - share) * random.standard_normal(shape) + math.sqrt(share) * level[500:]
