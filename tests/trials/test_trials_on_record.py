"""What one run knows, the next one knows: trials and days held out, at the doors of a user."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import mm
from mm.backtest.models import fixed_spread, rl, steps, trade_cross
from mm.errors import UsageError
from mm.report.as_of_now import as_of_now
from mm.trials.ledger import Ledger
from rl_agents import agent_at
from simulation import simulate_day
from support import run_mm

DAY, NEXT = "20260105", "20260106"
KNOBS = {"SYMBOL": "SIMUSDT", "INITIAL_INVENTORY": "1", "MAKER_FEE_RATE": "0", "SENSITIVITY": "0", "LOG_LEVEL": "ERROR"}
WIDE = json.dumps({"delta_ticks": 3})


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two simulated days."""
    folder = tmp_path_factory.mktemp("desk")
    for day, seed in ((DAY, 7), (NEXT, 8)):
        simulate_day(folder / "data", day=day, hours=0.75, seed=seed)
    return folder


def done(desk: Path, *words: str, code: int = 0, out: str = "out", **knobs: str) -> Any:
    """Run a command as a user does, and return it."""
    finished = run_mm(*words, cwd=desk, OUT_ROOT=out, **KNOBS, **knobs)
    assert finished.returncode == code, finished.stderr + finished.stdout
    return finished


def answer(desk: Path, *words: str, **knobs: str) -> dict[str, Any]:
    """Return the JSON answer of a command."""
    content: dict[str, Any] = json.loads(done(desk, *words, "--json", **knobs).stdout.splitlines()[-1])
    return content


def test_a_choice_is_known_by_every_later_command(desk):
    """A sweep, a sweep of its best, its backtest by the printed command, an evaluation: all are one of three."""
    where = {"out": "chosen", "DAY": DAY, "QUOTE_MODEL": "fixed_spread"}
    first = answer(desk, "sweep", GRID="DELTA_TICKS=1,2,3", JOBS="1", **where)
    assert first["trials"] | {"independent": None} == {
        "known": 3,
        "on_these_days": 3,
        "independent": None,
        "this_is_new": True,
        "held_out_openings": 0,
        "forgotten": 0,
        "off_record": 0,
    }
    assert first["trials"]["independent"] == pytest.approx(first["independent_trials"], rel=1e-5)
    assert first["best"]["pnl_lower95_chosen"] == pytest.approx(first["best"]["pnl_lower95_chosen_alone"], rel=1e-5)
    alone = answer(desk, "sweep", GRID="DELTA_TICKS=2", JOBS="1", **where)
    assert (alone["trials"]["on_these_days"], alone["trials"]["this_is_new"]) == (3, False)
    assert alone["best"]["pnl_lower95_chosen"] < alone["best"]["pnl_lower95_chosen_alone"]
    played = answer(desk, "backtest", QUOTE_PARAMS_JSON='{"delta_ticks": 2}', **where)
    assert (played["trials"]["on_these_days"], played["trials"]["this_is_new"]) == (3, False)
    assert played["verdict"]["lower95"] < played["verdict_alone"]["lower95"]
    assert played["psr"] <= played["psr_alone"]
    evaluated = answer(desk, "evaluate", QUOTE_PARAMS_JSON='{"delta_ticks": 2}', **where)
    assert (evaluated["trials"]["on_these_days"], evaluated["trials"]["this_is_new"]) == (3, False)
    said = done(desk, "backtest", QUOTE_PARAMS_JSON='{"delta_ticks": 2}', **where).stdout
    assert "one of 3 tried on these days" in said
    (row,) = answer(desk, "runs", "trials", out="chosen")["trials"]
    assert (row["days"], row["fill_model"], row["n_trials"]) == ([DAY], "queue_prob_power", 3)
    assert mm.trials(desk / "chosen")[0] == row
    other = answer(desk, "backtest", out="chosen", DAY=NEXT)
    assert (other["trials"]["known"], other["trials"]["on_these_days"]) == (4, 1)
    moved = other["verdict"]["tail"]  # of the other day, whose designs do not count
    assert (moved["from_run"], moved["block_start"], moved["decides"]) == (f"SIMUSDT {DAY}", None, False)
    assert other["verdict_alone"]["tail"] is None


