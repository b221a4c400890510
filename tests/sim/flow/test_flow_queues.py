"""The scenarios of queues: their rates and queues, measured from the order log."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from played import ACCOUNT, KIND, LOTS, SIDE, TRADE, US, Played, as_rows, play, session
from scipy import stats

from log_book import Book
from mm.errors import UsageError
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_REST, ROW_TRADE
from simulation import SCENARIOS, STEP_US

LIMITS, MARKETS = 1000, 1001
ZERO = SCENARIOS["zero_intelligence"]
SCENARIO = ZERO(limit_reach_ticks=30, limit_per_s=100.0, market_per_s=6.0, cancel_per_s=0.4)


@dataclass
class Observed:
    """The flow in a log after its opening.

    Attributes:
        distances: Of each limit order from the other side's best.
        spread_us: How long each spread held.
        order_s: Seconds that orders rested, summed over them.
    """

    distances: list[int] = field(default_factory=list)
    spread_us: dict[int, int] = field(default_factory=dict)
    order_s: float = 0.0


def observe(played: Played, start_us: int) -> Observed:
    """Replay the log of a market without other traders."""
    result = Observed()
    levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
    left: dict[int, int] = {}
    last_us = start_us
    for us, kind, order_id, other_id, account, side, ticks, lots, _, _ in as_rows(played.log):
        bid, ask = max(levels[1], default=None), min(levels[-1], default=None)
        if us > last_us:
            result.order_s += len(left) * (us - last_us) / 1e6
            if bid and ask:
                result.spread_us[ask - bid] = result.spread_us.get(ask - bid, 0) + us - last_us
            last_us = us
        if kind == ROW_NEW and account == LIMITS and us >= start_us:
            result.distances.append(ask - ticks if side > 0 else ticks - bid)
        if kind == ROW_REST:
            left[order_id] = lots
        elif kind == ROW_CANCEL:
            del left[order_id]
        elif kind == ROW_TRADE:
            left[other_id] -= lots
            if not left[other_id]:
                del left[other_id]
        elif kind == ROW_LEVEL:
            levels[side][ticks] = lots
            if not lots:
                del levels[side][ticks]
    return result


@pytest.fixture(scope="module")
def busy_market() -> Played:
    """Two minutes in which no side is ever empty."""
    return play(SCENARIO, session(0.033))


@pytest.fixture(scope="module")
def measured(busy_market) -> Observed:
    return observe(busy_market, session(0.033).flow_us[0])


def seconds() -> float:
    period = session(0.033)
    return (period.close_us - period.flow_us[0]) / 1e6


def is_near(count: float, expected: float) -> bool:
    """Return whether a Poisson count is within four standard errors of its expectation."""
    return abs(count - expected) < 4 * np.sqrt(expected)


def test_limit_orders_arrive_at_the_rate_of_each_distance(busy_market, measured):
    """The rates of the truth, from the log alone."""
    rates = np.array(SCENARIO.truth(session(0.033))["rates_of_a_side"]["limit_per_s_at_distance"])
    expected = 2 * rates * seconds()
    counts = np.bincount(measured.distances, minlength=len(rates) + 1)
    assert counts[0] == 0
    assert len(counts) == len(rates) + 1
    assert stats.chi2.sf(((counts[1:] - expected) ** 2 / expected).sum(), len(rates)) > 0.001
    sent = busy_market.flow.counts()["limit_orders"]
    assert sent["bid"] + sent["ask"] == counts.sum()
    assert is_near(sent["bid"], rates.sum() * seconds())


def test_market_orders_are_poisson_processes(busy_market):
    """Their number on each side, and exponential waiting times between them."""
    new = busy_market.rows(ROW_NEW, MARKETS)
    counts = busy_market.flow.counts()["market_orders"]
    assert [counts["bid"], counts["ask"]] == [int((new[:, SIDE] == side).sum()) for side in (-1, 1)]
    assert all(is_near(count, SCENARIO.market_per_s * seconds()) for count in counts.values())
    assert stats.kstest(np.diff(new[:, US]) / 1e6, stats.expon(scale=1 / 12.0).cdf).pvalue > 0.001


def test_orders_are_cancelled_at_the_configured_rate(busy_market, measured):
    """Cancellations divided by the time that orders rested."""
    cancelled = busy_market.rows(ROW_CANCEL)
    assert is_near(len(cancelled), SCENARIO.cancel_per_s * measured.order_s)
    assert sum(busy_market.flow.counts()["cancellations"].values()) == len(cancelled)


@pytest.mark.parametrize(("limit_lots", "market_lots"), [(50, 20), (2, 1)])
def test_order_sizes_are_geometric_with_configured_means(limit_lots, market_lots):
    """In lots; the minimum is one."""
    scenario = replace(SCENARIO, limit_qty=f"0.{limit_lots:03}", market_qty=f"0.{market_lots:03}")
    played = play(scenario, session(0.033))
    for account, mean in ((LIMITS, limit_lots), (MARKETS, market_lots)):
        lots, deviation = played.rows(ROW_NEW, account)[:, LOTS], np.sqrt(mean * (mean - 1))
        assert lots.min() == 1
        assert abs(lots.mean() - mean) <= 4 * deviation / np.sqrt(len(lots))
        assert abs(lots.std() - deviation) <= 0.1 * deviation


def test_opening_book_has_stationary_number_of_orders(busy_market):
    """No long warm-up: the number of resting orders is right from the start."""
    period = session(0.033)
    opening = busy_market.log[busy_market.log[:, US] == period.open_us]
    expected = 2 * SCENARIO.limit_per_s / SCENARIO.cancel_per_s
    assert is_near((opening[:, KIND] == ROW_REST).sum(), expected)
    assert set(opening[:, KIND]) == {ROW_NEW, ROW_REST, ROW_LEVEL}


def test_queue_positions_from_log_match_engine():
    """Priority and lots ahead of every order, at several instants."""
    period, book, cuts = session(0.005), Book(), (0, 1_000_000, 7_777_777, 15_000_000)
    logs = []

    def look(matching, us):
        rows = matching.take_log()
        logs.append(rows)
        book.play(as_rows(rows))
        for side in (1, -1):
            ahead: dict[int, int] = {}
            orders = book.orders(side)
            assert orders == matching.orders(side)
            for order_id, _, ticks, lots in orders:
                assert matching.queue_ahead(order_id) == ahead.get(ticks, 0)
                ahead[ticks] = ahead.get(ticks, 0) + lots

    play(SCENARIO, period, cuts, look)
    assert sum(map(len, logs)) > 5_000


def test_large_tick_has_spread_of_one_and_long_queues():
    """Nearly always; and the price still moves now and then."""
    period, queues, bids = session(0.15), [], []

    def look(matching, us):
        for side in (1, -1):
            orders = matching.orders(side, 300)
            queues.append(sum(ticks == orders[0][2] for _, _, ticks, _ in orders))
        bids.append(matching.best()[0])

    played = play(
        SCENARIOS["large_tick"](), period, tuple(range(STEP_US, period.flow_us[1] - period.open_us, 10 * STEP_US)), look
    )
    spread_us = observe(played, period.flow_us[0]).spread_us
    assert spread_us[1] / sum(spread_us.values()) > 0.98
    assert np.mean(queues) > 25
    assert 1 < len(set(bids)) < 100


def test_emptied_side_is_refilled():
    """Market orders far beyond the book: new limit orders follow the last best price."""
    scenario = ZERO(limit_per_s=2.0, market_per_s=20.0, cancel_per_s=1.0, limit_reach_ticks=2)
    played = play(scenario, session(0.05))
    assert (played.rows(ROW_LEVEL)[:, LOTS] == 0).sum() > 100
    assert len(played.rows(ROW_TRADE)) > 100
    late = played.log[played.log[:, US] > session(0.05).close_us - 10_000_000]
    assert (late[:, KIND] == ROW_REST).any()
    trade_ids = played.rows(ROW_TRADE)[:, TRADE]
    assert (np.diff(trade_ids) == 1).all()
    assert set(played.log[:, ACCOUNT]) == {0, LIMITS, MARKETS}


def test_mean_size_below_one_lot_raises_usage_error():
    """Nothing is smaller than a lot."""
    with pytest.raises(UsageError, match=r"limit_qty 0.05 is not a multiple of qty_step 0.1"):
        ZERO(qty_step="0.1")
