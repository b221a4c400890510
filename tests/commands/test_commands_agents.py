"""Loading a trained agent: another tick is rejected; another symbol, requote interval or day gives a warning."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from rl_agents import agent_at, sim_day

DAY = "20260105"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("agents") / "data"
    sim_day(root, DAY)
    return root


def run(data, folder, agent, *words, command="backtest"):
    """Return the finished command and the warnings about agents in its log, in order."""
    places = ["--symbol", "SIMUSDT", "--day", DAY, "--data-root", str(data), "--out-root", str(folder / "out")]
    params = json.dumps({"model_path": str(agent)})
    knobs = ["--sensitivity", "0"] if command == "backtest" else []
    flags = [*places, "--quote-model", "rl", "--quote-params-json", params, "--run-id", "R", *knobs, *words]
    done = CliRunner().invoke(main, [command, *flags])
    logs = [path for path in (folder / "out" / "logs" / command).rglob("run.log") if done.exit_code == 0]
    lines = [json.loads(line) for path in logs for line in path.read_text().splitlines()]
    return done, [line for line in lines if line["level"] == "warning" and line["event"].startswith("agent_")]


def test_agent_on_its_training_market_gives_no_warning(data, tmp_path):
    about = {"requote_interval_ms": 250.0, "days": ["20260104"]}
    done, warnings = run(data, tmp_path, agent_at(tmp_path / "agent.zip", about))
    assert done.exit_code == 0, done.output
    assert warnings == []
    manifest = json.loads((tmp_path / f"out/backtest/SIMUSDT/{DAY}_R/run_manifest.json").read_text())
    assert [Path(entry["path"]).name for entry in manifest["inputs"]].count("agent.zip") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("about", "changed", "expected"),
    [
        (
            {},
            {"symbol": "OTHERUSDT"},
            {"event": "agent_of_another_symbol", "trained_on": "OTHERUSDT", "symbol": "SIMUSDT"},
        ),
        ({"requote_interval_ms": 20.0}, {}, {"event": "agent_requotes_otherwise", "trained_ms": 20.0}),
        ({}, {"step_s": 0.5}, {"event": "agent_requotes_otherwise", "trained_ms": 500.0}),
        ({"days": ["20260104", DAY]}, {}, {"event": "agent_in_sample", "days": DAY}),
    ],
)
@pytest.mark.parametrize("command", ["backtest", "sweep"])
def test_difference_from_training_is_warned_of_once(data, tmp_path, command, about, changed, expected):
    """A stable key with the numbers; also once in a sweep of several points."""
    agent = agent_at(tmp_path / "agent.zip", about, **{"step_s": 0.25, **changed})
    grid = ["--grid", "ORDER_LATENCY_MS=1,5", "--jobs", "1"] if command == "sweep" else []
    done, warnings = run(data, tmp_path, agent, *grid, command=command)
    assert done.exit_code == 0, done.output
    (warning,) = warnings
    assert warning.items() >= expected.items()


@pytest.mark.parametrize(("trained_on", "code"), [(DAY, 2), ("20260104", 0)])
def test_agent_trained_on_a_held_out_day_is_refused_on_it(data, tmp_path, trained_on, code):
    """Also if the day is opened: nothing of it would be out of sample."""
    held = ["data", "hold", "SIMUSDT", DAY, "--data-root", str(data)]
    assert CliRunner().invoke(main, held).exit_code == 0
    agent = agent_at(tmp_path / "agent.zip", {"requote_interval_ms": 250.0, "days": [trained_on]})
    done, _ = run(data, tmp_path, agent, "--open-held-out")
    assert CliRunner().invoke(main, [*held, "--release"]).exit_code == 0
    assert done.exit_code == code, done.output
    assert ("the agent agent.zip was trained on it" in done.output) == bool(code)


@pytest.mark.parametrize("days", [["20260104", DAY], ["20260104"]])
def test_summary_warns_of_played_training_days(data, tmp_path, days):
    """The warning is in `warnings` of the summary and on the page, not only in the log."""
    done, _ = run(data, tmp_path, agent_at(tmp_path / "agent.zip", {"requote_interval_ms": 250.0, "days": days}))
    assert done.exit_code == 0, done.output
    folder = tmp_path / f"out/backtest/SIMUSDT/{DAY}_R"
    summary = json.loads((folder / "summary.json").read_text())
    found = [line for line in summary["warnings"] if line.startswith("agent_in_sample: ")]
    assert len(found) == (DAY in days)
    assert summary.get("agent_days") == ([DAY] if found else None)
    assert ("agent_in_sample" in (folder / "report.html").read_text()) == bool(found)


def test_each_requote_interval_of_a_grid_is_compared_with_training(data, tmp_path):
    agent = agent_at(tmp_path / "agent.zip", {"requote_interval_ms": 250.0})
    grid = ("--grid", "REQUOTE_INTERVAL_MS=125,250,500", "--jobs", "1")
    done, warnings = run(data, tmp_path, agent, *grid, command="sweep")
    assert done.exit_code == 0, done.output
    assert [warning["way_out"].rsplit(" ", 1)[1] for warning in warnings] == ["125", "500"]


@pytest.mark.parametrize("command", ["backtest", "sweep", "walkforward"])
def test_agent_trained_with_another_tick_is_rejected(data, tmp_path, command):
    """Exit code 3 and one line, before anything is played."""
    agent = agent_at(tmp_path / "agent.zip", tick_e8=7_000_000)
    grid = ("--grid", "ORDER_LATENCY_MS=1,5") if command == "sweep" else ()
    done, _ = run(data, tmp_path, agent, *grid, command=command)
    assert done.exit_code == 3, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "trained on SIMUSDT with ticks of 0.07, and this market has ticks of 0.01" in line


def test_rl_evaluate_warns_of_differences_from_training(data, tmp_path):
    agent = agent_at(tmp_path / "agent.zip", symbol="OTHERUSDT", step_s=0.5)
    places = ["--symbol", "SIMUSDT", "--day", DAY, "--data-root", str(data), "--out-root", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["rl", "evaluate", "--model-path", str(agent), *places])
    assert done.exit_code == 0, done.output
    events = [line.split()[2] for line in done.stderr.splitlines() if " warning " in line]
    assert events == ["agent_of_another_symbol", "agent_requotes_otherwise"]


def test_agent_inside_mixed_model_is_checked_too(data, tmp_path):
    agent = agent_at(tmp_path / "agent.zip", symbol="OTHERUSDT", step_s=0.25)
    params = {"models": [["rl", {"model_path": str(agent)}, 1], ["fixed_spread", {"delta_ticks": 2}, 1]]}
    words = ("--quote-model", "mixed", "--quote-params-json", json.dumps(params))
    done, warnings = run(data, tmp_path, agent, *words)
    assert done.exit_code == 0, done.output
    assert [warning["event"] for warning in warnings] == ["agent_of_another_symbol"]


@pytest.mark.slow
def test_reproduce_rejects_agent_file_changed_since_the_run(data, tmp_path):
    """An agent that was retrained into the same file is rejected by name and not played."""
    agent = agent_at(tmp_path / "agent.zip", {"requote_interval_ms": 250.0}, step_s=0.25)
    done, _ = run(data, tmp_path, agent)
    assert done.exit_code == 0, done.output
    again = ["runs", "reproduce", "R", "--data-root", str(data), "--out-root", str(tmp_path / "out")]
    done = CliRunner().invoke(main, again)
    assert done.exit_code == 0, done.output
    agent_at(agent, {"requote_interval_ms": 250.0}, seed=2, step_s=0.25)
    done = CliRunner().invoke(main, again)
    assert done.exit_code == 3
    (line,) = done.stderr.splitlines()
    assert "cannot be played again" in line
    assert "agent.zip changed since the run" in line
