"""The quotes of a model: grids of prices, as ranges where possible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import Quotes


@given(st.integers(100, 200), st.integers(201, 300), st.integers(0, 9), st.integers(1, 7))
def test_grid_of_whole_ticks_is_two_ranges(bid, ask, levels, step):
    """The same prices as in the list of a grid with lots, nearest first."""
    ranges, pairs = Quotes.grid(bid, ask, levels, step), Quotes.grid(bid, ask, levels, step, lots=3)
    assert (type(ranges.bids), type(ranges.asks)) == (range, range)
    assert list(ranges.bids) == [price for price, _ in pairs.bids] == [bid - step * i for i in range(levels)]
    assert list(ranges.asks) == [price for price, _ in pairs.asks] == [ask + step * i for i in range(levels)]
    assert all(lots == 3 for _, lots in (*pairs.bids, *pairs.asks))


@pytest.mark.parametrize(("bid", "step"), [(99.5, 1), (99, 0.5), (99, 0)])
def test_grid_of_fractional_or_equal_prices_is_a_list(bid, step):
    """Fractions of a tick, and levels all at one price; None stands for the quoted quantity."""
    quotes = Quotes.grid(bid, 101, 3, step)
    assert quotes.bids == [(bid, None), (bid - step, None), (bid - 2 * step, None)]
    assert quotes.asks == [(101, None), (101 + step, None), (101 + 2 * step, None)]


def test_quotes_default_to_no_price_and_limit_maker():
    """Sides that are not given are not quoted, and orders may not take."""
    quotes = Quotes(bid_ticks=99)
    assert (quotes.ask_ticks, quotes.bids, quotes.asks, quotes.again_us, quotes.on_best) == (
        None,
        None,
        None,
        None,
        False,
    )
    assert (quotes.bid_kind, quotes.ask_kind) == ("LIMIT_MAKER", "LIMIT_MAKER")
