"""Comparison of an agent with its baselines, and the verdict."""

from dataclasses import replace

import pytest

from mm import backtest
from mm.backtest.models import avellaneda_stoikov
from mm.errors import Mismatch
from mm.play.engine_rules import rules_of
from mm.play.models import PlayModels
from mm.rl.evaluation import evaluate, judged
from mm.rl.training_days import EngineKnobs
from rl_agents import saved, terms

KNOBS = EngineKnobs.of({"seed": 0})


def row(pnl, deflated=0.99):
    return {"pnl_quoting": pnl, "deflated_sharpe": deflated}


@pytest.mark.parametrize(
    ("own", "other", "wins", "message"),
    [
        (row(2.0), row(1.0), True, "the agent wins"),
        (row(1.0), row(1.0), False, "does not win: PnL 1, symmetric 1"),
        (row(-1.0), row(-2.0), False, "it has the smallest loss"),
        (row(2.0, 0.6), row(1.0), False, "deflated Sharpe 0.600, minimum 0.95"),
        (row(2.0, None), row(1.0), False, "not defined"),
    ],
)
def test_verdict_states_whether_agent_wins(own, other, wins, message):
    """An agent wins with the greatest PnL, above 0, and beyond chance."""
    found, sentence = judged({"rl": own, "avellaneda_stoikov": row(-5.0), "symmetric": other})
    assert found == wins
    assert message in sentence


def test_policies_equal_their_backtests(tape):
    """Same rules, bound and fit for all; an agent cannot win on a day of its training."""
    agent = replace(saved(terms()), about={"days": ["20260104"], "fit": {"A": 1.0, "k": 0.3}})
    found = evaluate(agent, [tape], KNOBS)
    assert list(found["policies"]) == ["rl", "avellaneda_stoikov", "symmetric", "expected_value"]
    rules = rules_of(tape, KNOBS.execution, KNOBS.account, KNOBS.models)
    fills = PlayModels.of(KNOBS.models, tape, 0).fills()
    alone = backtest(tape, avellaneda_stoikov(k=0.3, q_max=5.0), fills, rules).summary
    own = found["policies"]["avellaneda_stoikov"]
    assert {key: own[key] for key in ("pnl_quoting", "sharpe", "inventory", "n_fills")} == {
        key: alone[key] for key in ("pnl_quoting", "sharpe", "inventory", "n_fills")
    }
    assert found["policies"]["rl"]["n_fills"] > 0
    assert found["policies_tried"] == 4
    assert found["seen_days"] == []
    trained = evaluate(replace(agent, about={"days": ["20260105"]}), [tape], KNOBS)
    assert trained["seen_days"] == ["20260105"]
    assert not trained["agent_wins"]
    assert "in-sample" in trained["verdict"]
    assert "expected_value" not in trained["policies"]


def test_other_tick_is_rejected(tape):
    """Before the run."""
    with pytest.raises(Mismatch, match=r"this market has ticks of 0\.01"):
        evaluate(saved(terms(tick_e8=7)), [tape], KNOBS)
