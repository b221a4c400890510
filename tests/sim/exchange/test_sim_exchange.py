"""The exchange: self-trade prevention, and the cost of a MARKET order before it is sent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_rig import ALICE, BOB, BUY, SELL, Desk
from mm.sim.exchange.exchange import Walk
from mm.sim.exchange.orders import ExecutionReport, UserOrder
from mm.sim.exchange.rules import STP_MODES
from mm.sim.matching.order_log import MARKET, ROW_TRADE
from plain_matching import PlainMatching

TAKER, MAKER = "EXPIRE_TAKER", "EXPIRE_MAKER"


def state(order: UserOrder) -> tuple[str, int, int]:
    """Return the state of an order: status, executed and prevented lots."""
    return order.status, order.filled_lots, order.prevented_lots


def test_stp_mode_of_taker_applies() -> None:
    """Scenario E: a bid with EXPIRE_MAKER stays, because the sell order has EXPIRE_TAKER."""
    desk = Desk()
    maker = desk.limit(ALICE, BUY, 5_000, 1_000, stp=MAKER)
    taker = desk.limit(ALICE, SELL, 5_000, 1_000, stp=TAKER)
    assert (state(maker), state(taker)) == (("NEW", 0, 0), ("EXPIRED_IN_MATCH", 0, 1_000))


def test_market_order_expires_after_own_maker_expires() -> None:
    """Scenario F: the bid expires for self-trade prevention, the sell order for lack of liquidity."""
    desk = Desk()
    maker = desk.limit(ALICE, BUY, 5_000, 1_000, stp="NONE")
    taker = desk.market(ALICE, SELL, 1_000, stp=MAKER)
    assert (state(maker), state(taker)) == (("EXPIRED_IN_MATCH", 0, 1_000), ("EXPIRED", 0, 0))


@pytest.mark.parametrize(
    ("stp", "reported"),
    [
        (TAKER, [("TRADE_PREVENTION", "EXPIRED_IN_MATCH", 2, 3_000)]),
        (MAKER, [("TRADE_PREVENTION", "EXPIRED_IN_MATCH", 1, 1_000)]),
        (
            "EXPIRE_BOTH",
            [("TRADE_PREVENTION", "EXPIRED_IN_MATCH", 1, 1_000), ("TRADE_PREVENTION", "EXPIRED_IN_MATCH", 2, 3_000)],
        ),
        ("DECREMENT", [("TRADE_PREVENTION", "EXPIRED_IN_MATCH", 1, 1_000), ("TRADE_PREVENTION", "NEW", 2, 1_000)]),
    ],
)
def test_trade_prevention_is_reported_for_each_reduced_order(
    stp: str, reported: list[tuple[str, str, int, int]]
) -> None:
    """Execution type TRADE_PREVENTION, once for each order that lost quantity, with the quantity."""
    desk = Desk()
    desk.limit(ALICE, BUY, 10_000, 1_000)
    desk.limit(ALICE, SELL, 10_000, 3_000, stp=stp)
    executions = [one for one in desk.reported[ALICE] if isinstance(one, ExecutionReport) and one.kind not in ("NEW",)]
    assert [(one.kind, one.order.status, one.order.order_id, one.prevented_lots) for one in executions] == reported


Resting = list[tuple[int, int, int]]
BOOKS = st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.integers(1, 6), st.integers(1, 9)), max_size=150)


def book(side: int, resting: Resting) -> PlainMatching:
    """Return a matching engine with orders of two accounts on one side."""
    core = PlainMatching()
    for account, ticks, lots in resting:
        core.submit(0, account, side, ticks, lots)
    core.take_log()
    return core


@settings(max_examples=150, deadline=None)
@given(BOOKS, st.sampled_from([BUY, SELL]), st.integers(1, 400), st.sampled_from(STP_MODES))
def test_walk_cost_matches_trades_of_the_core(resting: Resting, side: int, lots: int, stp: str) -> None:
    """Over the taker's own orders and those of others, in every mode; also past the first 64 orders."""
    core = book(-side, resting)
    cost_tl = Walk(core, side, ALICE, stp).cost(lots)
    core.submit(0, ALICE, side, 0, lots, MARKET, STP_MODES.index(stp))
    assert cost_tl == sum(row[6] * row[7] for row in core.take_log() if row[1] == ROW_TRADE)


@settings(max_examples=150, deadline=None)
@given(BOOKS, st.sampled_from([BUY, SELL]), st.integers(1, 2_000))
def test_walk_lots_for_returns_largest_affordable_quantity(resting: Resting, side: int, budget_tl: int) -> None:
    """One lot more would cost too much, or there is none."""
    core = book(-side, resting)
    walk = Walk(core, side, 3, "NONE")
    lots, is_short = walk.lots_for(budget_tl)
    available = sum(lots for _, _, lots in resting)
    assert walk.cost(lots) <= budget_tl
    assert is_short == (walk.cost(available) < budget_tl)
    assert lots == available or walk.cost(lots + 1) > budget_tl


@settings(max_examples=60, deadline=None)
@given(BOOKS, st.integers(1, 400), st.sampled_from(STP_MODES))
def test_market_buy_reserves_exactly_its_cost(resting: Resting, lots: int, stp: str) -> None:
    """A buyer with just that much money can send the order, and has none left except for own sales."""
    desk = Desk(limits=False, most_orders=1_000)
    for account, step, quantity in resting:
        desk.limit(account, SELL, 10_000 + step, quantity * 100, stp="NONE")
    account = desk.exchange.accounts[ALICE]
    cost_e8 = Walk(desk.core, BUY, ALICE, stp).cost(lots * 100) * desk.rules.tl_e8
    account.quote.free = cost_e8
    earned_tl = sum(one.spent_tl for one in desk.exchange.users.all(ALICE))
    order = desk.market(ALICE, BUY, lots * 100, stp=stp)
    sold_tl = sum(one.spent_tl for one in desk.exchange.users.all(ALICE)) - order.spent_tl - earned_tl
    assert order.spent_tl * desk.rules.tl_e8 == cost_e8
    assert (account.quote.free > 0) == (sold_tl > 0)
    assert account.quote.locked == order.reserved_e8 == 0
