"""Conditional orders of a contract: when and at what price they are sent, by rules that are written out again here."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.instrument import E8
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import NewOrder
from mm.sim.exchange.usdm.conditional import MARK_PRICE, Conditional, ConditionalChange
from mm.sim.exchange.usdm.contract_rules import TRAILING
from usdm_rig import ALICE, BOB, CAROL, Pit

TICK_E8 = 1_000_000


def order(side: int, lots: int = 1_000, ticks: int = 0, **more: Any) -> NewOrder:
    """Return what is sent once the price is reached."""
    return NewOrder(side=side, type="LIMIT" if ticks else "MARKET", ticks=ticks, lots=lots, stp="EXPIRE_MAKER", **more)


def wait(pit: Pit, kind: str, side: int, ticks: int, who: int = ALICE, **more: Any) -> Conditional:
    """Let an order of one unit wait for a price in ticks."""
    sent = more.pop("sent", None) or order(side)
    new = Conditional(type=kind, order=sent, trigger_e8=ticks * TICK_E8, **more)
    return pit.exchange.place_conditional(pit.us, who, new)


def refused(pit: Pit, *args: Any, **more: Any) -> int:
    """Return the code with which an order is refused."""
    with pytest.raises(ApiError) as found:
        wait(pit, *args, **more)
    return found.value.code


def states(pit: Pit, who: int = ALICE) -> list[str]:
    """Return what the user was told of conditional orders."""
    return [one.order.status for one in pit.events[who] if isinstance(one, ConditionalChange)]  # type: ignore[misc]


@pytest.fixture
def pit() -> Pit:
    """A contract whose last trade was at 100, with a deep book of the market."""
    pit = Pit("alice", "bob", "carol")
    pit.trade(BOB, CAROL, 10_000, 1_000)
    pit.market_order(-1, 10_400, 10**6)
    pit.market_order(1, 9_600, 10**6)
    return pit


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "before", "at"),
    [
        ("STOP_MARKET", -1, 9_900, 9_901, 9_900),
        ("STOP_MARKET", 1, 10_100, 10_099, 10_100),
        ("TAKE_PROFIT_MARKET", -1, 10_100, 10_099, 10_101),
        ("TAKE_PROFIT_MARKET", 1, 9_900, 9_901, 9_850),
    ],
)
def test_an_order_is_sent_with_the_trade_that_reaches_its_price(
    pit: Pit, kind: str, side: int, trigger: int, before: int, at: int
) -> None:
    """Not a tick before; at the instant of that trade, and for the price that the book has."""
    waiting = wait(pit, kind, side, trigger)
    pit.pass_s(0.5)
    pit.trade(BOB, CAROL, before, 100)
    assert waiting.status == "NEW"
    pit.pass_s(0.25)
    pit.trade(BOB, CAROL, at, 100)
    assert states(pit) == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    assert waiting.trigger_us == pit.us
    assert waiting.sent
    assert (waiting.sent.status, waiting.sent.fills[0].ticks) == ("FILLED", 10_400 if side > 0 else 9_600)
    assert pit.contract(ALICE).lots == side * 1_000
    pit.check()


def test_a_market_trade_between_two_requests_triggers_within_its_millisecond(pit: Pit) -> None:
    """However far the time is advanced at once."""

    class Once:
        """One sale of the market."""

        def __init__(self) -> None:
            self.us = pit.us + 2_345_678

        def advance(self, until_us: int) -> None:
            if self.us and until_us >= self.us:
                pit.core.submit(self.us, 1_000, -1, 9_600, 5, 2)
                self.us = 0

        def counts(self) -> dict[str, Any]:
            return {}

    waiting = wait(pit, "STOP", -1, 9_700, sent=order(-1, ticks=9_590))
    pit.exchange._flow = flow = Once()
    traded_us = flow.us
    pit.pass_s(10)
    assert traded_us <= waiting.trigger_us < traded_us + 1_000
    assert waiting.sent
    assert waiting.sent.request.ticks == 9_590
    pit.check()


def test_a_mark_price_triggers_at_its_second_and_a_trade_does_not(pit: Pit) -> None:
    """Each order hears its own kind of price."""
    waiting = wait(pit, "STOP_MARKET", -1, 9_800, working=MARK_PRICE)
    pit.trade(BOB, CAROL, 9_700, 100)
    assert waiting.status == "NEW"
    pit.mark("97.99", seconds=2.5)
    assert waiting.status == "FINISHED"
    assert waiting.trigger_us % 1_000_000 == 0


@pytest.mark.parametrize(
    ("code", "arguments", "more"),
    [
        (-2021, ("STOP_MARKET", 1, 10_000), {}),
        (-2021, ("STOP_MARKET", -1, 10_100), {}),
        (-2021, ("TAKE_PROFIT_MARKET", 1, 10_100), {}),
        (-2021, (TRAILING, 1, 0), {"callback_e8": E8 // 100, "activate_e8": 10_000 * TICK_E8}),
        (-2021, (TRAILING, -1, 0), {"callback_e8": E8 // 100, "activate_e8": 9_900 * TICK_E8}),
    ],
)
def test_what_would_trigger_at_once_is_refused(pit: Pit, code: int, arguments: Any, more: Any) -> None:
    """Nothing waits then."""
    assert refused(pit, *arguments, **more) == code
    assert pit.exchange.conditionals.open(ALICE) == []


def test_margin_is_checked_when_the_order_is_sent(pit: Pit) -> None:
    """It is accepted without margin, and rejected with the reason."""
    waiting = wait(pit, "STOP_MARKET", 1, 10_100, sent=order(1, lots=10**9))
    pit.trade(BOB, CAROL, 10_100, 100)
    assert waiting.status == "REJECTED"
    assert waiting.reason
    assert states(pit) == ["NEW", "TRIGGERING", "REJECTED"]


def test_close_position_closes_all_of_it_or_expires(pit: Pit) -> None:
    """The quantity is that of the trigger's instant; a second one of the side is refused."""
    close = {"sent": order(-1, lots=0), "close_position": True}
    pit.trade(ALICE, BOB, 10_000, 3_000)
    waiting = wait(pit, "STOP_MARKET", -1, 9_900, **close)
    assert refused(pit, "STOP_MARKET", -1, 9_800, **close) == -4130
    other = wait(pit, "STOP_MARKET", 1, 10_300, **{**close, "sent": order(1, lots=0)})  # of a short, which may follow
    pit.exchange.conditionals.cancel(other)
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.trade(BOB, CAROL, 9_900, 100)
    assert (waiting.status, pit.contract(ALICE).lots) == ("FINISHED", 0)
    again = wait(pit, "TAKE_PROFIT_MARKET", -1, 10_100, **close)
    pit.trade(BOB, CAROL, 10_100, 100)
    assert again.status == "EXPIRED"
    pit.check()


