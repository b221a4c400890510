"""The scenarios with a regular book, measured from their files and order log."""

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from played import (
    SIDE,
    TICKS,
    US,
    USER,
    Ints,
    Played,
    play,
    session,
)
from recorded import Sweep, geometric_k, sigma2, sweeps
from scipy import optimize, stats

from mm.calibration.hawkes import ArrivalFlow, fit_hawkes
from mm.errors import UsageError
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import IOC, ROW_LEVEL, ROW_NEW, ROW_TRADE
from simulation import SCENARIOS, STEP_US, simulate_day, truth_of

HOURS = 1.0
POISSON, HAWKES, REGIMES = (SCENARIOS[name] for name in ("poisson", "hawkes", "regimes"))


class _Shallow(POISSON):
    """A market whose book is far too shallow for its orders."""

    name: ClassVar[str] = "shallow"

    def levels(self, session) -> int:
        return 8


# The sides differ, so that a swap of sides cannot pass.
TWO_SIDED = POISSON(
    A_bid_per_s=2.0, A_ask_per_s=1.2, k_bid_per_tick=0.4, k_ask_per_tick=0.25, sigma_ticks_per_sqrt_s=1.5
)


@dataclass(frozen=True)
class Measured:
    """Measurements from the files of a day, and its truth."""

    sweeps: list[Sweep]
    variance: tuple[float, float]
    truth: dict
    half: float
    seconds: float

    def depths(self, side: str) -> list[float]:
        return [sweep.deepest for sweep in self.sweeps if sweep.side == side]


@pytest.fixture(scope="module", params=[2, 3])
def day(request, tmp_path_factory) -> Measured:
    """An hour each at an even spread (the mid on the grid) and at an odd one (between two prices)."""
    market = {**asdict(TWO_SIDED), "spread_ticks": request.param}
    folder = simulate_day(tmp_path_factory.mktemp("data"), hours=HOURS, seed=7, **market)
    truth = truth_of(folder)
    seconds = (truth["flow"]["end_us"] - truth["flow"]["start_us"]) / 1e6
    variance = sigma2(folder.path, "0.01", HOURS * 3600)
    return Measured(sweeps(folder.path, "0.01"), variance, truth, request.param / 2, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_k_and_A_are_recovered_from_the_files_on_each_side(day, side):
    """The closed-form estimates from the depth of each order, within four of their own standard errors."""
    depths = day.depths(side)
    k, se_k = geometric_k([depth - day.half for depth in depths])
    log_A = math.log(len(depths) / day.seconds) + k * day.half
    se_log_A = math.sqrt(1 / len(depths) + (day.half * se_k) ** 2)
    assert abs(k - day.truth["sides"][side]["k"]) < 4 * se_k
    assert abs(log_A - math.log(day.truth["sides"][side]["A"])) < 4 * se_log_A


@pytest.mark.slow
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_sweeps_reach_each_distance_at_the_exponential_rate(day, side):
    """A·exp(-k·d) holds at each on-grid distance, not only in total."""
    A, k = day.truth["sides"][side]["A"], day.truth["sides"][side]["k"]
    depths = day.depths(side)
    for nth in range(15):
        distance = day.half + nth
        expected = A * math.exp(-k * distance) * day.seconds
        assert abs(sum(depth >= distance for depth in depths) - expected) < 4 * math.sqrt(expected)


@pytest.mark.slow
def test_sigma_is_recovered_from_the_frames(day):
    """The mid's variance per second, within four standard errors."""
    variance, error = day.variance
    assert abs(variance - day.truth["sigma_ticks_per_sqrt_s"] ** 2) < 4 * error


@pytest.mark.slow
def test_every_sweep_starts_at_the_touch(day):
    """The mid is known exactly at each trade: no print is nearer than half the spread, and none skips a level."""
    assert {sweep.nearest for sweep in day.sweeps} == {day.half}
    assert sum(sweep.deepest - sweep.nearest + 1 for sweep in day.sweeps) == day.truth["trades"]
    assert {side: len(day.depths(side)) for side in ("bid", "ask")} == day.truth["sweeps"]


def best_bids(scenario: Any, period: Any) -> np.ndarray:
    """Return the best bid after each depth instant; without user trades it is the maker's, and gives the mid."""
    bids: list[int] = []
    steps = range(0, period.flow_us[1] - period.open_us + 1, STEP_US)
    play(scenario, period, tuple(steps), lambda matching, _: bids.append(matching.best()[0]))
    return np.array(bids[: len(steps)])


def takers(played: Played, side: int) -> Ints:
    """Return the NEW rows of the sweeping orders of an aggressor side."""
    new = played.rows(ROW_NEW, 1001)
    return new[new[:, SIDE] == side]


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "hours"), [(0.4, 0.3), (3.0, 0.3), (20.0, 1.0)])
def test_mid_moves_are_skellam_distributed(sigma, hours):
    """Each step is a difference of two Poisson draws, by inversion and by rejection."""
    moves = np.diff(best_bids(POISSON(A_per_s=0.0, sigma_ticks_per_sqrt_s=sigma), session(hours)))
    half_variance = sigma**2 / 20
    values = np.arange(moves.min(), moves.max() + 1)
    expected = stats.skellam.pmf(values, half_variance, half_variance) * moves.size
    observed = np.bincount(moves - moves.min(), minlength=values.size)
    common = expected > 5
    rest = (moves.size - observed[common].sum(), moves.size - expected[common].sum())
    cells = np.array([*zip(observed[common], expected[common], strict=True), *([rest] if rest[1] > 5 else [])])
    assert stats.chi2.sf(((cells[:, 0] - cells[:, 1]) ** 2 / cells[:, 1]).sum(), len(cells) - 1) > 0.001