def test_another_fee_is_no_other_design_and_its_loss_is_none_of_it(desk):
    """Nor are other balances; a clip of another size counts in units of its own."""
    where = {"out": "fees", "DAY": DAY, "QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}'}
    first = answer(desk, "backtest", **where)
    for flag, value in (("--maker-fee-rate", "0.01"), ("--initial-cash", "5000"), ("--initial-inventory", "2")):
        done(desk, "backtest", flag, value, **where)
    again = answer(desk, "backtest", **where)
    assert (again["trials"]["on_these_days"], again["trials"]["this_is_new"]) == (1, False)
    assert again["verdict"] == first["verdict"]
    done(desk, "backtest", "--run-id", "large", "--initial-cash", "100000", QUOTE_QTY="2", **where)
    beside = answer(desk, "backtest", **where)
    tail = beside["verdict"]["tail"]
    assert beside["trials"]["on_these_days"] == 2
    assert tail["scaled_loss"] < 20 * abs(beside["returns"]["worst"])
    assert beside["verdict"]["days_to_decide"] == beside["verdict_alone"]["days_to_decide"]


def test_every_door_says_the_same_verdict(desk, monkeypatch):
    """Backtest, sweep, evaluation, Python, runs show and the table of all runs, of one design on one day."""
    where = {"out": "doors", "DAY": DAY, "QUOTE_MODEL": "fixed_spread"}
    done(desk, "sweep", GRID="DELTA_TICKS=1,2,3,4", JOBS="1", **where)
    swept = answer(desk, "sweep", GRID="DELTA_TICKS=2", JOBS="1", **where)["best"]
    knobs = {"QUOTE_PARAMS_JSON": '{"delta_ticks": 2}', **where}
    played = answer(desk, "backtest", "--run-id", "own", **knobs)
    evaluated = answer(desk, "evaluate", **knobs)
    tape = mm.load_day(desk / "data/SIMUSDT" / DAY)
    given = {"initial_inventory": 1, "maker_fee_rate": 0, "sensitivity": False, "out_root": desk / "doors"}
    python = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 2}), **given).summary
    expected = played["verdict"]
    now = mm.open_run("own", desk / "doors").now["verdict"]
    for other in (swept["verdict"], evaluated["verdict"], python["verdict"], now):
        assert other["text"] == expected["text"]
        for end in ("lower95", "upper95"):
            assert other[end] == pytest.approx(expected[end], rel=1e-5)
    assert swept["pnl_lower95_chosen"] == pytest.approx(swept["verdict"]["lower95"] * 5 / played["returns"]["periods"])
    shown = done(desk, "runs", "show", "own", out="doors").stdout
    assert f"verdict  {expected['text']}" in shown
    done(desk, "runs", "export", "--out", "doors.csv", out="doors")
    text = (desk / "doors.csv").read_text().splitlines()
    names = text[0].split(",")
    assert {"summary.verdict.text", "summary.psr"} <= set(names)
    said = done(desk, "evaluate", **knobs).stdout
    assert f"verdict           {expected['text']}" in said
    assert "above 0 on" not in said


def test_python_with_an_out_root_shares_the_ledger(desk, monkeypatch):
    """The same design by the command is no new trial; without an out_root nothing is known."""
    tape = mm.load_day(desk / "data/SIMUSDT" / DAY)
    given = {"initial_inventory": 1, "maker_fee_rate": 0, "sensitivity": False}
    answer(desk, "backtest", out="python", DAY=DAY, QUOTE_MODEL="fixed_spread", QUOTE_PARAMS_JSON=WIDE)
    wide = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 3}), out_root=desk / "python", **given)
    assert wide.summary["trials"]["this_is_new"] is False
    narrow = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 1}), out_root=desk / "python", **given)
    assert (narrow.summary["trials"]["on_these_days"], narrow.summary["trials"]["this_is_new"]) == (2, True)
    nowhere = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 1}), **given)
    assert (nowhere.summary["trials"]["known"], nowhere.summary["trials"]["on_these_days"]) == (0, 1)


