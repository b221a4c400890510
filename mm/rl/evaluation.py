"""Evaluates an agent against baselines on the same days under the same rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mm.backtest.models import QUOTE_MODELS
from mm.backtest.quotes.agent_file import SavedAgent
from mm.backtest.quotes.simple import Agent, strategy_of
from mm.backtest.quotes.steps import InventoryBound, PostOnly
from mm.play.design import Design, recorded
from mm.play.market import Markets
from mm.play.play import GivenModels, Play
from mm.rl.training_days import EngineKnobs
from mm.sweep.findings import SelectionBias
from mm.tape.tape import Tape
from mm.trials.on_record import ALONE, Recording
from mm.trials.openings import refuse_trained

SHOWN = ("pnl_quoting", "pnl_total", "pnl_spread_capture", "pnl_inventory", "fees", "sharpe", "n_fills", "max_drawdown")
ENOUGH = 0.95  # minimum deflated Sharpe ratio
UNFITTED_K = 1.0  # per tick, if the training days have no usable fit


def baselines(agent: SavedAgent) -> dict[str, object]:
    fit = agent.about.get("fit") or {}
    k, q_max = fit.get("k", UNFITTED_K), agent.terms.q_max
    models: dict[str, object] = {
        "avellaneda_stoikov": QUOTE_MODELS["avellaneda_stoikov"](k=k, q_max=q_max),
        "symmetric": _bounded(QUOTE_MODELS["symmetric"](k=k), q_max),
    }
    if fit:
        models["expected_value"] = _bounded(QUOTE_MODELS["expected_value"](A=fit["A"], k=k), q_max)
    return models


def _bounded(model: object, q_max: float) -> object:

    return InventoryBound(PostOnly(model), q_max=q_max)


def evaluate(
    agent: SavedAgent, tapes: Sequence[Tape], knobs: EngineKnobs, recording: Recording | None = None
) -> dict[str, Any]:
    """Return backtests of an agent and the baselines, as JSON values; Mismatch, or UsageError for a held-out training
    day.

    They are ``policies`` by name, with the numbers of `SHOWN`, ``inventory``, ``adverse_selection`` and
    ``deflated_sharpe``: the probability that the Sharpe ratio beats the best of as many unskilled policies as are on
    record; ``agent_wins`` and ``verdict``; ``trials`` as of a backtest.
    """
    first = tapes[0]
    agent.terms.check_tick(first.instrument.tick_e8)
    if agent.terms.symbol == first.symbol:
        refuse_trained("the agent", agent.days.__contains__, tapes)
    quotes = {"rl": strategy_of(Agent(agent.terms, agent)), **baselines(agent)}
    play = Play.of(knobs.of_engine, Markets(tapes))
    summaries = {}
    for name, model in quotes.items():
        policy = replace(play, given=GivenModels(model))
        design = Design.of_play(policy)  # before it plays
        result = policy.run()
        summaries[name] = (result if recording is None else recorded(result, design, recording)).summary
    record = None if recording is None else recording.on_record()
    bias = SelectionBias(max(len(summaries), 0 if record is None else record.on_these_days))
    policies = {
        name: {key: summary[key] for key in SHOWN}
        | {key: summary[key] for key in ("inventory", "adverse_selection")}
        | {"deflated_sharpe": bias.deflated(summary)}
        for name, summary in summaries.items()
    }
    wins, verdict = judged(policies, bias.trials)
    seen = sorted({day for tape in tapes for day in tape.days} & agent.days)
    return {
        "symbol": first.symbol,
        "days": [day for tape in tapes for day in tape.days],
        "seen_days": seen,
        "policies_tried": len(policies),
        "policies": policies,
        "trials": dict(ALONE) if record is None else record.to_json(),
        "agent_wins": wins and not seen,
        "verdict": verdict + (f"; {', '.join(seen)} was a training day, so the result is in-sample" if seen else ""),
    }


def judged(policies: Mapping[str, Mapping[str, Any]], tried: int = 0) -> tuple[bool, str]:
    """An agent wins with the largest PnL, above 0, significant among *tried*."""
    own = policies["rl"]
    name, best = max(
        ((name, policy) for name, policy in policies.items() if name != "rl"), key=lambda pair: pair[1]["pnl_quoting"]
    )
    pnl, other, deflated = own["pnl_quoting"], best["pnl_quoting"], own["deflated_sharpe"]
    if pnl <= other:
        return False, f"the agent does not win: PnL {pnl:.6g}, {name} {other:.6g}"
    if pnl <= 0.0:
        return False, f"the agent does not win: it has the smallest loss, PnL {pnl:.6g}, {name} {other:.6g}"
    if deflated is None or deflated < ENOUGH:
        chance = "not defined" if deflated is None else f"{deflated:.3f}"
        return False, (
            f"the agent has the largest PnL, {pnl:.6g}, {name} {other:.6g}, but not significant for the best of "
            f"{tried}: deflated Sharpe {chance}, minimum {ENOUGH}"
        )
    return True, f"the agent wins: PnL {pnl:.6g}, {name} {other:.6g}, deflated Sharpe {deflated:.3f}"