def test_mid_is_independent_of_the_flow():
    """Two days that differ in A alone have the same mid, so their difference is that of the flow."""
    one, other = (best_bids(POISSON(A_per_s=A, sigma_ticks_per_sqrt_s=2.0), session(0.05)) for A in (0.5, 5.0))
    assert np.array_equal(one, other)
    assert np.unique(one).size > 1


def test_orders_of_one_side_never_share_a_millisecond():
    """Prints of one side and time are one order to every reader of the day; none is at a depth instant."""
    played = play(POISSON(A_per_s=100.0), session())
    for side in (1, -1):
        us = takers(played, side)[:, US]
        assert len(us) > 30_000
        assert len(np.unique(us // 1000)) == len(us)
        assert (us % 1000 == 500).all()


def test_book_is_deeper_than_expected_sweeps():
    """A sweep cut short would bend the law; the expected number of them is below 1e-9."""
    scenario, period = POISSON(A_per_s=50.0, k_per_tick=0.05), session(14)
    depth = scenario.levels(period) + scenario.spread_ticks / 2
    assert 2 * 50 * 14 * 3600 * math.exp(-0.05 * depth) < 1e-9


def test_sweep_beyond_the_edge_is_counted_and_ends_there():
    """The truth has the number of such sweeps."""
    scenario = _Shallow(A_per_s=20.0, k_per_tick=0.1)
    played = play(scenario, session(0.02))
    worst = 10_000 + 1 + 7
    assert played.flow.counts()["sweeps_at_edge"] > 10
    assert takers(played, 1)[:, TICKS].max() <= worst + 20


def test_zero_A_gives_prices_without_trades():
    """A = 0 is the day on which nothing trades."""
    played = play(POISSON(A_per_s=0.0, sigma_ticks_per_sqrt_s=3.0), session())
    assert not len(played.rows(ROW_TRADE))
    assert len(played.rows(ROW_LEVEL)) > 1000


def test_zero_sigma_keeps_the_mid_constant():
    """sigma = 0 is the simplest check of a calibration."""
    assert set(best_bids(POISSON(sigma_ticks_per_sqrt_s=0.0), session())) == {9_999}


def test_start_price_only_shifts_the_prices():
    """The market is the same, half a trillion ticks higher."""
    low, high = (play(POISSON(start_price=price, tick_size="0.00000001"), session(0.02)).log for price in ("1", "5000"))
    priced = low[:, TICKS] > 0
    assert set(high[priced, TICKS] - low[priced, TICKS]) == {4999 * 10**8}
    assert np.array_equal(np.delete(high, TICKS, 1), np.delete(low, TICKS, 1))


def test_levels_taken_by_user_are_restored_at_next_depth_instant():
    """Without that the first large order would end the market."""
    period = session(0.02)
    matching = Matching()
    flow = POISSON(A_per_s=0.0, sigma_ticks_per_sqrt_s=0.0).flow(matching, period)
    flow.advance(period.open_us + 1_050_000)
    deep = sum(lots for _, lots in matching.depth(-1, 5))
    matching.submit(period.open_us + 1_050_000, USER, 1, 10_005, deep, IOC)
    assert matching.best()[2] == 10_006
    flow.advance(period.open_us + 1_099_999)
    assert matching.best()[2] == 10_006
    flow.advance(period.open_us + 1_100_000)
    assert [ticks for ticks, _ in matching.depth(-1, 6)] == [10_001, 10_002, 10_003, 10_004, 10_005, 10_006]


@pytest.mark.parametrize(("side", "distance"), [(1, 1), (1, 0), (-1, 2)])
def test_user_order_is_hit_at_the_exponential_rate(side, distance):
    """Also between the touch and the mid, where the market has no quote."""
    scenario = POISSON(
        A_bid_per_s=5.0, A_ask_per_s=3.0, k_bid_per_tick=0.4, k_ask_per_tick=0.2, spread_ticks=6,
        sigma_ticks_per_sqrt_s=0.0,
    )  # fmt: skip
    period, every_us, ticks = session(0.1), 10_000, 10_000 - side * distance

    def stay(matching, us):
        if not matching.open_orders(USER):
            matching.submit(us, USER, side, ticks, 1)

    cuts = tuple(range(STEP_US, period.flow_us[1] - period.open_us, every_us))
    trades = play(scenario, period, cuts, stay).rows(ROW_TRADE)
    hits = trades[trades[:, TICKS] == ticks, US]
    absent_us = (every_us - (hits - period.open_us) % every_us).sum()
    expected = scenario.rate(side)[0] * math.exp(-scenario.rate(side)[1] * distance)
    expected *= (len(cuts) * every_us - absent_us) / 1e6
    assert abs(len(hits) - expected) < 4 * math.sqrt(expected)


def hawkes_fit(times_s: np.ndarray, until_s: float) -> tuple[float, float, float]:
    """Return maximum-likelihood mu, branching ratio and beta (Ozaki 1979, by its recursion)."""
    gaps = np.diff(times_s)

    def loss(parameters: np.ndarray) -> float:
        mu, branching, beta = np.exp(parameters[0]), 1 / (1 + np.exp(-parameters[1])), np.exp(parameters[2])
        excited, total = 0.0, math.log(mu)
        for decay in np.exp(-beta * gaps).tolist():
            excited = decay * (1 + excited)
            total += math.log(mu + branching * beta * excited)
        compensator = mu * until_s + branching * (1 - np.exp(-beta * (until_s - times_s))).sum()
        return float(compensator - total)

    start = np.array([math.log(len(times_s) / until_s / 2), 0.0, 0.0])
    mu, branching, beta = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-3}).x
    return math.exp(mu), 1 / (1 + math.exp(-branching)), math.exp(beta)


