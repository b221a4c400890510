"""The scenarios with a regular book, measured from the files and the order log that they leave."""

import itertools
import math
from dataclasses import dataclass, replace
from typing import ClassVar

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
from mm.dayfolder.layout import DayFolder
from mm.errors import UsageError
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import Hawkes, PoissonMarket, Regimes, RegularMarket
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import IOC, ROW_LEVEL, ROW_NEW, ROW_TRADE

HOURS = 1.0


class _Shallow(PoissonMarket):
    """A market whose book is far too shallow for its orders."""

    name: ClassVar[str] = "shallow"

    def levels(self, session: Session) -> int:
        return 8


# The sides differ, so that one taken for the other cannot pass.
TWO_SIDED = PoissonMarket(
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


def best_bids(scenario: RegularMarket, of: Session) -> np.ndarray:
    """Return the best bid after each depth instant; no user trades, so it is the maker's, and gives the mid."""
    found: list[int] = []
    steps = range(0, of.flow_us[1] - of.open_us + 1, STEP_US)
    play(scenario, of, tuple(steps), lambda matching, _: found.append(matching.best()[0]))
    return np.array(found[: len(steps)])


def takers(played: Played, side: int) -> Ints:
    """Return the NEW rows of the sweeping orders of an aggressor side."""
    new = played.rows(ROW_NEW, 1001)
    return new[new[:, SIDE] == side]


@pytest.mark.parametrize(("sigma", "hours"), [(0.4, 0.3), (3.0, 0.3), (20.0, 1.0)])
def test_the_mid_moves_by_a_difference_of_poisson_draws(sigma, hours):
    """Each step has the law that the docstring states, by inversion and by rejection."""
    moves = np.diff(best_bids(PoissonMarket(A_per_s=0.0, sigma_ticks_per_sqrt_s=sigma), session(hours)))
    half_variance = sigma**2 / 20
    values = np.arange(moves.min(), moves.max() + 1)
    expected = stats.skellam.pmf(values, half_variance, half_variance) * moves.size
    seen = np.bincount(moves - moves.min(), minlength=values.size)
    common = expected > 5
    rest = (moves.size - seen[common].sum(), moves.size - expected[common].sum())
    cells = np.array([*zip(seen[common], expected[common], strict=True), *([rest] if rest[1] > 5 else [])])
    assert stats.chi2.sf(((cells[:, 0] - cells[:, 1]) ** 2 / cells[:, 1]).sum(), len(cells) - 1) > 0.001


def test_the_luck_of_prices_does_not_depend_on_the_flow():
    """Two days that differ in A alone have the same mid, so their difference is the flow's."""
    one, other = (best_bids(PoissonMarket(A_per_s=A, sigma_ticks_per_sqrt_s=2.0), session(0.05)) for A in (0.5, 5.0))
    assert np.array_equal(one, other)
    assert np.unique(one).size > 1


def test_orders_of_one_side_never_share_a_millisecond():
    """Prints of one side and time are one order to everyone who reads the day; none is at a depth instant."""
    played = play(PoissonMarket(A_per_s=100.0), session())
    for side in (1, -1):
        us = takers(played, side)[:, US]
        assert len(us) > 30_000
        assert len(np.unique(us // 1000)) == len(us)
        assert (us % 1000 == 500).all()


def test_a_book_is_so_deep_that_no_sweep_reaches_its_edge():
    """A sweep cut short would bend the law; the expected number of them is below 1e-9."""
    scenario, of = PoissonMarket(A_per_s=50.0, k_per_tick=0.05), session(14)
    depth = scenario.levels(of) + scenario.spread_ticks / 2
    assert 2 * 50 * 14 * 3600 * math.exp(-0.05 * depth) < 1e-9


def test_a_sweep_beyond_the_edge_is_counted_and_ends_there():
    """If it ever happens, the truth has its number."""
    scenario = _Shallow(A_per_s=20.0, k_per_tick=0.1)
    played = play(scenario, session(0.02))
    worst = 10_000 + 1 + 7
    assert played.flow.counts()["sweeps_at_edge"] > 10
    assert takers(played, 1)[:, TICKS].max() <= worst + 20


def test_a_day_without_orders_has_prices_only():
    """A = 0 is the day on which nothing trades."""
    played = play(PoissonMarket(A_per_s=0.0, sigma_ticks_per_sqrt_s=3.0), session())
    assert not len(played.rows(ROW_TRADE))
    assert len(played.rows(ROW_LEVEL)) > 1000


def test_a_mid_that_never_moves_leaves_the_flow_alone():
    """sigma = 0 is the simplest check of a calibration."""
    assert set(best_bids(PoissonMarket(sigma_ticks_per_sqrt_s=0.0), session())) == {9_999}


def test_prices_of_any_size_make_the_same_market():
    """Nothing but the price differs a billion ticks higher."""
    low, high = (
        play(PoissonMarket(start_price=price, tick_size="0.00000001"), session(0.02)).log for price in ("1", "5000")
    )
    priced = low[:, TICKS] > 0
    assert set(high[priced, TICKS] - low[priced, TICKS]) == {4999 * 10**8}
    assert np.array_equal(np.delete(high, TICKS, 1), np.delete(low, TICKS, 1))


def test_what_a_user_takes_is_quoted_anew_at_the_next_depth_instant():
    """A market maker who stays away would end the market with the first large order."""
    of = session(0.02)
    matching = Matching()
    flow = PoissonMarket(A_per_s=0.0, sigma_ticks_per_sqrt_s=0.0).flow(matching, of)
    flow.advance(of.open_us + 1_050_000)
    deep = sum(lots for _, lots in matching.depth(-1, 5))
    matching.submit(of.open_us + 1_050_000, USER, 1, 10_005, deep, IOC)
    assert matching.best()[2] == 10_006
    flow.advance(of.open_us + 1_099_999)
    assert matching.best()[2] == 10_006
    flow.advance(of.open_us + 1_100_000)
    assert [ticks for ticks, _ in matching.depth(-1, 6)] == [10_001, 10_002, 10_003, 10_004, 10_005, 10_006]


@pytest.mark.parametrize(("side", "distance"), [(1, 1), (1, 0), (-1, 2)])
def test_an_order_of_a_user_is_hit_at_the_rate_of_the_law(side, distance):
    """Also between the touch and the mid, where no quote of the market shows who would have come."""
    scenario = PoissonMarket(
        A_bid_per_s=5.0, A_ask_per_s=3.0, k_bid_per_tick=0.4, k_ask_per_tick=0.2, spread_ticks=6,
        sigma_ticks_per_sqrt_s=0.0,
    )  # fmt: skip
    of, every_us, ticks = session(0.1), 10_000, 10_000 - side * distance

    def stay(matching, us):
        if not matching.open_orders(USER):
            matching.submit(us, USER, side, ticks, 1)

    cuts = tuple(range(STEP_US, of.flow_us[1] - of.open_us, every_us))
    trades = play(scenario, of, cuts, stay).rows(ROW_TRADE)
    hits = trades[trades[:, TICKS] == ticks, US]
    absent_us = (every_us - (hits - of.open_us) % every_us).sum()
    expected = scenario.rate(side)[0] * math.exp(-scenario.rate(side)[1] * distance)
    expected *= (len(cuts) * every_us - absent_us) / 1e6
    assert abs(len(hits) - expected) < 4 * math.sqrt(expected)


def hawkes_fit(times_s: np.ndarray, until_s: float) -> tuple[float, float, float]:
    """Return mu, branching ratio and beta of greatest likelihood (Ozaki 1979, by its recursion)."""
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


def traded(played: Played, side: int) -> np.ndarray:
    """Return when orders of an aggressor side traded, in µs, each once."""
    trades = played.rows(ROW_TRADE)
    return np.unique(trades[trades[:, SIDE] == side, US])


@pytest.mark.parametrize("spread", [1, 4])
def test_the_branching_ratio_of_hawkes_is_recovered_by_likelihood(spread):
    """mu, branching ratio and beta of the orders that trade, from the order log; the rate of all of them."""
    scenario = Hawkes(mu_per_s=1.0, branching_ratio=0.6, beta_per_s=3.0, spread_ticks=spread, k_per_tick=0.2)
    of = session(1.0)
    truth, played = scenario.truth(of)["hawkes"], play(scenario, of)
    seconds = (of.close_us - of.flow_us[0]) / 1e6
    for side in (1, -1):
        times_s = (traded(played, side) - of.flow_us[0]) / 1e6
        mu, branching, beta = hawkes_fit(times_s, seconds)
        assert abs(branching - truth["branching_ratio"]) < 0.06
        assert abs(mu / truth["traded"]["mu_per_s"] - 1) < 0.15
        assert abs(beta / truth["beta_per_s"] - 1) < 0.2
        # The variance of counts over long stretches is 1 / (1 - branching)² times that of a Poisson process.
        spread_of = math.sqrt(truth["mean_rate_per_s"] * seconds / scenario.reaching()) / (1 - truth["branching_ratio"])
        assert abs(len(takers(played, side)) - truth["mean_rate_per_s"] * seconds) < 4 * spread_of


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_sides_of_hawkes_excite_each_other(share):
    """Every entry of the matrix, and beta, within four standard errors; also where none excites its own side."""
    scenario = Hawkes(mu_per_s=0.5, branching_ratio=0.7, cross_share=share, beta_per_s=1.5)
    of = session(2.0)
    truth, played = scenario.truth(of)["hawkes"], play(scenario, of)
    orders = [(traded(played, side) - of.flow_us[0]) / 1e6 for side in (-1, 1)]  # sellers hit bids
    found = fit_hawkes(ArrivalFlow.of(orders, np.array([[0.0, (of.close_us - of.flow_us[0]) / 1e6]])))
    assert found.law.beta.size == 1
    matrix = np.array([[truth["branching"][hit][by] for by in ("bid", "ask")] for hit in ("bid", "ask")])
    off, error = np.abs(found.law.matrix - matrix), np.nan_to_num(found.se.branching[:, :, 0], nan=0.01)
    assert (off < 4 * error).all()
    assert abs(found.law.ratio - truth["branching_ratio"]) < 0.05
    assert abs(found.law.beta[0] - truth["beta_per_s"]) < 4 * found.se.beta[0]
    assert np.abs(found.law.mu / truth["traded"]["mu_per_s"] - 1).max() < 0.2
    assert max(found.ks) < 0.05


def test_so_few_orders_at_the_touch_that_one_would_excite_hundreds_are_refused():
    """With the flags that lead there."""
    with pytest.raises(UsageError, match=r"--k 2\.0 and --spread-ticks 6: a share of 0\.0025 of the orders"):
        Hawkes(k_per_tick=2.0, spread_ticks=6)


def test_hawkes_without_excitation_is_poisson():
    """The same orders to the last bit, so that the two scenarios compare."""
    of = session()
    alone = play(Hawkes(mu_per_s=0.8, branching_ratio=0.0), of).log
    assert np.array_equal(alone, play(PoissonMarket(A_per_s=0.8), of).log)


def test_regimes_switch_when_the_truth_says():
    """A, k and sigma of each regime from its own stretch of the log, by closed forms."""
    scenario, of = Regimes(regime_s=600.0, regime_A_per_s=(2.0, 6.0, 3.0), regime_k_per_tick=(0.5, 0.2, 0.3),
                           regime_sigma=(0.4, 2.0, 1.0)), session(0.7)  # fmt: skip
    regimes = scenario.truth(of)["regimes"]
    assert [regime["A"] for regime in regimes] == [2.0, 6.0, 3.0, 2.0, 6.0]
    assert regimes[0]["start_us"] == of.flow_us[0]
    assert regimes[-1]["end_us"] == of.flow_us[1]
    assert all(one["end_us"] == other["start_us"] for one, other in itertools.pairwise(regimes))
    bids = best_bids(scenario, of)
    played = play(scenario, of)
    for regime in regimes:
        seconds = (regime["end_us"] - regime["start_us"]) / 1e6
        inside = slice((regime["start_us"] - of.open_us) // STEP_US, (regime["end_us"] - of.open_us) // STEP_US + 1)
        moves = np.diff(bids[inside])
        variance = regime["sigma_ticks_per_sqrt_s"] ** 2 / 10
        assert abs((moves**2).mean() - variance) < 4 * math.sqrt((2 * variance**2 + variance) / moves.size)
        for side in (1, -1):
            rows = takers(played, side)
            rows = rows[(rows[:, US] >= regime["start_us"]) & (rows[:, US] < regime["end_us"])]
            assert abs(len(rows) - regime["A"] * seconds) < 4 * math.sqrt(regime["A"] * seconds)
            mid = bids[(rows[:, US] - of.open_us) // STEP_US] + 1
            k, error = geometric_k((side * (rows[:, TICKS] - mid)).tolist())
            assert abs(k - regime["k"]) < 4 * error


def test_a_regime_begins_at_its_instant():
    """Nothing of it comes before, and no step of the one before comes after."""
    scenario, of = Regimes(
        regime_s=10.0, regime_A_per_s=(0.0, 90.0), regime_k_per_tick=(0.3, 0.3), regime_sigma=(0.0, 50.0)
    ), session(0.0111)  # fmt: skip
    switches = [regime["start_us"] for regime in scenario.truth(of)["regimes"][1:]]
    assert len(switches) == 3
    bids, us = best_bids(scenario, of), takers(play(scenario, of), 1)[:, US]
    moved_us = of.open_us + (np.flatnonzero(np.diff(bids)) + 1) * STEP_US
    for seen_us, late_us in ((moved_us, 2 * STEP_US), (us, STEP_US)):
        assert switches[0] <= seen_us[0] <= switches[0] + late_us
        assert not ((seen_us > switches[1]) & (seen_us <= switches[2])).any()
        assert switches[1] - late_us <= seen_us[seen_us <= switches[1]].max()


def test_one_regime_is_poisson():
    """The same orders to the last bit; a switch to the same law changes nothing either."""
    of = session()
    one = Regimes(regime_s=7.3, regime_A_per_s=(0.8,), regime_k_per_tick=(0.35,), regime_sigma=(0.4,))
    assert len(one.laws(of)) > 40
    assert np.array_equal(play(one, of).log, play(PoissonMarket(), of).log)


def test_regimes_of_unequal_number_are_refused():
    """A value too many or too few is a slip that would shift every regime behind it."""
    with pytest.raises(UsageError, match="--regime-A, --regime-k and --regime-sigma have 2, 1 and 2 values"):
        Regimes(regime_k_per_tick=(0.35,))


@pytest.mark.parametrize(
    ("scenario", "word"),
    [
        (PoissonMarket(k_per_tick=0.002), "--k"),
        (PoissonMarket(start_price="0.5"), "--start-price"),
        (PoissonMarket(sigma_ticks_per_sqrt_s=900.0), "--start-price"),
    ],
)
def test_a_market_that_cannot_be_is_refused_with_the_flag_to_change(scenario, word):
    """No book of five thousand levels holds the reach of such orders; no price is below one tick."""
    with pytest.raises(UsageError, match=word):
        play(scenario, session(1.0))


def test_a_process_that_nearly_explodes_is_refused():
    """Every order would wait for a millisecond of its own, longer and longer."""
    with pytest.raises(UsageError, match=r"--mu 2.0 and --branching-ratio 0.99 make 200 orders"):
        Hawkes(mu_per_s=2.0, branching_ratio=0.99)


def test_a_quantity_too_large_to_be_swept_is_refused():
    """The engine counts lots below 2**48; a sweep of every level must stay below it too."""
    with pytest.raises(UsageError, match=r"--level-qty 1000000 .* over .* times --qty-step 0.00000001"):
        PoissonMarket(level_qty="1000000", qty_step="0.00000001")
