"""The table of the experiment of Avellaneda and Stoikov (2008): published numbers and the computed rows."""

import json
import math
from dataclasses import replace

import pytest
from known_moments import KNOWN, PAPER, exact_moments

from mm.sim.as2008.table import PATHS, published, row, text
from support import SHARED

REFERENCE = SHARED / "reference" / "as2008.json"


@pytest.mark.parametrize(("gamma", "strategy"), KNOWN)
def test_published_numbers_are_within_two_standard_errors_of_exact(gamma, strategy):
    """The 24 numbers come from 1000 paths; the error of the deviation includes the kurtosis."""
    mean, std, std_q, kurtosis = KNOWN[gamma, strategy]
    paper = published(replace(PAPER, gamma=gamma), strategy)
    assert abs(paper["profit_mean"] - mean) < 2 * std / math.sqrt(PATHS)
    assert abs(paper["profit_std"] - std) < 2 * std * math.sqrt((kurtosis - 1) / (4 * PATHS))
    assert abs(paper["final_q_mean"]) < 2 * std_q / math.sqrt(PATHS)
    assert abs(paper["final_q_std"] - std_q) < 2 * std_q / math.sqrt(2 * PATHS)
    assert paper["avg_spread"] == pytest.approx(exact_moments(gamma, strategy).avg_spread, abs=0.005)


def test_published_returns_none_for_other_parameters():
    """A table made with another sigma is not compared with the paper's numbers."""
    assert published(PAPER, "inventory") is not None
    for changed in ({"gamma": 0.5}, {"A": 141.0}, {"sigma": 1.0}, {"steps": 100}, {"horizon_s": 2.0}, {"k": 1.0}):
        assert published(replace(PAPER, **changed), "inventory") is None
    assert published(PAPER, "glft_exact") is None


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs the reference in ../shared")
def test_published_numbers_are_those_of_the_reference_file():
    tables = json.loads(REFERENCE.read_text(encoding="utf-8"))["tables"]
    assert len(tables) == 6
    for table in tables:
        printed = published(replace(PAPER, gamma=table["gamma"]), table["strategy"])
        assert {**printed, "n_paths": PATHS} == table["published"]


@pytest.mark.parametrize("off", [-1e-17, 0.0, 1e-17])
def test_rounding_tie_is_printed_the_same_despite_float_error(off):
    """A mean of 515 in 100,000 paths is printed the same on every processor."""
    made = row(PAPER, "inventory", paths=10, seed=0)
    drawn = replace(made.simulated, final_q=replace(made.simulated.final_q, mean=0.00515 + off))
    lines = [line.split() for line in text([replace(made, simulated=drawn)])]
    (means,) = [line for line in lines if line[:3] == ["final", "q", "mean"]]
    assert means[-3] == "0.0052"