class Own:
    """A model of a notebook."""

    def __init__(self, away: int) -> None:
        self.away = away

    def quote(self, view: mm.QuoteView) -> mm.Quotes | None:
        return mm.Quotes(view.bid_ticks - self.away, view.ask_ticks + self.away)


def test_objects_are_told_apart_by_their_state(desk):
    """Equal objects are one design, and so is what sends equal orders."""
    tape = mm.load_day(desk / "data/SIMUSDT" / DAY)
    seen = [
        mm.backtest(tape, model, initial_inventory=1, sensitivity=False, out_root=desk / "objects").summary["trials"]
        for model in (Own(1), Own(1), Own(2), (Own, {"away": 2}))
    ]
    assert [one["this_is_new"] for one in seen] == [True, False, True, False]


def test_equal_work_has_an_equal_digest_whatever_was_tried_meanwhile(desk):
    """Verdicts differ, and neither the digest, nor a difference, nor a reproduction knows of it."""
    where = {"out": "again", "DAY": DAY, "QUOTE_MODEL": "fixed_spread"}
    done(desk, "backtest", "--run-id", "a", QUOTE_PARAMS_JSON=WIDE, **where)
    done(desk, "sweep", GRID="DELTA_TICKS=1,2,4,5", JOBS="1", **where)
    done(desk, "backtest", "--run-id", "b", QUOTE_PARAMS_JSON=WIDE, **where)
    first, second = (mm.open_run(name, desk / "again") for name in ("a", "b"))
    assert first.summary["trials"]["on_these_days"] == 1 != second.summary["trials"]["on_these_days"]
    assert first.manifest["digest"] == second.manifest["digest"]
    assert answer(desk, "runs", "diff", "a", "b", out="again")["equal"] is True
    assert answer(desk, "runs", "reproduce", "b", out="again")["equal"] is True


def test_a_run_is_looked_at_beside_what_was_tried_since(desk):
    """Its comparison says what a second play of it would say; its files stay as they were."""
    where = {"out": "since", "DAY": DAY, "QUOTE_MODEL": "fixed_spread"}
    for name, away in (("first", 3), ("second", 2)):
        done(desk, "backtest", "--run-id", name, QUOTE_PARAMS_JSON=json.dumps({"delta_ticks": away}), **where)
    done(desk, "sweep", GRID="DELTA_TICKS=1,4,5,6", JOBS="1", **where)
    again = answer(desk, "backtest", "--run-id", "again", QUOTE_PARAMS_JSON=WIDE, **where)
    stored = mm.open_run("first", desk / "since").summary
    assert stored["verdict"] == stored["verdict_alone"]
    now = as_of_now(stored, desk / "since")
    assert now["trials"]["on_these_days"] == again["trials"]["on_these_days"] == 6
    for end in ("lower95", "upper95"):
        assert now["verdict"][end] == pytest.approx(again["verdict"][end], rel=1e-5)
    assert now["psr"] == pytest.approx(again["psr"], rel=1e-5)
    assert "first: one of 6 tried on these days" in done(desk, "runs", "compare", "first", "second", out="since").stdout
    assert "one of 6 tried on these days" in done(desk, "runs", "show", "first", out="since").stdout
    assert {run["trials"] for run in answer(desk, "runs", "list", out="since")["runs"]} == {6}


