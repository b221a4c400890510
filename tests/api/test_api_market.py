"""The market's readers and their messages, at a fixed time."""

import asyncio
import json
from decimal import Decimal

from desks import START_US, still_market

from mm.api.desk_market import MOST_WAITING
from mm.instrument import e8


def test_empty_side_of_the_book_is_null():
    """A book with only bids has neither mid nor spread."""
    market = still_market()
    market.desk.place("a", 1, "limit", e8("99.5"), e8("2"))
    assert json.loads(market.book_text()) == {
        "mid": None, "best_bid": 99.5, "best_ask": None, "spread": None,
        "bids": [[99.5, 2]], "asks": [], "timestamp": START_US / 1e6,
    }  # fmt: skip


def test_mid_of_half_ticks_is_exact():
    """Levels are listed best first on both sides."""
    market = still_market()
    for side, price in ((1, "99.99"), (1, "99.98"), (-1, "100.02"), (-1, "100.03")):
        market.desk.place("a", side, "limit", e8(price), e8("1"))
    book = json.loads(market.book_text(), parse_float=Decimal)
    assert (book["mid"], book["spread"]) == (Decimal("100.005"), Decimal("0.03"))
    assert [price for price, _ in book["bids"]] == [Decimal("99.99"), Decimal("99.98")]
    assert [price for price, _ in book["asks"]] == [Decimal("100.02"), Decimal("100.03")]


def test_fills_are_sent_only_to_their_client():
    """With the six fields of the interface."""

    async def play() -> list[str]:
        market = still_market()
        with market.reading("a") as mine, market.reading("c") as other:
            market.desk.place("a", 1, "limit", e8("100"), e8("2"))
            market.desk.place("b", -1, "market", None, e8("0.5"))
            assert not other._waiting.qsize()
            return [await mine.next()]

    assert [json.loads(message) for message in asyncio.run(play())] == [
        {"event": "fill", "order_id": 1, "side": "buy", "price": 100, "size": 0.5, "timestamp": START_US / 1e6}
    ]


def test_slow_reader_is_dropped_and_other_readers_are_not():
    """The queue is bounded, and the market continues."""

    async def play() -> None:
        market = still_market()
        market.desk.place("a", -1, "limit", e8("100"), e8("1000"))
        with market.reading("a") as slow, market.reading("a") as fast:
            for number in range(3 * MOST_WAITING):
                market.desk.place("b", 1, "limit", e8("100"), e8("0.001"))
                assert json.loads(await fast.next())["size"] == 0.001
                assert slow.over.is_set() is (number >= MOST_WAITING)
            assert slow._waiting.qsize() == MOST_WAITING
            assert not fast.over.is_set()
        assert not market._of_fills

    asyncio.run(play())


def test_book_is_sent_after_changes_and_at_a_limited_rate():
    """A burst of changes gives one message."""

    async def play() -> list[int]:
        wall_s, waiting = [50.0], []
        market = still_market(seconds=lambda: wall_s[0])
        with market.reading(None) as reader:
            for after_s in (0.0, 0.01, 0.06, 0.0, 0.06):
                wall_s[0] += after_s
                if len(waiting) < 4:
                    market.desk.place("a", 1, "limit", e8("99"), e8("1"))
                market.pace.advance_to(market.desk.us + 1)
                waiting.append(reader._waiting.qsize())
        return waiting

    assert asyncio.run(play()) == [2, 2, 3, 3, 4]
