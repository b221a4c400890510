from hypothesis import given
from hypothesis import strategies as st

from mm.market_data.trade_ids import TradeIds, TradeVerdict

NEW, GAP, LATE, DUPLICATE, RESET = TradeVerdict


@given(st.lists(st.integers(1, 30), max_size=60))
def test_every_id_counts_once_and_every_hole_is_known(ids):
    """Against a plain set of the ids that came; what stands before the first id is not known to be missing."""
    trades, came = TradeIds(), set()
    for trade_id in ids:
        verdict = trades.take(trade_id)
        highest, first = max(came, default=None), min(came, default=trade_id)
        if highest is None or trade_id == highest + 1:
            assert verdict is NEW
        elif trade_id > highest:
            assert verdict is GAP
            assert trades.hole == (highest + 1, trade_id - 1)
        elif trade_id in came or trade_id < first:
            assert verdict is DUPLICATE
        else:
            assert verdict is LATE
        if verdict is not DUPLICATE:
            came.add(trade_id)
        assert trades.last_id == max(came)


def test_ids_that_begin_anew_are_new_trades():
    """After a reset nothing is a duplicate of what came before it."""
    trades = TradeIds()
    assert [trades.take(i) for i in (9_000_000, 9_000_003, 1, 2, 2)] == [NEW, GAP, RESET, NEW, DUPLICATE]
