"""One rule tells what an interval decides: its word, its colour, and the width of a ±."""

import numpy as np
import pytest

from mm.base.numbers import half_width, sign_of
from mm.report.frame import coloured, decided, estimate

DRAWS = 4000


@pytest.mark.parametrize(
    ("ends", "word", "colour"),
    [
        ((0.1, 2.0), "above 0", "gain"),
        ((-2.0, -0.1), "below 0", "loss"),
        ((-0.1, 2.0), "undecided", ""),
        ((0.0, 2.0), "undecided", ""),
        ((None, None), "undecided", ""),
        ((0.1, None), "undecided", ""),
    ],
)
def test_word_and_colour_agree(ends, word, colour):
    assert (sign_of(*ends), decided(*ends)) == (word, colour)
    assert f'class="{colour}"' in coloured(1.0, ends)


@pytest.mark.parametrize("blocks", [2, 5, 20])
def test_a_colour_is_wrong_in_one_of_twenty(blocks):
    """Means of blocks of noise: by 2 standard errors, 5 blocks would be coloured in 12 % of cases, 2 in 30 %."""
    drawn = np.random.default_rng(5).normal(size=(DRAWS, blocks))
    mean, error = drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / np.sqrt(blocks)
    shown = [estimate(float(m), float(e), blocks) for m, e in zip(mean, error, strict=True)]
    coloured_share = np.mean(["gain" in one or "loss" in one for one in shown])
    assert coloured_share == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / DRAWS))


def test_an_error_of_one_block_has_no_interval():
    assert half_width(0.3, 1) is None
    assert half_width(None) is None
    assert "±" not in estimate(1.0, 0.3, 1)
