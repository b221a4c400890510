"""Properties of the flow of every scenario."""

import numpy as np
import pytest
from played import ACCOUNT, USER, as_rows, cuts_of, matched_again, play, random_user, session

from log_book import Book
from mm.errors import UsageError
from mm.sim.flow.scenario import HawkesMarket, LargeTick, PoissonMarket, Regimes, ZeroIntelligence
from mm.sim.matching.order_log import ROW_NEW

MARKETS = [
    PoissonMarket(A_per_s=3.0, sigma_ticks_per_sqrt_s=3.0),
    HawkesMarket(mu_per_s=1.0, branching_ratio=0.8, sigma_ticks_per_sqrt_s=1.0),
    Regimes(regime_s=10.0, regime_A_per_s=(1.0, 6.0), regime_sigma=(0.5, 30.0)),
    ZeroIntelligence(limit_per_s=60.0, cancel_per_s=0.5, limit_reach_ticks=50),
    LargeTick(),
    ZeroIntelligence(limit_per_s=2.0, market_per_s=10.0, cancel_per_s=2.0, limit_reach_ticks=3),
]


@pytest.mark.parametrize("scenario", MARKETS)
def test_log_is_independent_of_time_steps(scenario):
    """A server advances by messages, a day by chunks: both must give the same market."""
    period = session()
    whole = play(scenario, period).log
    for seed in range(3):
        assert np.array_equal(play(scenario, period, cuts_of(seed, period)).log, whole)


@pytest.mark.parametrize("scenario", MARKETS)
def test_log_is_independent_of_time_steps_between_user_actions(scenario):
    """The market reacts to a user at its own instants, independent of other calls."""
    period = session(0.05)
    acts = set(cuts_of(1, period, 50))
    logs = []
    for extra_cuts in ((), cuts_of(2, period)):
        user = random_user(3)

        def act(matching, us, user=user):
            if us - period.open_us in acts:
                user(matching, us)

        logs.append(play(scenario, period, tuple(acts | set(extra_cuts)), act).log)
    assert np.array_equal(*logs)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", MARKETS)
def test_book_stays_valid_with_a_random_user(scenario):
    """A user who takes its quotes, crosses its mid or blocks its prices: the book stays valid, matched by the rules."""
    period = session(0.01)
    for seed in range(3):
        played = play(scenario, period, cuts_of(seed, period), random_user(seed))
        played.matching.check()
        book = Book()
        book.play(as_rows(played.log))
        assert book.depth(1) == played.matching.depth(1, 10**6)
        assert book.depth(-1) == played.matching.depth(-1, 10**6)
        assert USER in played.rows(ROW_NEW)[:, ACCOUNT]
        assert matched_again(played.log) == list(as_rows(played.log))


def test_log_depends_on_seed():
    """The same seed gives the same log, another seed another."""
    for scenario in MARKETS:
        one, other, again = (play(scenario, session(0.01, seed)).log for seed in (1, 2, 1))
        assert np.array_equal(one, again)
        assert not np.array_equal(one[: len(other)], other[: len(one)])


def test_flow_ignores_instants_before_opening_and_repeated_instants():
    """A call for a past instant adds nothing to the log."""
    period = session(0.01)
    for scenario in MARKETS:
        played = play(scenario, period, (-1_000_000, 0, 500_000, 500_000))
        assert played.log[0, 0] == period.open_us
        assert np.array_equal(played.log, play(scenario, period).log)
        played.flow.advance(period.open_us)
        assert not len(played.matching.take_log())


def test_start_price_beyond_engine_range_raises_usage_error():
    """Prices are counted in ticks, below 2**40 of them."""
    with pytest.raises(UsageError, match=r"start_price 1000000000 is over .* times tick_size 0.00000001"):
        PoissonMarket(start_price="1000000000", tick_size="0.00000001")
