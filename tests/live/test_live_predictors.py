"""Fitted predictors in the quotes of a shadow and of a trade, and the copies of its models that a run keeps."""

import json
import shutil

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books

from fill_predictors import train
from mm import load_day
from mm.signals.artefact import MODEL, Artefact, write
from rl_agents import agent_at
from simulation import simulate_day
from support import run_python

FEW = 3
SIGNALS = ("imbalance_1", "imbalance_5", "spread")
KNOBS = {"REQUOTE_INTERVAL_MS": "50", "INITIAL_INVENTORY": "10", "INITIAL_CASH": "100000"}
KELLY = [["kelly_skew", {"signal": "models/return"}], ["shift_by", {"signal": "models/adverse:bid", "by": 0.5}]]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with predictors of the box's market, fitted on a day of it: ``models/return``, ``models/adverse``."""
    root = tmp_path_factory.mktemp("fitted")
    day = simulate_day(root, "zero_intelligence", hours=0.1, seed=3)
    refit(root, [load_day(day.path)], seed=0)
    return root


def refit(root, tapes, seed):
    """Fit the predictors; another seed draws other trees."""
    for target in ("return", "adverse"):
        folder = root / "models" / target
        folder.mkdir(parents=True, exist_ok=True)
        train(folder, tapes, (target, 1.0, SIGNALS), "forest", seed)


@pytest.fixture
def desk(fitted, tmp_path):
    """A folder of the test with the predictors."""
    shutil.copytree(fitted / "models", tmp_path / "models")
    return tmp_path


def quotes(model, params):
    """Return the variables of a quote model."""
    return {"QUOTE_MODEL": model, "QUOTE_PARAMS_JSON": json.dumps(params)}


EXPECTED = quotes("expected_value", {"A": 1, "k": 0.5, "predictors": ["models/return", "models/adverse"]})
STEPS = quotes("steps", {"model": ["fixed_spread", {"delta_ticks": 2}], "steps": KELLY})


def recorded_bytes(root):
    """Return the size of the recorded files in bytes."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def shadow_of(desk, **variables):
    """Run a shadow for a moment, and return its run folder."""
    with venue(desk) as box, box.trader(entry=("-m", "mm", "shadow"), **KNOBS, **variables) as process:
        box.until(lambda: recorded_bytes(desk / "data") > 200_000, "a stretch of the day", process=process)
        code, output, _ = ended(process)
    assert code == 0, output
    (folder,) = (desk / "out" / "shadow" / "SIMUSDT").iterdir()
    found = json.loads((folder / "reconcile.json").read_text())
    assert found["same"], found
    assert found["decisions"] > FEW
    return folder


def reconciled(desk, folder):
    """Return the result of the replay."""
    done = run_python("-m", "mm", "shadow", "reconcile", str(folder), "--json", cwd=desk)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("variables", [EXPECTED, STEPS], ids=["expected_value", "steps"])
def test_shadow_replay_uses_its_own_copy_of_predictors(desk, variables):
    """Also after others were fitted in their place, and after they were deleted."""
    folder = shadow_of(desk, **variables)
    kept = {text: folder / place for text, place in json.loads((folder / "models/index.json").read_text()).items()}
    assert sorted(kept) == ["models/adverse", "models/return"]
    for text, place in kept.items():
        assert Artefact.read(place).about["hash"] == Artefact.read(desk / text).about["hash"]
        about = {**Artefact.read(desk / text).about, "scaler": {**Artefact.read(desk / text).about["scaler"]}}
        about["scaler"]["mean"] = [9.0 for _ in SIGNALS]  # other predictions, of the same form
        write(desk / text, about, Artefact.read(desk / text).arrays)
    before = reconciled(desk, folder)
    shutil.rmtree(desk / "models")
    assert reconciled(desk, folder) == before


@pytest.mark.slow
def test_shadow_replay_uses_its_own_copy_of_agent(desk):
    """Also after another agent was saved to its file, and after the file was deleted."""
    agent = agent_at(desk / "agent.zip", step_s=0.05)
    folder = shadow_of(desk, **quotes("rl", {"model_path": "agent.zip"}))
    before = reconciled(desk, folder)
    agent_at(agent, seed=2, step_s=0.05)
    assert reconciled(desk, folder) == before
    agent.unlink()
    assert reconciled(desk, folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("variables", [EXPECTED, STEPS], ids=["expected_value", "steps"])
def test_predictor_trade_books_match_exchange(desk, variables):
    """Real orders follow predictions; the run keeps the predictors and lists them as inputs."""
    with venue(desk) as box:
        with box.trader(**variables, REQUOTE_INTERVAL_MS="100") as process:
            box.until(lambda: len(box.account()["trades"]) >= FEW, "fills", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert_equal_books(box)
        assert box.run("audit", "verify", str(box.logs()[-1])).returncode == 0
        folder = box.folders()[-1]
        places = {row["price"] for row in box.table("orders") if row["action"] == "PLACE"}
    assert len(places) > 1
    summary = json.loads((folder / "summary.json").read_text())
    assert {one["target"] for one in summary["predictors"]} == {"return", "adverse"}
    inputs = {one["sha256"] for one in json.loads((folder / "run_manifest.json").read_text())["inputs"]}
    outputs = {one["path"]: one["sha256"] for one in json.loads((folder / "run_manifest.json").read_text())["outputs"]}
    assert {sha256 for path, sha256 in outputs.items() if path.endswith(MODEL)} <= inputs


@pytest.mark.slow
def test_trade_with_predictor_of_another_tick_size_sends_nothing(desk):
    """One line, exit code 3, before the first order."""
    found = Artefact.read(desk / "models/return")
    write(desk / "models/return", {**found.about, "tick": "0.1"}, found.arrays)
    with venue(desk) as box:
        refused = box.run("trade", **EXPECTED)
        assert refused.returncode == 3, refused.stderr
        assert "with a tick of 0.1, not on SIMUSDT with a tick of 0.01" in refused.stderr
        assert box.account()["orders"] == []
