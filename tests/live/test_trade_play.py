"""The market data feed of a trader."""

import asyncio

from mm.instrument import Instrument
from mm.live.run.live_play import TradeFollower

GRID = Instrument("SIMUSDT", 1_000_000, 100_000, 0, "SIM", "USDT")


class Ends:
    """A trader that ends at once, or has ended."""

    def __init__(self):
        self.ended = None

    async def run(self):
        return self.ended

    def end(self, why):
        self.ended = self.ended or why


def test_end_of_recording_ends_the_trade():
    trader = Ends()
    TradeFollower(trader, GRID, print).ended()
    assert trader.ended == "window_end"


def test_end_of_recording_after_trade_changes_nothing():
    trader = Ends()
    trader.end("kill")
    TradeFollower(trader, GRID, print).ended()
    assert trader.ended == "kill"


def test_recording_continues_after_the_trader_ended():
    async def scenario():
        follower = TradeFollower(Ends(), GRID, print)
        following = asyncio.create_task(follower.follow(None, lambda: 0))
        await asyncio.sleep(0.01)
        assert not following.done()
        following.cancel()

    asyncio.run(scenario())