@pytest.mark.parametrize(
    ("protected", "mark", "status"), [(True, 107, "REJECTED"), (True, 104, "FINISHED"), (False, 107, "FINISHED")]
)
def test_a_protected_order_is_not_sent_across_a_gap(pit: Pit, protected: bool, mark: int, status: str) -> None:
    """Of more than 5 % between mark and last trade, which is at 100; the order itself would be accepted."""
    waiting = wait(pit, "STOP_MARKET", 1, 10_100, price_protect=protected)
    pit.exchange.conditionals.hear("CONTRACT_PRICE", 10_100 * TICK_E8)
    pit.exchange.mark.e8 = mark * E8
    pit.exchange.conditionals.run()
    assert waiting.status == status


def test_orders_that_wait_count_as_orders_of_the_account() -> None:
    """Also those that were cancelled; in the next ten seconds there is room again."""
    pit = Pit(limits=True)
    pit.pass_s(10 - pit.us % 10_000_000 / 1e6)
    for _ in range(300):
        pit.exchange.conditionals.cancel(wait(pit, "STOP_MARKET", -1, 9_000))
    assert refused(pit, "STOP_MARKET", -1, 9_000) == -1015
    pit.pass_s(10)
    assert wait(pit, "STOP_MARKET", -1, 9_000).status == "NEW"


