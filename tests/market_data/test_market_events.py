"""Events of a market: stream and id of a trade, for both trade streams."""

import json

from captured import SYMBOL, agg_trade, trade
from mm.market_data.binance_spot import Messages
from mm.market_data.grid import Grid
from mm.market_data.market_events import stream_of, trade_id_of


def decoded(message):
    return Messages(SYMBOL, Grid()).received(message)


def test_trades_and_aggregates_have_separate_ids():
    """Ids of single trades and of aggregates are not mixed."""
    single, several = (decoded(json.dumps(message)) for message in (trade(5), agg_trade(7, 20, 22)))
    assert (stream_of(single), trade_id_of(single)) == ("trade", 5)
    assert (stream_of(several), trade_id_of(several)) == ("aggTrade", 7)
