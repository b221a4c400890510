"""The order by which a kill, or a guardian, closes the position of a contract."""

import pytest

from mm.instrument import e8
from mm.live.venues.positions import closing_order


@pytest.mark.parametrize(("qty", "expected"), [("-2", (1, "101.5", "2")), ("2", (-1, "99.5", "2")), ("0", None)])
def test_price_is_no_farther_from_the_mark_than_the_largest_slippage(qty, expected):
    """100.503 and one percent: 101.50803 and 99.49797. One beyond the exchange's own band it would refuse."""
    assert closing_order(e8(qty), e8("100.503"), "0.01", e8("0.01")) == expected
