"""What holds for the flow of every scenario."""

import numpy as np
import pytest
from played import ACCOUNT, USER, as_rows, cuts_of, matched_again, play, random_user, session

from mm.errors import UsageError
from mm.sim.flow.scenario import Hawkes, LargeTick, PoissonMarket, Regimes, ZeroIntelligence
from mm.sim.matching.order_log import ROW_NEW, Book

MARKETS = [
    PoissonMarket(A_per_s=3.0, sigma_ticks_per_sqrt_s=3.0),
    Hawkes(mu_per_s=1.0, branching_ratio=0.8, sigma_ticks_per_sqrt_s=1.0),
    Regimes(regime_s=10.0, regime_A_per_s=(1.0, 6.0), regime_sigma=(0.5, 30.0)),
    ZeroIntelligence(limit_per_s=60.0, cancel_per_s=0.5, limit_reach_ticks=50),
    LargeTick(),
    ZeroIntelligence(limit_per_s=2.0, market_per_s=10.0, cancel_per_s=2.0, limit_reach_ticks=3),
]


@pytest.mark.parametrize("scenario", MARKETS)
def test_the_log_does_not_depend_on_how_time_is_cut(scenario):
    """A server advances by messages, a day by chunks: it must be the same market."""
    of = session()
    whole = play(scenario, of).log
    for seed in range(3):
        assert np.array_equal(play(scenario, of, cuts_of(seed, of)).log, whole)


@pytest.mark.parametrize("scenario", MARKETS)
def test_time_may_be_cut_between_what_users_do_as_well(scenario):
    """The market answers a user at its own instants, whatever the other calls."""
    of = session(0.05)
    acts = set(cuts_of(1, of, 50))
    logs = []
    for looks in ((), cuts_of(2, of)):
        user = random_user(3)

        def act(matching, us, user=user):
            if us - of.open_us in acts:
                user(matching, us)

        logs.append(play(scenario, of, tuple(acts | set(looks)), act).log)
    assert np.array_equal(*logs)


@pytest.mark.parametrize("scenario", MARKETS)
def test_a_market_copes_with_any_user(scenario):
    """Whatever takes its quotes, crosses its mid or is in its way: the book stays valid, matched by the rules."""
    of = session(0.01)
    for seed in range(3):
        played = play(scenario, of, cuts_of(seed, of), random_user(seed))
        played.matching.check()
        book = Book()
        book.play(as_rows(played.log))
        assert book.depth(1) == played.matching.depth(1, 10**6)
        assert book.depth(-1) == played.matching.depth(-1, 10**6)
        assert USER in played.rows(ROW_NEW)[:, ACCOUNT]
        assert matched_again(played.log) == list(as_rows(played.log))


def test_another_seed_is_another_market():
    """Every scenario draws from its seed alone."""
    for scenario in MARKETS:
        one, other, again = (play(scenario, session(0.01, seed)).log for seed in (1, 2, 1))
        assert np.array_equal(one, again)
        assert not np.array_equal(one[: len(other)], other[: len(one)])


def test_a_flow_does_nothing_before_its_session_opens_and_nothing_twice():
    """A call for a past instant gets no second market."""
    of = session(0.01)
    for scenario in MARKETS:
        played = play(scenario, of, (-1_000_000, 0, 500_000, 500_000))
        assert played.log[0, 0] == of.open_us
        assert np.array_equal(played.log, play(scenario, of).log)
        played.flow.advance(of.open_us)
        assert not len(played.matching.take_log())


def test_a_price_that_is_no_price_of_the_engine_is_refused():
    """Prices are counted in ticks, below 2**40 of them."""
    with pytest.raises(UsageError, match=r"--start-price 1000000000 .* over .* times --tick-size 0.00000001"):
        PoissonMarket(start_price="1000000000", tick_size="0.00000001")
