"""PnL by minute of designs that are worth nothing, and what is concluded of the best of some."""

import math

import numpy as np

from mm.backtest.metrics.ranking import mean_ends, worst_block
from mm.trials.on_record import independent_trials

DESIGNS, HOURS = 50, (2, 6, 14)


def rare(random, shape):
    """Earn 1 ± .5 a minute, and lose 300 in one of 300."""
    return np.where(random.random(shape) < 1 / 300, -299.0, 1.0) + 0.5 * random.standard_normal(shape)


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
    counts = [len(pnl)]
    best, trials = int(np.argmax(mean_ends(pnl, counts)[0])), independent_trials(pnl)
    return [mean_ends(pnl[:, [best]], counts, trials, tail)[0][0] for tail in (None, worst_block(pnl, counts))]


def drifting(random, shape, share=1 / 3, half_life=30.0):
    """A part of the variance is a level that returns by half in so many minutes."""
    keep, level = 2 ** (-1 / half_life), np.zeros((shape[0] + 500, shape[1]))
    for at in range(1, len(level)):
        level[at] = keep * level[at - 1] + math.sqrt(1 - keep**2) * random.standard_normal(shape[1])
    return math.sqrt(1 - share) * random.standard_normal(shape) + math.sqrt(share) * level[500:]
