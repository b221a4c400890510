"""Stepper between two decisions: it equals a backtest, fill by fill."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm import Quotes, backtest
from mm.backtest.quotes.simple import Agent, FixedSpread, strategy_of
from mm.backtest.quotes.steps import InventoryBound, PostOnly
from mm.clock import US_PER_S
from mm.rl.environment import MarketMaking
from mm.rl.training_days import EngineKnobs
from rl_agents import saved, terms

EPISODE_S = 400.0


class BehindTouch:
    """Quotes of an action without a fit, in plain Python."""

    def __init__(self, bid: float, ask: float, clips: int) -> None:
        self.bid, self.ask, self.clips = bid, ask, clips

    def quote(self, view):
        if not self.clips:
            return None
        lots = self.clips * view.quote_lots
        return Quotes(view.bid_ticks - 1 - self.bid, view.ask_ticks + 1 + self.ask, lots, lots)


def environment(tape, agent_terms, **knobs) -> MarketMaking:
    return MarketMaking([tape], terms=agent_terms, seed=3, **knobs)


def backtested(env, quotes, start_us: int, end_us: int):
    """Return the backtest of the same period with a quote model."""
    day = env._days[0]
    fills = replace(day._play.models, seed=3).fills()
    return backtest(day.tape.between(start_us, end_us), quotes, fills, day.rules)


def rows(result) -> list[tuple[int, ...]]:
    return [tuple(row) for row in result.journal.fills[:, :5].tolist()]


def played(env, action, start_us: int):
    """Play an episode with one action, and return the fills, the rewards and the last ``info``."""
    _, info = env.reset(seed=1, options={"start_us": start_us})
    rewards, ended = [], False
    while not ended:
        _, reward, _, ended, info = env.step(action)
        rewards.append(reward)
    return env._stepper.fills(), rewards, info


@settings(deadline=None, max_examples=12)
@given(
    offsets=st.tuples(*[st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0])] * 2),
    size=st.sampled_from([-1.0, 0.0, 1.0]),
    fills=st.sampled_from(["queue_prob_power", "trade_cross", "poisson"]),
    latency=st.sampled_from([0, 35, 300]),
    step_s=st.sampled_from([0.25, 1.0]),
    begin_s=st.integers(1, 400),
)
def test_fixed_action_equals_backtest_of_its_quotes(tape, *, offsets, size, fills, latency, step_s, begin_s):
    """Every fill: instant, order, side, price and lots, and the final equity to 1e-9."""
    knobs = {"fill_model": fills, "order_latency_ms": latency}
    if fills == "poisson":
        knobs["fill_params_json"] = {"A": 2.0, "k": 0.3}
    agent_terms = terms(step_s=step_s, episode_s=EPISODE_S, q_max=4.0)
    env = environment(tape, agent_terms, **knobs)
    start_us = tape.start_us + begin_s * US_PER_S
    found, rewards, info = played(env, np.array([*offsets, size]), start_us)
    clips = 1 if size == 0 else 2 if size > 0 else 0
    model = BehindTouch(2.0 * offsets[0], 2.0 * offsets[1], clips)
    whole = PostOnly(InventoryBound(model, q_max=4.0))
    result = backtested(env, whole, start_us, start_us + round(EPISODE_S * US_PER_S))
    assert found == rows(result)
    assert info["equity"] == pytest.approx(result.state["equity"][-1], abs=1e-9)
    assert sum(rewards) == pytest.approx(info["equity"] - 1000.0, abs=1e-12)


def test_episode_of_tight_quotes_has_fills(tape):
    """The comparison is not between empty lists."""
    env = environment(tape, terms(episode_s=EPISODE_S))
    assert len(played(env, np.array([-1.0, -1.0, 0.0]), tape.start_us)[0]) > 20


def test_zero_action_with_fit_equals_fixed_spread(tape):
    """Compared with the project's model, not a copy in the test."""
    env = environment(tape, terms(episode_s=EPISODE_S, distance_ticks=2.5), requote_interval_ms=500)
    found, _, _ = played(env, np.zeros(3), tape.start_us)
    whole = InventoryBound(PostOnly(FixedSpread(delta_ticks=2.5)), q_max=5.0)
    assert found == rows(backtested(env, whole, tape.start_us, tape.start_us + round(EPISODE_S * US_PER_S)))
    assert found


