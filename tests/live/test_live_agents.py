"""A trained agent as the quote model of a shadow and of a trade, and two agents on one exchange in a box."""

import json
import shutil

import pytest
from shadowed import CHANCE, QUEUE, shadowed, strategy
from trading_box import Venue, ended, venue
from trading_truth import assert_equal_books

from boxed import quicken
from mm.backtest.journal import ACTIONS
from rl_agents import agent_at
from support import ROOT, run_python

FEW = 3
DECIDED = {"step_s": 0.25}  # each requote of the default interval


def played(path):
    """Return the knobs that select the agent at *path*."""
    return {"quote_model": "rl", "quote_params_json": json.dumps({"model_path": str(path)})}


def variables(path, **more):
    """Return the same as environment variables."""
    return {name.upper(): text for name, text in played(path).items()} | more


@pytest.mark.slow
@pytest.mark.parametrize("models", [QUEUE, CHANCE])
@pytest.mark.parametrize("discrete", [False, True])
def test_agent_shadow_decisions_equal_replay(tmp_path, monkeypatch, models, discrete):
    """Its signals, quotes and queue positions are the same live and replayed, across a gap."""
    quicken(monkeypatch)
    agent = agent_at(tmp_path / "agent.zip", step_s=0.04, discrete=discrete)

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(20)
        await boxed.synced()
        await boxed.caught_up()

    knobs = strategy(**models, **played(agent))
    done = shadowed(scenario, "at time 3 do drop n=3", knobs=knobs, scenario_name="zero_intelligence")
    assert done.found.first_difference is None
    assert done.found.same, done.found
    assert done.found.decisions > 100
    assert done.found.rows["fills_live"] >= FEW
    placed = done.journal.orders[done.journal.orders[:, 2] == ACTIONS.index("PLACE")]
    assert len({tuple(row) for row in placed[:, 4:7].tolist()}) > FEW  # side, price and lots: its quotes vary


@pytest.mark.slow
def test_shadow_warns_about_agent_trained_otherwise(tmp_path):
    """Exit code 0, reconciled, the agent's file is an input; each difference is a line of the log and a note."""
    agent = agent_at(tmp_path / "agent.zip", symbol="OTHERUSDT", **DECIDED)
    with venue(tmp_path) as box:
        knobs = variables(agent, REQUOTE_INTERVAL_MS="20", INITIAL_INVENTORY="10", INITIAL_CASH="100000")
        with box.trader(entry=("-m", "mm", "shadow"), **knobs) as process:
            box.until(lambda: any((tmp_path / "data").rglob("trades*")), "a trade", process=process)
            code, output, _ = ended(process)
    assert code == 0, output
    assert output.count("warning agent_of_another_symbol") == 1
    assert output.count("warning agent_requotes_otherwise") == 1
    assert "set REQUOTE_INTERVAL_MS=250" in output
    (folder,) = (tmp_path / "out" / "shadow" / "SIMUSDT").iterdir()
    assert json.loads((folder / "reconcile.json").read_text())["same"]
    inputs = json.loads((folder / "run_manifest.json").read_text())["inputs"]
    assert [one["sha256"] for one in inputs if one["path"].endswith("agent.zip")]


@pytest.mark.slow
def test_agent_trade_books_match_exchange(tmp_path):
    """Real orders by its decisions; an agent with another tick size sends nothing."""
    agent = agent_at(tmp_path / "agent.zip", **DECIDED)
    other = agent_at(tmp_path / "other.zip", tick_e8=10_000_000)
    with venue(tmp_path) as box:
        refused = box.run("trade", **variables(other))
        assert refused.returncode == 3, refused.stderr
        assert "ticks of 0.1, and this market has ticks of 0.01" in refused.stderr
        assert box.account()["orders"] == []
        with box.trader(**variables(agent)) as process:
            box.until(lambda: len(box.account()["trades"]) >= FEW, "fills", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert "warning agent_" not in output
        assert_equal_books(box)
        assert len(box.table("fills")) == len(box.account()["trades"])
        assert box.run("audit", "verify", str(box.logs()[-1])).returncode == 0


@pytest.mark.slow
def test_books_of_two_agents_on_one_exchange_match_it(tmp_path):
    """The example's script: both accounts trade, and both logs match the exchange."""
    for seed, name in enumerate(("first.zip", "second.zip"), start=1):
        agent_at(tmp_path / name, seed=seed, **DECIDED)
    shutil.copy(ROOT / "docs" / "examples" / "two_agents.py", tmp_path)
    with venue(tmp_path) as box:
        (tmp_path / "ready.json").write_text(json.dumps(box.ready), encoding="utf-8")
        done = run_python("two_agents.py", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        orders = set()
        for user in ("alice", "bob"):
            own = Venue(tmp_path / user, box.ready, user)
            assert len(own.account()["trades"]) >= 10
            assert_equal_books(own)
            taken = {one["clientOrderId"] for one in own.account()["orders"]}
            assert not orders & taken
            orders |= taken
            assert own.run("audit", "verify", str(own.logs()[-1])).returncode == 0
