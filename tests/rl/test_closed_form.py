"""Paper world with a known optimum, used as a benchmark of trainers."""

import numpy as np
import pytest

from mm.rl.closed_form import OFFSET, PAPER, LearnedPolicy, PaperWorld, Share, brackets, observation, utility
from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import InventoryRule, PaperModel, SymmetricRule

SMALL = PaperModel(gamma=0.1, A=140.0, k=1.5, sigma=2.0, horizon_s=0.25, steps=50)


def as_actions(policy, market, step, q):
    """Return the actions that quote like a policy."""
    return (np.stack(policy.distances(step, q), axis=-1) - market.markup) / OFFSET


def test_closed_form_as_agent_has_equal_utility():
    """Observation, action and distance are inverse to each other: the utility is exactly the same."""
    rule = InventoryRule(SMALL)

    def answer(observed):
        q = np.rint(10.0 * observed[:, 0]).astype(np.int64)
        return as_actions(rule, SMALL, round((1.0 - observed[0, 1]) * SMALL.steps), q)

    # Beyond |q| = 60 an offset is cut at 1; the probability to be there is negligible.
    assert utility(SMALL, LearnedPolicy(SMALL, answer)) == pytest.approx(utility(SMALL, rule), rel=1e-9)


def test_brackets_are_ordered():
    """Optimum, rule of the paper, symmetric quoter, random agent; known figures of the paper's table."""
    found = brackets(PAPER, [1])
    assert found["optimum"] >= found["closed_form"] > found["symmetric"] > found["random"]
    exact_moments = exact(PAPER, InventoryRule(PAPER))
    assert found["closed_form"] == pytest.approx(exact_moments.profit_mean - 0.05 * exact_moments.profit_std**2)
    assert found["closed_form"] == pytest.approx(exact_moments.certainty_equivalent, rel=0.005)


@pytest.mark.parametrize("policy", [InventoryRule(SMALL), SymmetricRule(SMALL)])
def test_mean_reward_equals_exact_moments(policy):
    """Mean reward equals the exact mean gain less the exact inventory cost, within 4 errors."""
    sessions = 6_000
    world = PaperWorld(sessions, SMALL)
    world.reset(seed=3)
    world._q[:] = 0
    total = np.zeros(sessions)
    for step in range(SMALL.steps):
        _, rewards, ended, truncated, _ = world.step(as_actions(policy, SMALL, step, world._q))
        total += rewards
    assert ended.all()
    assert not truncated.any()
    exact_moments = exact(SMALL, policy)
    error = total.std(ddof=1) / np.sqrt(sessions)
    expected = exact_moments.profit_mean - 0.5 * SMALL.gamma * exact_moments.std_inventory_pnl**2
    assert abs(total.mean() - expected) < 4.0 * error


def test_session_resets_and_final_obs_is_kept():
    """The observation after the end is of the next session, ``final_obs`` of the ended one."""
    world = PaperWorld(4, SMALL)
    observed, _ = world.reset(seed=1)
    assert observed.shape == (4, 2)
    assert set(observed[:, 1]) == {1.0}
    for _ in range(SMALL.steps):
        observed, _, ended, _, info = world.step(np.zeros((4, 2)))
    assert ended.all()
    assert set(info["final_obs"][:, 1]) == {0.0}
    assert set(observed[:, 1]) == {1.0}


def test_equal_seeds_give_equal_worlds():
    """Draw for draw."""
    runs = []
    for seed in (5, 5, 6):
        world = PaperWorld(8, SMALL)
        world.reset(seed=seed)
        runs.append(np.stack([world.step(np.zeros((8, 2)))[1] for _ in range(20)]).tolist())
    assert runs[0] == runs[1] != runs[2]


def test_share_has_student_t_interval():
    """Three shares: mean 0.98, standard deviation 0.01, t = 4.3027."""
    share = Share.of([0.97, 0.98, 0.99])
    reach = 4.302652729911275 * 0.01 / 3**0.5
    assert share.mean == pytest.approx(0.98)
    assert share.ci95 == pytest.approx((0.98 - reach, 0.98 + reach))
    assert Share.of([0.5]).ci95 is None


def test_observation_contains_inventory_and_time():
    """Ten units are 1; time runs from 1 to 0."""
    assert observation(SMALL, 25, np.array([-10, 5])).tolist() == [[-1.0, 0.5], [0.5, 0.5]]
