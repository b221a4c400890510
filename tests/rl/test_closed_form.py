"""The world whose optimum is known: the referee of a trainer."""

import numpy as np
import pytest

from mm.rl.closed_form import OFFSET, PAPER, LearnedPolicy, PaperWorld, Share, brackets, observation, utility
from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import InventoryRule, PaperModel, SymmetricRule

SMALL = PaperModel(gamma=0.1, A=140.0, k=1.5, sigma=2.0, horizon_s=0.25, steps=50)


def as_actions(policy, market, step, q):
    """Return the actions that quote as a policy does."""
    return (np.stack(policy.distances(step, q), axis=-1) - market.markup) / OFFSET


def test_the_closed_form_as_an_agent_is_the_closed_form():
    """Observation, action and distance are inverse to each other: the utility is the same, exactly."""
    rule = InventoryRule(SMALL)

    def answer(seen):
        q = np.rint(10.0 * seen[:, 0]).astype(np.int64)
        return as_actions(rule, SMALL, round((1.0 - seen[0, 1]) * SMALL.steps), q)

    # Beyond |q| = 60 an offset is cut at 1; the probability to be there is none that counts.
    assert utility(SMALL, LearnedPolicy(SMALL, answer)) == pytest.approx(utility(SMALL, rule), rel=1e-9)


def test_the_brackets_stand_in_their_order():
    """The optimum, the paper's rule, the symmetric quoter, a random agent; the known figures of the paper's table."""
    found = brackets(PAPER, [1])
    assert found["optimum"] >= found["closed_form"] > found["symmetric"] > found["random"]
    known = exact(PAPER, InventoryRule(PAPER))
    assert found["closed_form"] == pytest.approx(known.profit_mean - 0.05 * known.profit_std**2)
    assert found["closed_form"] == pytest.approx(known.certainty_equivalent, rel=0.005)


@pytest.mark.parametrize("policy", [InventoryRule(SMALL), SymmetricRule(SMALL)])
def test_rewards_of_the_world_are_the_exact_moments(policy):
    """The mean reward of many sessions is the exact mean gain less the exact cost of the inventory, within 4 errors."""
    sessions = 6_000
    world = PaperWorld(sessions, SMALL)
    world.reset(seed=3)
    world._q[:] = 0
    total, squares = np.zeros(sessions), np.zeros(sessions)
    for step in range(SMALL.steps):
        _, rewards, ended, truncated, _ = world.step(as_actions(policy, SMALL, step, world._q))
        total += rewards
        if not ended[0]:
            squares += world._q.astype(float) ** 2
    assert ended.all()
    assert not truncated.any()
    known = exact(SMALL, policy)
    error = total.std(ddof=1) / np.sqrt(sessions)
    expected = known.profit_mean - 0.5 * SMALL.gamma * known.std_inventory_pnl**2
    assert abs(total.mean() - expected) < 4.0 * error
    assert squares.mean() > 0.0


def test_a_session_ends_and_begins_again_with_its_last_observation_kept():
    """As trainers want it: the observation after the end is of the next session, ``final_obs`` of this one."""
    world = PaperWorld(4, SMALL)
    seen, _ = world.reset(seed=1)
    assert seen.shape == (4, 2)
    assert set(seen[:, 1]) == {1.0}
    for _ in range(SMALL.steps):
        seen, _, ended, _, info = world.step(np.zeros((4, 2)))
    assert ended.all()
    assert set(info["final_obs"][:, 1]) == {0.0}
    assert set(seen[:, 1]) == {1.0}


def test_the_same_seed_is_the_same_world():
    """Draw for draw."""
    runs = []
    for seed in (5, 5, 6):
        world = PaperWorld(8, SMALL)
        world.reset(seed=seed)
        runs.append(np.stack([world.step(np.zeros((8, 2)))[1] for _ in range(20)]).tolist())
    assert runs[0] == runs[1] != runs[2]


def test_a_share_has_the_interval_of_students_t():
    """Of three shares by hand: mean 0.98, standard deviation 0.01, t = 4.3027."""
    share = Share.of([0.97, 0.98, 0.99])
    reach = 4.302652729911275 * 0.01 / 3**0.5
    assert share.mean == pytest.approx(0.98)
    assert share.ci95 == pytest.approx((0.98 - reach, 0.98 + reach))
    assert Share.of([0.5]).ci95 is None


def test_what_is_observed_is_inventory_and_time():
    """Ten units are 1; time runs from 1 to 0."""
    assert observation(SMALL, 25, np.array([-10, 5])).tolist() == [[-1.0, 0.5], [0.5, 0.5]]