def test_a_walk_forward_is_on_record(desk):
    """Its schedule is a part of its design."""
    windows = {"WF_TRAIN_WINDOW_MIN": "10", "WF_STEP_MIN": "10"}
    done(desk, "walkforward", out="forward", DAY=DAY, **windows)
    again = answer(desk, "walkforward", out="forward", DAY=DAY, **windows)
    assert (again["trials"]["on_these_days"], again["trials"]["this_is_new"]) == (1, False)
    other = answer(desk, "walkforward", out="forward", DAY=DAY, WF_TRAIN_WINDOW_MIN="20", WF_STEP_MIN="10")
    assert (other["trials"]["on_these_days"], other["trials"]["this_is_new"]) == (2, True)


def test_a_walk_forward_in_python_is_on_record(desk):
    """With an out_root it is one trial, however often it is played, and its verdict allows for the others."""
    tape, root = mm.load_day(desk / "data/SIMUSDT" / DAY), desk / "forward_in_python"
    rules = mm.Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)

    def seen(train_window_min: int, models: Any = None) -> tuple[int, bool]:
        plan = mm.WindowPlan(train_window_min=train_window_min, step_min=10)
        walked = mm.walkforward(tape, rules, mm.CalibrationConfig(), plan, models=models, out_root=root)
        trials = walked.result.summary["trials"]
        return trials["on_these_days"], trials["this_is_new"]

    assert seen(10) == (1, True)
    assert seen(10) == (1, False)
    assert seen(20) == (2, True)
    assert seen(20, lambda _: (fixed_spread(delta_ticks=2), trade_cross())) == (3, True)
    assert mm.backtest(tape, sensitivity=False, out_root=root).summary["trials"]["on_these_days"] == 4


def test_python_opens_held_days_with_an_out_root_only(desk):
    """Fits, schedules and walk-forwards refuse them like backtests, and each is counted."""
    (desk / "data/held_out_openings.ndjson").unlink(missing_ok=True)
    folder, root = desk / "data/SIMUSDT" / NEXT, desk / "opened_in_python"
    done(desk, "data", "hold", "SIMUSDT", NEXT)
    tape = mm.load_day(folder, open_held_out=True)
    done(desk, "data", "hold", "SIMUSDT", "--release")
    rules = mm.Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    plan = mm.WindowPlan(train_window_min=10, step_min=10)
    doors: list[Callable[..., object]] = [
        partial(mm.calibrate, tape),
        partial(mm.build_schedule, tape, plan),
        partial(mm.walkforward, tape, rules, mm.CalibrationConfig(), plan),
    ]
    for openings, door in enumerate(doors, start=1):
        with pytest.raises(UsageError, match="out_root"):
            door()
        door(out_root=root)
        assert Ledger(root).read("SIMUSDT", NEXT).openings == openings


def test_an_agent_given_as_an_object_does_not_test_on_its_days(desk, monkeypatch):
    """Nor does one inside other models; of another symbol's day it knows nothing."""
    done(desk, "data", "hold", "SIMUSDT", NEXT)
    tape = mm.load_day(desk / "data/SIMUSDT" / NEXT, open_held_out=True)
    done(desk, "data", "hold", "SIMUSDT", "--release")
    play = partial(mm.backtest, tape, sensitivity=False, out_root=desk / "objects", requote_interval_ms=500)
    for day, symbol, refused in ((NEXT, "SIMUSDT", True), (DAY, "SIMUSDT", False), (NEXT, "TWINUSDT", False)):
        path = agent_at(desk / f"{symbol}_{day}.zip", {"days": [day]}, symbol=symbol)
        for quotes in (rl(model_path=str(path)), steps(model=rl(model_path=str(path)), steps=[])):
            if refused:
                with pytest.raises(UsageError, match="was trained on it"):
                    play(quotes)
            else:
                assert play(quotes).summary["trials"]["held_out_openings"] > 0