def trade_times(played: Played, side: int) -> np.ndarray:
    """Return when orders of an aggressor side traded, in µs, each once."""
    trades = played.rows(ROW_TRADE)
    return np.unique(trades[trades[:, SIDE] == side, US])


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1, 4])
def test_hawkes_parameters_are_recovered_by_likelihood(spread):
    """mu, branching ratio and beta of the orders that trade, from the order log; the rate of all of them."""
    scenario = HAWKES(mu_per_s=1.0, branching_ratio=0.6, beta_per_s=3.0, spread_ticks=spread, k_per_tick=0.2)
    period = session(1.0)
    truth, played = scenario.truth(period)["hawkes"], play(scenario, period)
    seconds = (period.close_us - period.flow_us[0]) / 1e6
    for side in (1, -1):
        times_s = (trade_times(played, side) - period.flow_us[0]) / 1e6
        mu, branching, beta = hawkes_fit(times_s, seconds)
        assert abs(branching - truth["branching_ratio"]) < 0.06
        assert abs(mu / truth["traded"]["mu_per_s"] - 1) < 0.15
        assert abs(beta / truth["beta_per_s"] - 1) < 0.2
        # The variance of counts over long periods is 1 / (1 - branching)² times that of a Poisson process.
        spread_of = math.sqrt(truth["mean_rate_per_s"] * seconds / scenario.reaching()) / (1 - truth["branching_ratio"])
        assert abs(len(takers(played, side)) - truth["mean_rate_per_s"] * seconds) < 4 * spread_of


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_hawkes_cross_excitation_is_recovered(share):
    """Every entry of the matrix, and beta, within four standard errors; also without excitation of the own side."""
    scenario = HAWKES(mu_per_s=0.5, branching_ratio=0.7, cross_share=share, beta_per_s=1.5)
    period = session(2.0)
    truth, played = scenario.truth(period)["hawkes"], play(scenario, period)
    orders = [(trade_times(played, side) - period.flow_us[0]) / 1e6 for side in (-1, 1)]  # sellers hit bids
    fit = fit_hawkes(ArrivalFlow.of(orders, np.array([[0.0, (period.close_us - period.flow_us[0]) / 1e6]])))
    assert fit.law.beta.size == 1
    matrix = np.array([[truth["branching"][hit][by] for by in ("bid", "ask")] for hit in ("bid", "ask")])
    off, error = np.abs(fit.law.matrix - matrix), np.nan_to_num(fit.se.branching[:, :, 0], nan=0.01)
    assert (off < 4 * error).all()
    assert abs(fit.law.ratio - truth["branching_ratio"]) < 0.05
    assert abs(fit.law.beta[0] - truth["beta_per_s"]) < 4 * fit.se.beta[0]
    assert np.abs(fit.law.mu / truth["traded"]["mu_per_s"] - 1).max() < 0.2
    assert max(fit.ks) < 0.05


