"""The market of scenario ``poisson``, measured from the files it leaves."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from recorded import Sweep, geometric_k, sigma2, sweeps

from mm.errors import UsageError
from mm.market_data.layout import DayFolder
from mm.sim.flow import poisson_day
from mm.sim.flow.day import make_day
from mm.sim.flow.session import Session
from mm.sim.flow.scenario import Poisson

HOURS = 1.5
# The sides differ, so that one taken for the other cannot pass.
TWO_SIDED = Poisson(
    A_bid_per_s=2.0, A_ask_per_s=1.2, k_bid_per_tick=0.4, k_ask_per_tick=0.25, sigma_ticks_per_sqrt_s=1.5
)


@dataclass(frozen=True)
class Measured:
    """A day as its files tell it, and the truth beside them."""

    sweeps: list[Sweep]
    variance: tuple[float, float]
    truth: dict
    half: float
    seconds: float

    def depths(self, side: str) -> list[float]:
        return [sweep.deepest for sweep in self.sweeps if sweep.side == side]


@pytest.fixture(scope="module", params=[2, 3])
def day(request, tmp_path_factory) -> Measured:
    """An hour and a half at an even spread (the mid on the grid) and at an odd one (between two prices)."""
    folder = DayFolder(tmp_path_factory.mktemp("data"), "SIMUSDT", "20260105")
    truth = make_day(folder, replace(TWO_SIDED, spread_ticks=request.param), Session("SIMUSDT", "20260105", HOURS, 7))
    seconds = (truth["flow"]["end_us"] - truth["flow"]["start_us"]) / 1e6
    variance = sigma2(folder.path, "0.01", HOURS * 3600)
    return Measured(sweeps(folder.path, "0.01"), variance, truth, request.param / 2, seconds)


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_k_and_A_are_recovered_from_the_files_on_each_side(day, side):
    """The closed-form estimates from the depth of each order, within four of their own standard errors."""
    depths = day.depths(side)
    k, se_k = geometric_k([depth - day.half for depth in depths])
    log_A = math.log(len(depths) / day.seconds) + k * day.half
    se_log_A = math.sqrt(1 / len(depths) + (day.half * se_k) ** 2)
    assert abs(k - day.truth["sides"][side]["k"]) < 4 * se_k
    assert abs(log_A - math.log(day.truth["sides"][side]["A"])) < 4 * se_log_A


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_sweeps_reach_every_distance_at_the_rate_of_the_law(day, side):
    """A·exp(-k·d) holds at each on-grid distance, not only on the whole."""
    A, k = day.truth["sides"][side]["A"], day.truth["sides"][side]["k"]
    depths = day.depths(side)
    for nth in range(15):
        distance = day.half + nth
        expected = A * math.exp(-k * distance) * day.seconds
        assert abs(sum(depth >= distance for depth in depths) - expected) < 4 * math.sqrt(expected)


def test_sigma_is_recovered_from_the_frames(day):
    """The mid's variance per second, within four standard errors."""
    variance, error = day.variance
    assert abs(variance - day.truth["sigma_ticks_per_sqrt_s"] ** 2) < 4 * error


def test_every_sweep_begins_at_the_touch(day):
    """The mid is known exactly at each trade: no print is nearer to it than half the spread, and none skips a level."""
    assert {sweep.nearest for sweep in day.sweeps} == {day.half}
    assert sum(sweep.deepest - sweep.nearest + 1 for sweep in day.sweeps) == day.truth["trades"]
    assert {side: len(day.depths(side)) for side in ("bid", "ask")} == day.truth["sweeps"]


def test_the_luck_of_prices_does_not_depend_on_the_flow():
    """Two days that differ in A alone have the same mid, so their difference is the flow's."""
    session = Session("SIMUSDT", "20260105", 0.05, 3)
    one, other = (poisson_day._book(Poisson(A_per_s=A, sigma_ticks_per_sqrt_s=2.0), session) for A in (0.5, 5.0))
    assert np.array_equal(one.best_bid, other.best_bid)
    assert np.unique(one.best_bid).size > 1


def test_orders_of_one_side_never_share_a_millisecond():
    """Prints of one side and time are one order to everyone who reads the day, so they must be one."""
    moved = poisson_day._apart(np.array([3, 3, 3, 4, 9, 9, 20]))
    assert moved.tolist() == [3, 4, 5, 6, 9, 10, 20]


def test_a_book_is_so_deep_that_no_sweep_reaches_its_edge():
    """A sweep cut short would bend the law; the expected number of them is below 1e-9."""
    scenario, session = Poisson(A_per_s=50.0, k_per_tick=0.05), Session("SIMUSDT", "20260105", 14, 0)
    depth = poisson_day._levels(scenario, session) + scenario.spread_ticks / 2
    assert 2 * 50 * 14 * 3600 * math.exp(-0.05 * depth) < 1e-9


def test_a_day_without_orders_has_prices_only():
    """A = 0 is the day on which nothing trades."""
    market = Poisson(A_per_s=0.0, sigma_ticks_per_sqrt_s=3.0).simulate(Session("SIMUSDT", "20260105", 0.05, 1))
    assert not market.is_trade.any()
    assert market.sent_ms.size > 10


def test_a_mid_that_never_moves_leaves_the_flow_alone():
    """sigma = 0 is the simplest check of a calibration."""
    market = Poisson(sigma_ticks_per_sqrt_s=0.0).simulate(Session("SIMUSDT", "20260105", 0.05, 1))
    levels = ~market.is_trade[np.repeat(np.arange(market.is_trade.size), np.diff(market.first_row))]
    assert (market.row_lots[levels] > 0).all()


def test_prices_of_any_size_make_the_same_market():
    """A price of 10^17 ticks must not run over the whole numbers that sort the rows."""
    session = Session("SIMUSDT", "20260105", 0.05, 1)
    low, high = (Poisson(start_price=price, tick_size="0.00000001").simulate(session) for price in ("1", "1000000000"))
    assert np.array_equal(high.row_ticks - low.row_ticks, np.full(low.row_ticks.size, 999_999_999 * 10**8))
    assert np.array_equal(high.row_lots, low.row_lots)


@pytest.mark.parametrize(
    ("scenario", "word"),
    [
        (Poisson(k_per_tick=0.002), "--k"),
        (Poisson(start_price="0.5"), "--start-price"),
        (Poisson(sigma_ticks_per_sqrt_s=900.0), "--start-price"),
    ],
)
def test_a_market_that_cannot_be_is_refused_with_the_flag_to_change(scenario, word):
    """No book of five thousand levels holds the reach of such orders; no price is below one tick."""
    with pytest.raises(UsageError, match=word):
        scenario.simulate(Session("SIMUSDT", "20260105", 1.0, 1))