@pytest.mark.parametrize("discrete", [False, True])
def test_agent_acts_equally_in_environment_and_backtest(tape, discrete):
    """Observation and decision equal those of the agent as a quote model of a backtest."""
    agent_terms = terms(episode_s=EPISODE_S, discrete=discrete, step_s=0.75)
    agent = saved(agent_terms)
    env, network = environment(tape, agent_terms), agent.network()
    env.reset(options={"start_us": tape.start_us})
    ended = False
    while not ended:
        # float32 rounding could change a decision, so the float64 observations of the kernel are used
        answer = network.predict(env._stepper.observed()[None, :])[0]
        action = int(answer.argmax()) if discrete else np.clip(answer, -1.0, 1.0)
        _, _, _, ended, info = env.step(action)
    result = backtested(
        env, strategy_of(Agent(agent_terms, agent)), tape.start_us, tape.start_us + round(EPISODE_S * US_PER_S)
    )
    assert env._stepper.fills() == rows(result)
    assert info["equity"] == pytest.approx(result.state["equity"][-1], abs=1e-9)
    assert env._stepper.fills()


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [0.0, float("nan"), 0.0], [0.0] * 4, [[0.0] * 3], 0.5, None, "wide"])
def test_invalid_action_is_rejected(tape, wrong):
    """The episode is unchanged."""
    env = environment(tape, terms())
    env.reset(seed=1)
    with pytest.raises(ValueError, match="three numbers"):
        env.step(wrong)
    env.step(np.zeros(3))


@pytest.mark.parametrize("choice", [-1, 75, 1.5, float("nan"), "3", None])
def test_discrete_action_that_is_none_is_rejected(tape, choice):
    """Discrete actions are 0 to 74, and no number is rounded to one."""
    env = environment(tape, terms(discrete=True))
    env.reset(seed=1)
    with pytest.raises(ValueError, match="from 0 to 74"):
        env.step(choice)


def test_spread_inventory_rewards_match_journal(tape):
    """Recomputed from a backtest: gains of fills against the mid less fees, less φ·q² per step."""
    agent_terms = terms(episode_s=EPISODE_S, q_max=3.0)
    env = MarketMaking([tape], "spread_inventory", terms=agent_terms, seed=3, weight=0.5, maker_fee_rate="0.0002")
    start_us = tape.start_us
    env.reset(options={"start_us": start_us})
    rewards, held, ended = [], [], False
    while not ended:
        _, reward, _, ended, info = env.step(np.array([-1.0, -1.0, 0.0]))
        rewards.append(reward)
        held.append(info["inventory"])
    whole = PostOnly(InventoryBound(BehindTouch(-2.0, -2.0, 1), q_max=3.0))
    result = backtested(env, whole, start_us, start_us + round(EPISODE_S * US_PER_S))
    rules, table = env._days[0].rules, result.journal.fills
    tick, lot = rules.tick_e8 * 1e-8, rules.lot_e8 * 1e-8
    side, ticks, lots, fees, _, mid2 = table[:, 2:8].T
    gained = (side * (mid2 / 2.0 - ticks) * lots).sum() * tick * lot
    clip = rules.quote_lots * lot
    penalty = sum(0.5 * tick * clip * (one / clip) ** 2 * agent_terms.step_s for one in held)
    assert len(table) > 20
    assert sum(rewards) == pytest.approx(gained - fees.sum() * 1e-8 - penalty, rel=1e-9)


def test_utility_rewards_sum_to_utility_of_gain(tape):
    """(1 - exp(-γ·W))/γ of the whole episode."""
    env = MarketMaking([tape], "utility", terms=terms(episode_s=EPISODE_S), seed=3, weight=0.02, maker_fee_rate="0")
    _, rewards, info = played(env, np.array([-1.0, -1.0, 0.0]), tape.start_us)
    rules = env._days[0].rules
    wealth = (info["equity"] - 1000.0) / (1e-16 * rules.tick_e8 * rules.lot_e8 * rules.quote_lots)
    assert wealth != 0.0
    assert sum(rewards) == pytest.approx((1.0 - np.exp(-0.02 * wealth)) / 0.02, rel=1e-9)


def test_engine_knobs_set_execution_and_seed():
    """The options of ``mm backtest``, by field name."""
    assert EngineKnobs.of({"order_latency_ms": 7, "seed": 5}).execution.order_latency_ms == 7
    assert EngineKnobs.of({"seed": 5}).seed == 5
    assert EngineKnobs.of({}).seed is None
