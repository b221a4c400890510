"""The true queue against lists of orders that each new order of the market walks, ours among them."""

import numpy as np
import pytest

from mm import Quotes, Rules, backtest
from mm.backtest.journal import ACTIONS
from mm.backtest.models import queue_orders
from mm.dayfolder.order_log import OrderLog
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import FOK, IOC, LIMIT, MAKER, MARKET
from order_cases import BEGIN_US, tape_of
from plain_fifo import PlainFifo
from simulation import simulate_day

KINDS = {"limit": LIMIT, "maker": MAKER, "ioc": IOC, "fok": FOK, "market": MARKET}
ACTS = {"limit": 0.36, "maker": 0.08, "ioc": 0.08, "fok": 0.03, "market": 0.07, "cancel": 0.22, "reduce": 0.08}
ACTS |= {"replace": 0.08}
REQUOTE_US = 100_000


def busy_market(seed, commands, size, reach):
    """Return the log of a wandering market of orders of all kinds, at even instants: int64[n, 10].

    Args:
        size: Twice the mean lots of an order.
        reach: Ticks from the middle up to which orders are placed.
    """
    draws, market = np.random.default_rng(seed), Matching(first_order_id=1, first_trade_id=1, first_update_id=1)
    us, middle, ids = BEGIN_US, 10_000, []
    for away in range(1, reach):
        ids += [market.submit(us, 1, side, middle - side * away, size, LIMIT) for side in (1, -1)]
    for act in draws.choice([*ACTS], commands, p=[*ACTS.values()]).tolist():
        us += 2 * int(draws.integers(0, 20_000))
        middle += int(draws.choice([0] * 60 + [1, -1]))
        side, lots = int(draws.choice([1, -1])), int(draws.geometric(2 / size))
        ticks = middle - side * int(draws.integers(-1, reach))
        number = ids[-min(int(draws.geometric(0.02)), len(ids))]
        left = order[3] if (order := market.order(number)) else 0
        if act == "cancel":
            market.cancel(us, number)
        elif act == "reduce" and left > 1:
            market.reduce(us, number, int(draws.integers(1, left)))
        elif act == "replace":
            ids.append(market.replace(us, number, ticks, lots))
        elif act in KINDS:
            account = int(draws.integers(1, 4))
            ids.append(market.submit(us, account, side, 0 if act == "market" else ticks, lots, KINDS[act]))
        ids = [each for each in ids if each > 0]
    return market.take_log()


class Restless:
    """Up to three prices a side; most often the same again, some with a lot less."""

    def __init__(self, seed, most):
        self.draws, self.most, self.levels = np.random.default_rng(seed), most, ([], [])

    def quote(self, view):
        if self.draws.random() < 0.1:
            self.levels = self.side(view.bid_ticks, 1), self.side(view.ask_ticks, -1)
        for levels in self.levels:
            levels[:] = [(ticks, max(lots - int(self.draws.random() < 0.1), 1)) for ticks, lots in levels]
        return Quotes(bids=self.levels[0], asks=self.levels[1])

    def side(self, best, sign):
        """Draw the prices of a side with their lots."""
        aways = sorted(self.draws.choice(4, self.draws.integers(0, 4), replace=False).tolist())
        return [(best - sign * away, int(self.draws.integers(1, self.most))) for away in aways]


def played(tape, latency_us, most, ttl_us=0, seed=5):
    """Return the journal of a restless run under the true queue; its orders act at odd instants."""
    grid = tape.instrument
    rules = Rules(
        grid.tick_e8,
        grid.lot_e8,
        enforce_balances=False,
        order_latency_us=latency_us,
        cancel_latency_us=latency_us + 2,
        requote_us=REQUOTE_US,
        ttl_us=ttl_us,
        order_amend=True,
    )
    return backtest(tape, Restless(seed, most), queue_orders(), rules=rules).journal


def in_plain_lists(log, journal, until_us):
    """Return the lists after our orders of a run came, shrank and went in them."""
    acts, lists = [], PlainFifo(log)
    for us, number, action, _, side, ticks, lots, left, active_us, *_ in journal.orders.tolist():
        name = ACTIONS[action]
        if name == "PLACE":
            acts.append((active_us, number, name, side, ticks, lots))
        elif name in ("CANCEL_ACK", "EXPIRE", "AMEND"):
            acts.append((us, number, name, left if name == "AMEND" else 0))
    assert not {us for us, *_ in acts} & set(log[:, 0].tolist()), "the order within an instant is another test's"
    for us, number, name, *terms in sorted(acts, key=lambda act: act[0]):
        if name == "PLACE":
            lists.place(us, number, *terms)
        else:
            lists.until(us)
            lists.left(-number, *terms)
    lists.until(until_us)
    return lists


def agree(log, tape, journal):
    """Compare each fill and each refused order, and return how many fills and amendments there were."""
    lists = in_plain_lists(log, journal, int(tape.end_us))
    actions = [ACTIONS[action] for action in journal.orders[:, 2].tolist()]
    refused = journal.orders[np.array(actions) == "REJECT", 1]
    assert sorted(lists.fills) == sorted((us, number, lots) for us, number, _, _, lots, *_ in journal.fills.tolist())
    assert sorted(lists.refused) == sorted(refused.tolist())
    return len(journal.fills), actions.count("AMEND")


@pytest.mark.parametrize(
    ("market", "step_us", "latency_us", "most", "ttl_us"),
    [
        ((1, 5_000, 60, 6), 100_000, 50_001, 40, 0),
        ((2, 5_000, 60, 6), 100_000, 1, 200, 0),
        ((3, 5_000, 8, 3), 1_000, 7_001, 10, 3_000_001),
        ((4, 5_000, 4, 4), 10_000, 250_001, 3, 0),
    ],
)
def test_fills_equal_a_walk_through_lists_of_orders(market, step_us, latency_us, most, ttl_us):
    """Amended and replaced orders of the market, partial fills, several own prices, latencies and amendments."""
    log = busy_market(*market)
    tape = tape_of(log, step_us)
    fills, amendments = agree(log, tape, played(tape, latency_us, most, ttl_us))
    assert min(fills, amendments) > 30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "hours", "steps"),
    [
        ("zero_intelligence", 0.02, {}),
        ("zero_intelligence", 0.02, {"tick_size": "0.05", "qty_step": "0.01", "start_price": "37.5"}),
        ("large_tick", 0.25, {}),
        ("large_tick", 0.25, {"tick_size": "1", "qty_step": "0.1", "start_price": "20"}),
    ],
)
def test_fills_of_a_simulated_day_equal_a_walk_through_its_lists(tmp_path, scenario, hours, steps):
    """Minutes of each market with order queues, on steps of price and quantity of its own."""
    day = simulate_day(tmp_path, scenario, hours=hours, seed=23, **steps)
    log = np.column_stack(list(OrderLog.open(day.order_log).columns.values()))
    log[:, 0] = (log[:, 0] - log[0, 0]) // 2 * 2 + BEGIN_US
    tape = tape_of(log, 100_000)
    fills, amendments = agree(log, tape, played(tape, 50_001, 300))
    assert min(fills, amendments) > 20