def test_policies_of_an_evaluated_agent_are_on_record(desk):
    """Another agent that is tried on the same days makes it one of more."""
    where = {"out": "agents", "DAY": DAY, "REQUOTE_INTERVAL_MS": "500", "QUOTE_MODEL": "fixed_spread"}
    where["QUOTE_PARAMS_JSON"] = WIDE
    for seed, tried in ((1, 3), (2, 4)):
        path = agent_at(desk / f"agent{seed}.zip", {"days": [NEXT]}, seed=seed)
        words = ("rl", "evaluate", "--model-path", str(path), "--day", DAY, "--json")
        knobs = {name: value for name, value in KNOBS.items() if name != "SENSITIVITY"}
        finished = run_mm(*words, cwd=desk, OUT_ROOT="agents", **knobs)
        assert finished.returncode == 0, finished.stderr
        found = json.loads(finished.stdout.splitlines()[-1])
        assert found["trials"]["on_these_days"] == tried
    assert answer(desk, "backtest", **where)["trials"]["on_these_days"] == 5


def test_python_stresses_a_run_by_the_worst_move_on_record(desk):
    """As the command does; a run without an out_root knows none but its own."""
    root = desk / "moves_in_python"
    tape = mm.load_day(desk / "data/SIMUSDT" / DAY)

    def move(**more: Any) -> float:
        rows = mm.backtest(tape, initial_inventory=1, maker_fee_rate=0, **more).summary["sensitivity"]["rows"]
        return abs(next(row["move"] for row in rows if row["role"] == "stressed"))

    alone = move(out_root=root)
    (root / "moves/SIMUSDT" / f"{NEXT}.json").write_text('{"down": -0.2, "up": 0.2}')
    assert move(out_root=root) == 0.2
    assert move() == alone < 0.2


def test_a_deleted_run_leaves_its_trial_and_forgetting_says_why(desk):
    """A reason is needed, and is listed afterwards."""
    done(desk, "backtest", "--out-dir", "gone/run", out="gone", DAY=DAY)
    for path in sorted((desk / "gone/run").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert len(answer(desk, "runs", "trials", out="gone")["trials"]) == 1
    forget = ("runs", "trials", "--forget", "--symbol", "simusdt", "--day", DAY)
    assert "--why" in done(desk, *forget, out="gone", code=2).stderr
    told = answer(desk, *forget, "--why", "another market's files", out="gone")
    assert told["trials"] == []
    assert [entry["why"] for entry in told["forgotten"]] == ["another market's files"]


def test_a_terminal_is_asked_why_trials_are_forgotten(desk):
    """An answer is written down; an empty one forgets nothing, and it is asked again."""
    done(desk, "backtest", out="asked", DAY=DAY)
    words = ["runs", "trials", "--forget", "--symbol", "SIMUSDT", "--day", DAY, "--out-root", "asked"]
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "mm", *words], cwd=desk, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, b"\nwrong fees\n")
    shown, said = asked.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 0, said
    assert said.count(b"why are the trials") == 2
    assert b"1 trial of SIMUSDT " + DAY.encode() + b" forgotten" in shown
    assert [entry["why"] for entry in answer(desk, "runs", "trials", out="asked")["forgotten"]] == ["wrong fees"]


