"""The counts of unfilled orders: each order counts, and its first trade takes off as much as its side of the trade."""

from exchange_rig import ALICE, BOB, BUY, SELL, Desk
from mm.sim.exchange.accounts import OrderCount, RateLimit

MAKER, TAKER = 5, 1


def counted(desk: Desk, who: int) -> list[int]:
    return list(desk.exchange.accounts[who].count.counts(desk.us))


def test_first_trade_of_a_maker_takes_off_five_orders_and_of_a_taker_one() -> None:
    desk = Desk()
    for number in range(8):
        desk.limit(ALICE, BUY, 9_990 - number, 1_000)
        desk.limit(BOB, SELL, 10_100 + number, 1_000)
    assert counted(desk, ALICE) == counted(desk, BOB) == [8, 8]
    desk.limit(BOB, SELL, 9_990, 400)
    assert counted(desk, ALICE) == [8 - MAKER] * 2
    assert counted(desk, BOB) == [8 + 1 - TAKER] * 2


def test_further_trades_of_an_order_take_off_nothing() -> None:
    desk = Desk()
    for number in range(8):
        desk.limit(ALICE, BUY, 9_990 - number, 1_000)
    for _ in range(2):
        desk.limit(BOB, SELL, 9_990, 400)
    assert counted(desk, ALICE) == [8 - MAKER] * 2


def test_a_count_is_never_below_nothing() -> None:
    desk = Desk()
    desk.limit(ALICE, BUY, 9_990, 1_000)
    desk.limit(BOB, SELL, 9_990, 400)
    assert counted(desk, ALICE) == [0, 0]


def test_intervals_begin_at_multiples_of_their_length() -> None:
    """Not with the first order: one just before the end of an interval leaves the whole next one free."""
    second_us, day_us = 1_000_000, 86_400_000_000
    count, begin_us = OrderCount(), 20_000 * day_us
    for us, expected in ((9_900_000, [1, 1]), (10 * second_us, [1, 2]), (19_999_999, [2, 3]), (day_us, [1, 1])):
        count.add(begin_us + us)
        assert count.counts(begin_us + us) == expected
    limit = RateLimit("ORDERS", "SECOND", 10, 100)
    assert [limit.end_us(us * second_us) for us in (0, 9, 10, 25)] == [us * second_us for us in (10, 10, 20, 30)]
