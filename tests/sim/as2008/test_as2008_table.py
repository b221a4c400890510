"""The table of the experiment of Avellaneda and Stoikov (2008): published numbers and the computed rows."""

import math
from dataclasses import replace

import pytest

from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import STRATEGIES, PaperModel
from mm.sim.as2008.table import PATHS, published, row, text

PAPER = PaperModel(gamma=0.1, A=140.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=200)


KNOWN = {
    (0.1, "inventory"): (64.892543085619, 6.543152441954, 2.92679126262, 3.022),
    (0.1, "symmetric"): (68.228178508093, 13.457347670412, 8.401659452278, 5.407),
    (0.01, "inventory"): (68.399627644946, 8.960560658474, 5.212538440789, 3.634),
    (0.01, "symmetric"): (68.66618009732, 13.677615352671, 8.711877120616, 5.638),
    (1.0, "inventory"): (31.454501789177, 4.837919292805, 1.641392874112, 3.07),
    (1.0, "symmetric"): (43.868978913517, 10.75145247027, 5.189281484153, 3.907),
}


def exact_moments(gamma, strategy, market=PAPER):
    """Return the exact moments of a strategy at *gamma*."""
    own = replace(market, gamma=gamma)
    return exact(own, STRATEGIES[strategy](own))


@pytest.mark.parametrize(("gamma", "strategy"), KNOWN)
def test_published_numbers_are_within_two_standard_errors_of_exact(gamma, strategy):
    """The 24 numbers come from 1000 paths; the error of the deviation includes the kurtosis."""
    mean, std, std_q, kurtosis = KNOWN[gamma, strategy]
    paper = published(replace(PAPER, gamma=gamma), strategy)
    assert abs(paper.profit_mean - mean) < 2 * std / math.sqrt(PATHS)
    assert abs(paper.profit_std - std) < 2 * std * math.sqrt((kurtosis - 1) / (4 * PATHS))
    assert abs(paper.final_q_mean) < 2 * std_q / math.sqrt(PATHS)
    assert abs(paper.final_q_std - std_q) < 2 * std_q / math.sqrt(2 * PATHS)
    assert paper.avg_spread == pytest.approx(exact_moments(gamma, strategy).avg_spread, abs=0.005)


def test_published_returns_none_for_other_parameters():
    """A table made with another sigma is not compared with the paper's numbers."""
    assert published(PAPER, "inventory") is not None
    for changed in ({"gamma": 0.5}, {"A": 141.0}, {"sigma": 1.0}, {"steps": 100}, {"horizon_s": 2.0}, {"k": 1.0}):
        assert published(replace(PAPER, **changed), "inventory") is None
    assert published(PAPER, "glft_exact") is None


@pytest.mark.parametrize("off", [-1e-17, 0.0, 1e-17])
def test_rounding_tie_is_printed_the_same_despite_float_error(off):
    """A mean of 515 in 100,000 paths is printed the same on every processor."""
    made = row(PAPER, "inventory", paths=10, seed=0, workers=1)
    drawn = replace(made.simulated, final_q=replace(made.simulated.final_q, mean=0.00515 + off))
    lines = [line.split() for line in text([replace(made, simulated=drawn)])]
    (means,) = [line for line in lines if line[:3] == ["final", "q", "mean"]]
    assert means[-3] == "0.0052"