def test_hawkes_with_too_few_orders_at_the_touch_raises_usage_error():
    """One order at the touch would excite hundreds; the message contains the flags."""
    with pytest.raises(UsageError, match=r"k_per_tick 2\.0 and spread_ticks 6: a share of 0\.0025 of the orders"):
        HAWKES(k_per_tick=2.0, spread_ticks=6)


def test_hawkes_without_excitation_equals_poisson():
    """The same orders to the last bit, so that the two scenarios compare."""
    period = session()
    log = play(HAWKES(mu_per_s=0.8, branching_ratio=0.0), period).log
    assert np.array_equal(log, play(POISSON(A_per_s=0.8), period).log)


def test_regimes_switch_at_the_times_of_the_truth():
    """A, k and sigma of each regime from its own part of the log, by closed forms."""
    scenario, period = REGIMES(regime_s=600.0, regime_A_per_s=(2.0, 6.0, 3.0), regime_k_per_tick=(0.5, 0.2, 0.3),
                           regime_sigma=(0.4, 2.0, 1.0)), session(0.7)  # fmt: skip
    regimes = scenario.truth(period)["regimes"]
    assert [regime["A"] for regime in regimes] == [2.0, 6.0, 3.0, 2.0, 6.0]
    assert regimes[0]["start_us"] == period.flow_us[0]
    assert regimes[-1]["end_us"] == period.flow_us[1]
    assert all(one["end_us"] == other["start_us"] for one, other in itertools.pairwise(regimes))
    bids = best_bids(scenario, period)
    played = play(scenario, period)
    for regime in regimes:
        seconds = (regime["end_us"] - regime["start_us"]) / 1e6
        inside = slice(
            (regime["start_us"] - period.open_us) // STEP_US, (regime["end_us"] - period.open_us) // STEP_US + 1
        )
        moves = np.diff(bids[inside])
        variance = regime["sigma_ticks_per_sqrt_s"] ** 2 / 10
        assert abs((moves**2).mean() - variance) < 4 * math.sqrt((2 * variance**2 + variance) / moves.size)
        for side in (1, -1):
            rows = takers(played, side)
            rows = rows[(rows[:, US] >= regime["start_us"]) & (rows[:, US] < regime["end_us"])]
            assert abs(len(rows) - regime["A"] * seconds) < 4 * math.sqrt(regime["A"] * seconds)
            mid = bids[(rows[:, US] - period.open_us) // STEP_US] + 1
            k, error = geometric_k((side * (rows[:, TICKS] - mid)).tolist())
            assert abs(k - regime["k"]) < 4 * error


def test_regime_begins_and_ends_at_its_instants():
    """No order or price step of a regime is outside its time."""
    scenario, period = REGIMES(
        regime_s=10.0, regime_A_per_s=(0.0, 90.0), regime_k_per_tick=(0.3, 0.3), regime_sigma=(0.0, 50.0)
    ), session(0.0111)  # fmt: skip
    switches = [regime["start_us"] for regime in scenario.truth(period)["regimes"][1:]]
    assert len(switches) == 3
    bids, us = best_bids(scenario, period), takers(play(scenario, period), 1)[:, US]
    moved_us = period.open_us + (np.flatnonzero(np.diff(bids)) + 1) * STEP_US
    for observed_us, late_us in ((moved_us, 2 * STEP_US), (us, STEP_US)):
        assert switches[0] <= observed_us[0] <= switches[0] + late_us
        assert not ((observed_us > switches[1]) & (observed_us <= switches[2])).any()
        assert switches[1] - late_us <= observed_us[observed_us <= switches[1]].max()


def test_single_regime_equals_poisson():
    """The same orders to the last bit; a switch to the same law changes nothing either."""
    period = session()
    one = REGIMES(regime_s=7.3, regime_A_per_s=(0.8,), regime_k_per_tick=(0.35,), regime_sigma=(0.4,))
    assert len(one.laws(period)) > 40
    assert np.array_equal(play(one, period).log, play(POISSON(), period).log)


def test_unequal_numbers_of_regime_values_raise_usage_error():
    """A value too many or too few would shift every later regime."""
    with pytest.raises(UsageError, match="regime_A_per_s, regime_k_per_tick and regime_sigma have 2, 1 and 2 values"):
        REGIMES(regime_k_per_tick=(0.35,))


@pytest.mark.parametrize(
    ("scenario", "name"),
    [
        (POISSON(k_per_tick=0.002), "^k_per_tick or"),
        (POISSON(start_price="0.5"), "start_price"),
        (POISSON(sigma_ticks_per_sqrt_s=900.0), "start_price"),
    ],
)
def test_impossible_market_raises_usage_error_with_its_parameter(scenario, name):
    """No book of five thousand levels holds the reach of such orders; no price is below one tick."""
    with pytest.raises(UsageError, match=name):
        play(scenario, session(1.0))


def test_nearly_unstable_hawkes_process_raises_usage_error():
    """Every order would wait for a free millisecond, longer and longer."""
    with pytest.raises(UsageError, match=r"mu_per_s 2.0 and branching_ratio 0.99 make 200 orders"):
        HAWKES(mu_per_s=2.0, branching_ratio=0.99)


def test_level_quantity_too_large_for_a_sweep_raises_usage_error():
    """The engine counts lots below 2**48; a sweep of every level must stay below that as well."""
    with pytest.raises(UsageError, match=r"level_qty 1000000 is over .* times qty_step 0.00000001"):
        POISSON(level_qty="1000000", qty_step="0.00000001")
