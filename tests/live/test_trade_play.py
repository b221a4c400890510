"""What feeds a trader: the market that is recorded."""

import asyncio

from mm.instrument import Instrument
from mm.live.trade_play import TradeFollower

GRID = Instrument("SIMUSDT", 1_000_000, 100_000, 0, "SIM", "USDT")


class Ends:
    """A trader that ends at once, or was ended."""

    def __init__(self):
        self.ended = None

    async def run(self):
        return self.ended

    def end(self, why):
        self.ended = self.ended or why


def test_a_recording_that_is_over_ends_the_trade():
    trader = Ends()
    TradeFollower(trader, GRID, print).ended()
    assert trader.ended == "window_end"


def test_a_recording_that_ends_after_the_trade_changes_nothing():
    trader = Ends()
    trader.end("kill")
    TradeFollower(trader, GRID, print).ended()
    assert trader.ended == "kill"


def test_the_recording_goes_on_after_the_trader():
    async def story():
        follower = TradeFollower(Ends(), GRID, print)
        following = asyncio.create_task(follower.follow(None, lambda: 0))
        await asyncio.sleep(0.01)
        assert not following.done()
        following.cancel()

    asyncio.run(story())