def test_a_cancelled_order_is_not_sent_and_a_liquidation_ends_all(pit: Pit) -> None:
    """A second cancel has nothing to end."""
    waiting, other = wait(pit, "STOP_MARKET", -1, 9_900), wait(pit, "STOP_MARKET", -1, 9_000)
    pit.exchange.conditionals.cancel(waiting)
    pit.trade(BOB, CAROL, 9_900, 100)
    assert (waiting.status, waiting.order_id) == ("CANCELED", 0)
    with pytest.raises(ApiError, match="-2011"):
        pit.exchange.conditionals.cancel(waiting)
    pit.exchange.conditionals.expire(ALICE)
    assert other.status == "EXPIRED"


def long_with_little_margin() -> Pit:
    """Let alice be long 100 at 100 with 600 behind it."""
    pit = Pit()
    pit.wallet(ALICE).balance_e8 = 600 * E8
    pit.trade(ALICE, BOB, 10_000, 100_000)
    pit.market_order(1, 9_600, 10**6)
    return pit


def test_liquidation_ends_the_orders_that_wait() -> None:
    """They would open a position that nobody wants any more."""
    pit = long_with_little_margin()
    waiting = wait(pit, "STOP_MARKET", -1, 5_000)
    pit.mark(94)
    assert (pit.contract(ALICE).lots, len(pit.exchange.forced)) == (0, 1)
    assert waiting.status == "EXPIRED"
    assert pit.exchange.conditionals.open(ALICE) == []


def test_stop_by_the_mark_price_is_sent_before_the_liquidation_of_the_same_second() -> None:
    """It closes the position at what the book has, and the rest of the margin stays."""
    pit = long_with_little_margin()
    stop = wait(pit, "STOP_MARKET", -1, 9_500, sent=order(-1, 100_000), working=MARK_PRICE)
    pit.mark(94)
    assert (stop.status, pit.contract(ALICE).lots, pit.exchange.forced) == ("FINISHED", 0, [])
    assert 150 * E8 < pit.wallet(ALICE).balance_e8 < 200 * E8


def trailed(side: int, activate: int, callback_e8: int, prices: Sequence[int]) -> int | None:
    """Return which price triggers a trailing stop that was placed at 10,000, by the exchange's rule."""
    for at in range(len(prices)):
        seen = [10_000, *prices[: at + 1]]
        if side > 0:
            low = min(seen)
            if low <= activate and prices[at] * E8 >= low * (E8 + callback_e8):
                return at
        else:
            high = max(seen)
            if high >= activate and prices[at] * E8 <= high * (E8 - callback_e8):
                return at
    return None


@given(
    st.sampled_from((1, -1)),
    st.integers(1, 50),
    st.integers(1, 20),
    st.lists(st.integers(-120, 120).map(lambda move: 10_000 + move), min_size=1, max_size=20),
)
def test_a_trailing_stop_follows_the_extreme(side: int, away: int, tenths: int, prices: list[int]) -> None:
    """It is triggered by the same price as the rule, for any path."""
    callback_e8 = tenths * E8 // 1_000
    waiting = Conditional(
        type=TRAILING,
        order=order(side),
        activate_e8=(10_000 - side * away) * TICK_E8,
        callback_e8=callback_e8,
        extreme_e8=10_000 * TICK_E8,
    )
    reached = next((at for at, ticks in enumerate(prices) if waiting.reached(ticks * TICK_E8)), None)
    assert reached == trailed(side, 10_000 - side * away, callback_e8, prices)
