"""Events of a market: what its subscribers need of a trade, whichever stream brought it."""

import json

from captured import SYMBOL, agg_trade, trade
from mm.market_data.binance_spot import Messages
from mm.market_data.grid import Grid
from mm.market_data.market_events import stream_of, trade_id_of


def decoded(message):
    return Messages(SYMBOL, Grid()).received(message)


def test_trades_and_aggregates_are_counted_by_ids_of_their_own():
    """Their ids do not mix."""
    single, several = (decoded(json.dumps(message)) for message in (trade(5), agg_trade(7, 20, 22)))
    assert (stream_of(single), trade_id_of(single)) == ("trade", 5)
    assert (stream_of(several), trade_id_of(several)) == ("aggTrade", 7)
