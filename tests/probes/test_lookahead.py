"""`mm check lookahead` on models that look ahead in different ways, and on correct models."""

import json
import os
import shutil
import sys
import tempfile
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from peekers import AT_IMPORT, COMPILED, PEEKERS

from fill_predictors import written
from mm import Schedule
from mm.__main__ import main
from mm.calibration.schedule import Segment
from mm.probes import lookahead as probe
from mm.probes.run_comparison import TESTS
from named import FILL_MODELS, QUOTE_MODELS, parameters_of
from pages import figures_of
from rl_agents import agent_at
from support import ROOT, run_python

SYMBOL, DAY = "SIMUSDT", "20260105"
FLAGS = ("--symbol", SYMBOL, "--day", DAY, "--initial-inventory", "5", "--cuts", "6", "--log-level", "ERROR")
HERE = "--skip=fresh,files"  # tests that need another process
JOINING = ("fixed_spread", "--quote-params-json", '{"delta_ticks": 0}')
JOIN = ("--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 0}')


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """Return a folder with two days of three minutes, and the models."""
    folder = tmp_path_factory.mktemp("desk")
    for day in ("20260104", DAY):
        words = ["sim", "day", "--symbol", SYMBOL, "--day", day, "--hours", "0.05", "--seed", "3"]
        process = run_python("-m", "mm", *words, cwd=folder)
        assert process.returncode == 0, process.stderr
    (folder / "peeking.py").write_text(PEEKERS)
    (folder / "at_import.py").write_text(AT_IMPORT)
    return folder


@pytest.fixture(autouse=True)
def _run_in_workspace(workspace, monkeypatch):
    """Run in the workspace with freshly imported models."""
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(sys, "path", [str(workspace), *sys.path])
    for name in ("peeking", "at_import"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(probe, "FILE_HORIZONS_S", (10,))
    yield
    (workspace / "memory.json").unlink(missing_ok=True)


def check(*words: str, code: int | None = None) -> dict:
    """Return the JSON output of the command and check its exit code."""
    result = CliRunner().invoke(main, ["check", "lookahead", *words, *FLAGS, "--json"])
    assert result.exit_code in (0, 5), result.stderr
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["ok"] else 5)
    assert len(result.stderr.splitlines()) == (0 if report["ok"] else 1)
    return report


def failed(report: dict) -> set[str]:
    return {test for test, counts in report["tests"].items() if counts["failed"]}


PEEKING = {
    "Reads": {"shifted", "opened"},
    "Loads": {"shifted", "opened"},
    "ReadsNatively": {"shifted"},
    "Remembers": {"repeat"},
    "RemembersOnDisk": {"repeat"},
    "Clock": {"repeat"},
    "Dice": {"repeat"},
    "Raises": {"shifted", "stretch", "opened"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PEEKING)
def test_peeking_model_is_detected(name):
    """By the tests that it must fail; a run that differs from its repetition skips the other tests."""
    report = check(f"peeking:{name}", HERE)
    assert PEEKING[name] <= failed(report) <= PEEKING[name] | {"stretch", "reflected"}
    assert ("truncated" in report["tests"]) == ("repeat" not in PEEKING[name])


@pytest.mark.slow
def test_page_contains_verdict_cuts_and_differences(tmp_path):
    """Crosses are at the instants of the findings, on the day's mid."""
    page = tmp_path / "deep" / "page.html"
    report = check("peeking:Reads", HERE, "--out", str(page))
    assert report["page"] == str(page)
    text = unescape(page.read_text())
    for one in report["findings"]:
        assert one["message"] in text
    for name, counts in report["tests"].items():
        assert f"<th>{name}: " in text
        assert (counts["failed"] > 0) == (name in failed(report))
    (figure,) = figures_of(page.read_text())
    marks = {trace["name"]: trace for trace in figure["data"]}
    assert len(marks["cut"]["x"]) == report["cuts"]
    differing = {one["test"] for one in report["findings"] if one["at"]}
    assert set(marks["the model differs"]["text"]) == differing
    assert ">failed</b>" in text
    passing_page = tmp_path / "honest.html"
    assert check(*JOIN, HERE, "--out", str(passing_page))["ok"]
    assert ">passed</b>" in passing_page.read_text()
    assert "No differences." in passing_page.read_text()


def test_finding_reports_action_time_and_market():
    """In terms that also occur in the run's files."""
    report = check("peeking:Reads", HERE)
    assert report["models"] == {"quote": "peeking:Reads", "fill": "queue_prob_power"}
    first = next(one for one in report["findings"] if one["test"] == "shifted")
    assert first["at"] in first["message"]
    for words in ("PLACE order", "the first run:", "market: bid 99.", "ask 10", "inventory 5"):
        assert words in first["message"]
    opened = next(one for one in report["findings"] if one["test"] == "opened")
    assert f"data/{SYMBOL}/{DAY}/trades_ws_{SYMBOL}_{DAY}.csv at " in opened["message"]
    assert "peeking.py:" in opened["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("Reads", {}),
        ("Reads", {"path": "data/{trades}"}),
        ("Reads", {"path": "{root}/data/{trades}"}),
        ("ReadsByVariable", {}),
        ("LooksAround", {}),
        ("Raises", {}),
    ],
)
def test_truncated_files_reveal_reading_of_future(workspace, monkeypatch, name, params):
    """By a relative path, an absolute path in parameters, a variable, or process memory."""
    monkeypatch.setenv("DATA_ROOT", str(workspace / "data"))
    place = {"trades": f"{SYMBOL}/{DAY}/trades_ws_{SYMBOL}_{DAY}.csv", "root": str(workspace)}
    text = json.dumps({key: value.format(**place) for key, value in params.items()})
    report = check(f"peeking:{name}", "--quote-params-json", text, "--skip", "fresh,shifted,opened")
    assert failed(report) == {"files"}
    assert " before the cut: " in report["findings"][0]["message"] or "raised" in report["findings"][0]["message"]


def test_reading_at_import_is_detected():
    """Before any run."""
    assert "opened" in failed(check("at_import:ReadsAtImport", HERE))


def test_stored_answers_fail_on_shifted_day(workspace):
    """They are stored by instant: on a day shifted by a week they do not match."""
    start_us = 1_767_596_400_000_000
    answers = {str(start_us + 60_000 + 250_000 * number): (-1) ** (number // 8) for number in range(700)}
    report = check("peeking:StoredAnswers", "--quote-params-json", json.dumps({"answers": answers}), HERE)
    assert failed(report) == {"shifted"}


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["fresh,files", "fresh,shifted,opened"])
def test_peeking_fill_model_is_detected(skip):
    """It is recognised by its methods; quotes are given as for a backtest."""
    report = check("peeking:FillsGood", *JOIN, "--skip", skip)
    assert report["models"] == {"quote": "fixed_spread", "fill": "peeking:FillsGood"}
    assert failed(report) == ({"shifted", "opened"} if "files" in skip else {"files"})
    assert "FILL order" in " ".join(one["message"] for one in report["findings"])


@pytest.mark.parametrize(("name", "notes"), [("SeededDice", 0), ("TimeOfDay", 2), ("Momentum", 0), ("Reader", 1)])
def test_correct_model_passes(name, notes):
    """Seed, time, own past and earlier days are allowed; the time of day and files that it reads are noted."""
    report = check(f"peeking:{name}", HERE)
    assert failed(report) == set()
    assert len(report["notes"]) == notes
    assert report["tests"]["truncated"] == report["tests"]["perturbed"] == {"played": 6, "failed": 0}


VALUES = {
    **dict.fromkeys(("delta_ticks", "shift_ticks", "least_ticks", "per_sigma"), 1.0),
    "skew_ticks": 0.2,
    "phi": 0.01,
    "A": 0.8,
    "k": 0.35,
    "q_max": 6,
    "levels": 2,
    "step_ticks": 1,
    "window_s": 10.0,
    "coefficients": [-2.0, 0.1, 0.1, -0.5, 0.2, -0.1, 0.05, 0.3, -0.3],
    "clustering": {
        "mu_per_s": {"bid": 0.5, "ask": 0.5},
        "kernels": [{"beta_per_s": 2, "branching": {"bid": {"bid": 0.4, "ask": 0.1}, "ask": {"bid": 0, "ask": 0.5}}}],
    },
}
NESTED = {
    "mixed": {"models": [["fixed_spread", {"delta_ticks": 1}, 1], ["microprice", {"delta_ticks": 1}, 2]]},
    "steps": {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": []},
    "hybrid": {"models": [["queue_prob_power", {}], ["poisson", {"A": 0.8, "k": 0.35}]]},
}


def params(name: str) -> str:
    """Return parameters to create a model of the project."""
    if name in NESTED:
        return json.dumps(NESTED[name])
    if name == "rl":
        return json.dumps({"model_path": str(agent_at(Path(tempfile.mkdtemp()) / "agent.zip"))})
    if name == "predicted":
        return json.dumps({"predictor": written(Path(tempfile.mkdtemp()) / "predictor", symbol=SYMBOL, tick="0.01")})
    return json.dumps({key: value for key, value in VALUES.items() if key in parameters_of(name)})


@pytest.mark.slow
@pytest.mark.parametrize("name", QUOTE_MODELS)
def test_every_quote_model_passes(name):
    """All registered models, future ones included."""
    assert check(name, "--quote-params-json", params(name), HERE)["ok"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILL_MODELS)
def test_every_fill_model_passes(name):
    """With draws, queues, and orders at the touch."""
    assert check(name, "--fill-params-json", params(name), *JOIN, HERE)["ok"]


LEANING = ["shift_by", {"signal": "micro_price", "by": 1}]


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["--skip=files", HERE])
def test_micro_price_is_fitted_on_earlier_days(skip):
    """As a signal and in a step, in this process and in another: the day itself is not used."""
    report = check("micro_price", skip)
    assert report["ok"]
    assert report["tests"]["truncated"] == {"played": 6, "failed": 0}
    quotes = {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": [LEANING]}
    report = check("steps", "--quote-params-json", json.dumps(quotes), skip)
    assert report["ok"]
    assert report["tests"]["perturbed"] == {"played": 6, "failed": 0}
    assert ("fresh" in report["tests"]) is (skip != HERE)


def test_micro_price_without_earlier_day_is_rejected():
    """The signal has no values, and a model that reads it is rejected as by a backtest."""
    quotes = {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": [LEANING]}
    words = [["micro_price"], ["steps", "--quote-params-json", json.dumps(quotes)]]
    for one, message in zip(words, ("signal micro_price has no defined value", "micro_price"), strict=True):
        result = CliRunner().invoke(main, ["check", "lookahead", *FLAGS, *one, "--day", "20260104"])
        assert result.exit_code == 2
        (line,) = [
            line for line in result.stderr.splitlines() if line.startswith("error: ")
        ] or result.stderr.splitlines()
        assert message in line


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_fitted_predictor_is_checked_by_folder_name(tmp_path, side):
    """Same name as in `mm signals compute`."""
    folder = written(tmp_path / "predictor", symbol=SYMBOL, tick="0.01")
    report = check(f"{folder}:{side}", HERE)
    assert report["ok"]
    assert report["tests"]["shifted"] == {"played": 1, "failed": 0}


@pytest.mark.slow
def test_command_exits_with_five_and_one_line_on_failure(workspace, tmp_path):
    """All tests, in separate processes; no files are left behind."""
    for name, code in (("Dice", 5), ("Momentum", 0)):
        words = ["-m", "mm", "check", "lookahead", f"peeking:{name}", *FLAGS]
        result = run_python(*words, cwd=workspace, TMPDIR=str(tmp_path))
        assert result.returncode == code, result.stderr
        assert len(result.stderr.splitlines()) == (code > 0)
        head, *lines = result.stdout.splitlines()
        assert head == f"peeking:{name}, queue_prob_power on {SYMBOL} {DAY}, 6 cuts"
        assert lines[0].split()[:2] == ["FAILED" if code else "passed", "repeat"]
        tests = [line.split()[1] for line in lines if line.startswith(("passed", "FAILED", "note "))]
        all_tests = list(TESTS)
        assert tests == (["repeat", "fresh", "opened"] if code else all_tests)
        assert ("fresh: " in result.stderr or "repeat: " in result.stderr) == (code > 0)
        assert list(tmp_path.iterdir()) == []


def schedule(train_lag_us: int) -> dict:
    """Return a schedule of three segments, each trained until *train_lag_us* before its start."""
    start_us = 1_767_596_400_000_000
    bounds = [start_us + minute * 60_000_000 for minute in range(4)]
    fitted = (0.8, 0.35, 0.1, 0.1, 50, True, "ok", "fitted", 0.0, "")
    segments = [Segment(at, end, at - 60_000_000, at - train_lag_us, *fitted) for at, end in pairwise(bounds)]
    return Schedule(SYMBOL, DAY, 0.01, 1.0, 1.0, "carry_forward", tuple(segments)).to_json()


def test_schedule_with_future_training_is_rejected(tmp_path):
    """A walk-forward schedule passes; segments trained on later data are rejected when read."""
    path = tmp_path / "poisson_schedule.json"
    words = ["avellaneda_stoikov", "--fill-model", "poisson", "--fill-params-file", str(path), HERE]
    path.write_text(json.dumps(schedule(50_000)))
    assert failed(check(*words)) == set()
    path.write_text(json.dumps(schedule(-1)))
    result = CliRunner().invoke(main, ["check", "lookahead", *words, *FLAGS])
    assert result.exit_code == 3
    assert "it would look ahead" in result.stderr


@pytest.mark.slow
def test_note_reports_fit_of_checked_day(tmp_path):
    """A and k contain the day: not an error of the model, but reported as a note."""
    process = run_python(
        "-m", "mm", "calibrate", "--symbol", SYMBOL, "--day", DAY, "--out-dir", str(tmp_path / "c"), cwd=Path()
    )
    assert process.returncode == 0, process.stderr
    words = [
        "avellaneda_stoikov",
        "--fill-model",
        "poisson",
        "--fill-params-file",
        str(tmp_path / "c/poisson_fit.json"),
    ]
    report = check(*words, HERE)
    assert report["ok"]
    assert any("in-sample" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["peeking:Never"], 2, "peeking:Never sends no order on SIMUSDT 20260105, so there is nothing to compare"),
        (["peeking:quotes_nothing"], 2, "no class 'quotes_nothing'"),
        (["peeking:Future"], 2, "'peeking:Future' is not a quote model or a fill model"),
        (["fixed_spred"], 2, "'fixed_spred' is neither a quote model nor a fill model; known are"),
        (["fixed_spread"], 2, "needs delta_ticks"),
        (["fixed_spread", "--day", "20260104:20260105"], 2, "this command takes one day"),
        (["fixed_spread", "--day", "20260107"], 3, "20260107"),
        ([*JOINING, "--max-order-notional", "0.001"], 2, "fixed_spread sends no order"),
        (["fixed_spread", "--skip", "truncated"], 2, "--skip (CHECK_SKIP) was 'truncated'"),
        (["peeking:Reads", "--quote-params-json", '{"path": "nowhere.csv"}'], 1, "No such file"),
    ],
)
def test_invalid_arguments_are_rejected_in_one_line(words, code, message):
    """As by a backtest."""
    result = CliRunner().invoke(main, ["check", "lookahead", *FLAGS, *words])
    assert result.exit_code == code
    assert message in result.stderr.splitlines()[0]


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc").split()[0]) is None and "CI" not in os.environ, reason="no C compiler here"
)
def test_compiled_model_with_module_memory_is_detected(workspace):
    """The memory is invisible to Python."""
    (workspace / "quick_peeker.pyx").write_text(COMPILED)
    process = run_python("-m", "Cython.Build.Cythonize", "-i", "-3", "quick_peeker.pyx", cwd=workspace, CFLAGS="-O0")
    assert process.returncode == 0, process.stderr
    assert failed(check("quick_peeker:Remembers", HERE)) == {"repeat"}
