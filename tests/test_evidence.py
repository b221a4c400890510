"""One rule tells what an interval decides: its word, its colour, and the width of a ±."""

import pytest

from mm.base.estimate import Estimate, from_error
from mm.base.numbers import half_width, sign_of
from mm.report.frame import coloured, kind_of, shown, texts_of


def html(amount):
    """Return a number as the only cell of its column."""
    return texts_of([amount])[0]


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
    assert (sign_of(*ends), kind_of(sign_of(*ends))) == (word, colour)
    assert f'class="{colour}"' in html(coloured(1.0, ends, 5))
    if None not in ends:
        assert f'class="{colour}"' in html(shown(Estimate(1.0, None, *ends, 5)))


@pytest.mark.parametrize(("blocks", "times"), [(None, 1.959964), (2, 12.706205), (3, 4.302653), (61, 2.000298)])
def test_few_blocks_have_the_wider_interval_of_student(blocks, times):
    assert half_width(2.0, blocks) == pytest.approx(2 * times, abs=1e-5)


def test_an_error_of_one_block_has_no_interval():
    assert half_width(0.3, 1) is None
    assert half_width(None) is None
    assert "±" not in html(shown(from_error(1.0, 0.3, 1)))


def test_few_draws_have_no_colour():
    assert 'class=""' in html(coloured(1.0, (0.5, 1.5), 4))