def test_days_held_out_are_refused_until_they_are_opened(desk):
    """Plays and fits end with 2 and name the way out; each opening is counted on every later number."""
    (desk / "data/held_out_openings.ndjson").unlink(missing_ok=True)
    done(desk, "data", "hold", "SIMUSDT", NEXT)
    both = f"{DAY},{NEXT}"
    for words in (["backtest"], ["calibrate"], ["schedule"], ["walkforward"], ["evaluate"]):
        assert "--open-held-out" in done(desk, *words, out="held", code=2, DAY=both).stderr
    assert "--open-held-out" in done(desk, "sweep", out="held", code=2, DAY=NEXT, GRID="GAMMA=1").stderr
    folder = desk / "data/SIMUSDT" / NEXT
    with pytest.raises(UsageError, match="open_held_out"):
        mm.load_day(folder)
    opened = answer(desk, "backtest", out="held", DAY=NEXT, OPEN_HELD_OUT="1")
    assert opened["trials"]["held_out_openings"] == 1
    assert answer(desk, "evaluate", "--held-out", out="held")["trials"]["held_out_openings"] == 2
    said = done(desk, "sweep", out="held", DAY=NEXT, GRID="GAMMA=1", OPEN_HELD_OUT="1", JOBS="1").stdout
    assert "held out, opened 3 times" in said
    with pytest.raises(UsageError, match="out_root"):
        mm.backtest(mm.load_day(folder, open_held_out=True))
    tape = mm.load_day(folder, open_held_out=True)
    result = mm.backtest(tape, sensitivity=False, out_root=desk / "held")
    assert result.summary["trials"]["held_out_openings"] == 4
    assert Ledger(desk / "held").read("SIMUSDT", NEXT).openings == 4
    elsewhere = answer(desk, "backtest", out="held_elsewhere", DAY=NEXT, OPEN_HELD_OUT="1")
    assert elsewhere["trials"]["held_out_openings"] > 4  # counted beside the hold, for any OUT_ROOT
    assert answer(desk, "data", "hold", "SIMUSDT", "--release")["held_out"] == {}
    assert answer(desk, "backtest", out="held", DAY=NEXT)["trials"]["held_out_openings"] == 4


def test_a_fit_of_a_held_out_day_does_not_test_on_it(desk):
    """Also opened: nothing of it would be out of sample."""
    done(desk, "calibrate", "--out-dir", "fit_of_next", out="trained", DAY=NEXT)
    done(desk, "data", "hold", "SIMUSDT", NEXT)
    fit = str(desk / "fit_of_next/poisson_fit.json")
    refused = done(desk, "backtest", "--open-held-out", "--fit", fit, out="trained", code=2, DAY=NEXT)
    assert "trained on it" in refused.stderr
    done(desk, "data", "hold", "SIMUSDT", "--release")


def test_a_default_fit_of_a_held_out_day_does_not_test_on_it(desk):
    """A walk-forward falls back on it where a window has no fit."""
    done(desk, "calibrate", "--run-id", "default", out="default", DAY=NEXT)
    found = desk / f"default/calibration/marks/SIMUSDT/{NEXT}_default/poisson_fit.json"
    done(desk, "data", "hold", "SIMUSDT", NEXT)
    given = {"FALLBACK_POLICY": "global_default", "FILL_PARAMS_FILE": str(found), "OPEN_HELD_OUT": "1"}
    refused = done(desk, "walkforward", code=2, out="default", DAY=NEXT, WF_TRAIN_WINDOW_MIN="10", **given)
    done(desk, "data", "hold", "SIMUSDT", "--release")
    assert "was trained on it" in refused.stderr


def test_a_day_is_held_until_a_date(desk):
    """From then on it is played without a word."""
    done(desk, "data", "hold", "SIMUSDT", DAY, "--until", "20200101")
    assert answer(desk, "data", "hold", "SIMUSDT")["held_out"] == {}
    done(desk, "backtest", out="until", DAY=DAY)
    assert "one date" in done(desk, "data", "hold", "SIMUSDT", DAY, "--until", f"{DAY}:{NEXT}", code=2).stderr


def test_a_broken_list_of_held_days_refuses_everything(desk, tmp_path):
    """Which days are held out is unknown then."""
    (tmp_path / "data").symlink_to(desk / "data")
    elsewhere = tmp_path / "copied"
    elsewhere.mkdir()
    (elsewhere / "SIMUSDT").symlink_to(desk / "data/SIMUSDT")
    (elsewhere / "held_out.json").write_text("{")
    refused = done(desk, "backtest", out="broken", code=3, DAY=DAY, DATA_ROOT=str(elsewhere))
    assert "held_out.json" in refused.stderr
