"""What a MARKET order will cost is known before it is sent, exactly: the core then does just that."""

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_rig import ALICE, BOB, BUY, SELL, Desk
from mm.sim.exchange.exchange import Walk
from mm.sim.exchange.rules import STP_MODES
from mm.sim.matching.order_log import MARKET, ROW_TRADE
from plain_matching import PlainMatching

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
def test_the_cost_is_what_the_core_makes_of_it(resting: Resting, side: int, lots: int, stp: str) -> None:
    """Over the taker's own orders and those of others, whatever the mode; past the first 64 orders, too."""
    core = book(-side, resting)
    cost_tl = Walk(core, side, ALICE, stp).cost(lots)
    core.submit(0, ALICE, side, 0, lots, MARKET, STP_MODES.index(stp))
    assert cost_tl == sum(row[6] * row[7] for row in core.take_log() if row[1] == ROW_TRADE)


@settings(max_examples=150, deadline=None)
@given(BOOKS, st.sampled_from([BUY, SELL]), st.integers(1, 2_000))
def test_the_lots_of_a_budget_are_the_most_that_it_reaches_for(resting: Resting, side: int, budget_tl: int) -> None:
    """One lot more would cost too much, or there is none."""
    core = book(-side, resting)
    walk = Walk(core, side, 3, "NONE")
    lots, is_short = walk.lots_for(budget_tl)
    there = sum(lots for _, _, lots in resting)
    assert walk.cost(lots) <= budget_tl
    assert is_short == (walk.cost(there) < budget_tl)
    assert lots == there or walk.cost(lots + 1) > budget_tl


@settings(max_examples=60, deadline=None)
@given(BOOKS, st.integers(1, 400), st.sampled_from(STP_MODES))
def test_exactly_the_cost_is_reserved(resting: Resting, lots: int, stp: str) -> None:
    """A buyer with just that much money may send the order, and has none left; with less he may not."""
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
